// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"reflect"
	"slices"

	"github.com/sirupsen/logrus"
)

// criticalConfig is what must be equal on all servers, with the field names of k3s and the flags behind them.
type criticalConfig struct {
	ClusterDNS            string `cli:"cluster-dns"`
	ClusterDomain         string `cli:"cluster-domain"`
	ClusterIPRange        string `cli:"cluster-cidr"`
	DisableCCM            bool   `cli:"disable-cloud-controller"`
	DisableHelmController bool   `cli:"disable-helm-controller"`
	DisableNPC            bool   `cli:"disable-network-policy"`
	DisableServiceLB      bool   `cli:"disable=servicelb"`
	EgressSelectorMode    string `cli:"egress-selector-mode"`
	EmbeddedRegistry      bool   `cli:"embedded-registry"`
	EncryptProvider       string `cli:"secrets-encryption-provider"`
	EncryptSecrets        bool   `cli:"secrets-encryption"`
	FlannelBackend        string `cli:"flannel-backend"`
	FlannelExternalIP     bool   `cli:"flannel-external-ip"`
	FlannelIPv6Masq       bool   `cli:"flannel-ipv6-masq"`
	ServiceIPRange        string `cli:"service-cidr"`
	SupervisorMetrics     bool   `cli:"supervisor-metrics"`
}

func (s *server) criticalConfig() (criticalConfig, error) {
	dns, err := s.clusterDNS()
	return criticalConfig{
		ClusterDNS:            dns,
		ClusterDomain:         s.text("cluster-domain"),
		ClusterIPRange:        s.words("cluster-cidr")[0],
		DisableCCM:            s.on("disable-cloud-controller"),
		DisableHelmController: s.on("disable-helm-controller"),
		DisableNPC:            s.on("disable-network-policy"),
		DisableServiceLB:      slices.Contains(s.words("disable"), "servicelb"),
		EgressSelectorMode:    s.text("egress-selector-mode"),
		EmbeddedRegistry:      s.on("embedded-registry"),
		EncryptProvider:       s.text("secrets-encryption-provider"),
		EncryptSecrets:        s.on("secrets-encryption"),
		FlannelBackend:        s.text("flannel-backend"),
		FlannelExternalIP:     s.on("flannel-external-ip"),
		FlannelIPv6Masq:       s.on("flannel-ipv6-masq"),
		ServiceIPRange:        s.words("service-cidr")[0],
		SupervisorMetrics:     s.on("supervisor-metrics"),
	}, err
}

// mismatches are the flags by which two servers differ.
func (c criticalConfig) mismatches(other criticalConfig) []string {
	var flags []string
	ours, theirs := reflect.ValueOf(c), reflect.ValueOf(other)
	for i := range ours.NumField() {
		if !ours.Field(i).Equal(theirs.Field(i)) {
			flags = append(flags, ours.Type().Field(i).Tag.Get("cli"))
		}
	}
	return flags
}

// check refuses a cluster whose servers are set up otherwise.
func (c criticalConfig) check(cluster criticalConfig) error {
	flags := c.mismatches(cluster)
	for _, flag := range flags {
		logrus.Warnf("critical configuration mismatched: %s", flag)
	}
	if len(flags) > 0 {
		return errors.New("critical configuration value mismatch between servers")
	}
	return nil
}
