// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package v1beta1 has the names that MetalLB needs of frr-k8s's API in order to compile. The lab's MetalLB never runs
// in the mode that uses them (BGP by frr-k8s), and the Go module that defines them cannot be had everywhere.
package v1beta1

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// AddToScheme makes the API known to a client.
func AddToScheme(scheme *runtime.Scheme) error {
	version := schema.GroupVersion{Group: "frrk8s.metallb.io", Version: "v1beta1"}
	scheme.AddKnownTypes(version, &FRRConfiguration{}, &FRRConfigurationList{})
	metav1.AddToGroupVersion(scheme, version)
	return nil
}

type FRRConfiguration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              FRRConfigurationSpec `json:"spec"`
}

type FRRConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []FRRConfiguration `json:"items"`
}

type FRRConfigurationSpec struct {
	BGP          BGPConfig            `json:"bgp"`
	NodeSelector metav1.LabelSelector `json:"nodeSelector"`
}

type BGPConfig struct {
	Routers     []Router     `json:"routers"`
	BFDProfiles []BFDProfile `json:"bfdProfiles"`
}

type Router struct {
	ASN       uint32     `json:"asn"`
	ID        string     `json:"id"`
	VRF       string     `json:"vrf"`
	Neighbors []Neighbor `json:"neighbors"`
	Prefixes  []string   `json:"prefixes"`
}

type DynamicASNMode string

type Neighbor struct {
	Address                string           `json:"address"`
	Interface              string           `json:"interface"`
	ASN                    uint32           `json:"asn"`
	DynamicASN             DynamicASNMode   `json:"dynamicASN"`
	Port                   *uint16          `json:"port"`
	HoldTime               *metav1.Duration `json:"holdTime"`
	KeepaliveTime          *metav1.Duration `json:"keepaliveTime"`
	ConnectTime            *metav1.Duration `json:"connectTime"`
	BFDProfile             string           `json:"bfdProfile"`
	EnableGracefulRestart  bool             `json:"enableGracefulRestart"`
	EBGPMultiHop           bool             `json:"ebgpMultiHop"`
	DualStackAddressFamily bool             `json:"dualStackAddressFamily"`
	DisableMP              bool             `json:"disableMP"`
	ToAdvertise            Advertise        `json:"toAdvertise"`
	Password               string           `json:"password"`
	PasswordSecret         SecretReference  `json:"passwordSecret"`
}

type SecretReference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type Advertise struct {
	Allowed                   AllowedOutPrefixes      `json:"allowed"`
	PrefixesWithLocalPref     []LocalPrefPrefixes     `json:"withLocalPref"`
	PrefixesWithCommunity     []CommunityPrefixes     `json:"withCommunity"`
	PrefixesWithAsPathPrepend []AsPathPrependPrefixes `json:"withAsPathPrepend"`
}

type AllowedOutPrefixes struct {
	Prefixes []string `json:"prefixes"`
}

type LocalPrefPrefixes struct {
	LocalPref uint32   `json:"localPref"`
	Prefixes  []string `json:"prefixes"`
}

type CommunityPrefixes struct {
	Community string   `json:"community"`
	Prefixes  []string `json:"prefixes"`
}

type AsPathPrependPrefixes struct {
	AsPathPrepend uint8    `json:"asPathPrepend"`
	Prefixes      []string `json:"prefixes"`
}

type BFDProfile struct {
	Name             string  `json:"name"`
	ReceiveInterval  *uint32 `json:"receiveInterval"`
	TransmitInterval *uint32 `json:"transmitInterval"`
	DetectMultiplier *uint32 `json:"detectMultiplier"`
	EchoInterval     *uint32 `json:"echoInterval"`
	MinimumTTL       *uint32 `json:"minimumTtl"`
	EchoMode         *bool   `json:"echoMode"`
	PassiveMode      *bool   `json:"passiveMode"`
}

func (in *FRRConfiguration) DeepCopy() *FRRConfiguration { return copyOf(in) }

func (in *FRRConfiguration) DeepCopyObject() runtime.Object { return copyOf(in) }

func (in *FRRConfigurationList) DeepCopyObject() runtime.Object { return copyOf(in) }

func (in *FRRConfigurationSpec) DeepCopyInto(out *FRRConfigurationSpec) { *out = *copyOf(in) }

// copyOf copies by way of JSON, which cannot fail for the plain data above.
func copyOf[T any](in *T) *T {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err)
	}
	out := new(T)
	if err := json.Unmarshal(text, out); err != nil {
		panic(err)
	}
	return out
}
