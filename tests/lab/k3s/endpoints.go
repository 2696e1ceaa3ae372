// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/sirupsen/logrus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycoordination "k8s.io/client-go/applyconfigurations/coordination/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applydiscovery "k8s.io/client-go/applyconfigurations/discovery/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	endpointInterval = 5 * time.Second
	serverLeaseTime  = 15 * time.Second
	serverLeaseLabel = "k3s.cattle.io/server"
	supervisorPort   = 6443
	kubernetesName   = "kubernetes" // of the Service through which pods reach the API
)

var applyAsServer = metav1.ApplyOptions{FieldManager: "k3s", Force: true}

// runEndpoints announces the servers that live. The API server's own way would announce its loopback port.
func (s *server) runEndpoints(ctx context.Context) error {
	return poll(ctx, endpointInterval, func() (bool, error) {
		if err := s.reconcileEndpoints(ctx); err != nil && ctx.Err() == nil {
			logrus.Warnf("endpoints of the API: %v", err)
		}
		return false, nil
	})
}

func (s *server) reconcileEndpoints(ctx context.Context) error {
	leases := s.client.CoordinationV1().Leases(metav1.NamespaceSystem)
	now := time.Now()
	own := applycoordination.Lease("k3s-server-"+s.nodeName, metav1.NamespaceSystem).
		WithLabels(map[string]string{serverLeaseLabel: "true"}).
		WithSpec(applycoordination.LeaseSpec().WithHolderIdentity(s.nodeIP).WithRenewTime(metav1.NewMicroTime(now)))
	if _, err := leases.Apply(ctx, own, applyAsServer); err != nil {
		return err
	}
	all, err := leases.List(ctx, metav1.ListOptions{LabelSelector: serverLeaseLabel})
	if err != nil {
		return err
	}
	return s.announce(ctx, livingServers(all.Items, now))
}

// livingServers are the addresses of those who have told of themselves of late.
func livingServers(leases []coordinationv1.Lease, now time.Time) []string {
	var addresses []string
	for _, lease := range leases {
		if now.Sub(lease.Spec.RenewTime.Time) < serverLeaseTime {
			addresses = append(addresses, *lease.Spec.HolderIdentity)
		}
	}
	slices.Sort(addresses)
	return addresses
}

func (s *server) announce(ctx context.Context, addresses []string) error {
	subset := applycore.EndpointSubset().
		WithPorts(applycore.EndpointPort().WithName("https").WithPort(supervisorPort).WithProtocol(corev1.ProtocolTCP))
	slice := applydiscovery.EndpointSlice(kubernetesName, metav1.NamespaceDefault).
		WithLabels(map[string]string{discoveryv1.LabelServiceName: kubernetesName}).
		WithAddressType(discoveryv1.AddressTypeIPv4).
		WithPorts(applydiscovery.EndpointPort().WithName("https").WithPort(supervisorPort).WithProtocol(corev1.ProtocolTCP))
	for _, address := range addresses {
		subset.WithAddresses(applycore.EndpointAddress().WithIP(address))
		slice.WithEndpoints(applydiscovery.Endpoint().WithAddresses(address).
			WithConditions(applydiscovery.EndpointConditions().WithReady(true)))
	}
	endpoints := applycore.Endpoints(kubernetesName, metav1.NamespaceDefault).
		WithLabels(map[string]string{discoveryv1.LabelSkipMirror: "true"}).WithSubsets(subset)
	if _, err := s.client.CoreV1().Endpoints(metav1.NamespaceDefault).Apply(ctx, endpoints, applyAsServer); err != nil {
		return err
	}
	_, err := s.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Apply(ctx, slice, applyAsServer)
	return err
}

// listAPIServers returns host:port of each server.
func listAPIServers(ctx context.Context, client kubernetes.Interface) ([]string, error) {
	slice, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Get(ctx, kubernetesName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	addresses := []string{}
	for _, endpoint := range slice.Endpoints {
		for _, address := range endpoint.Addresses {
			addresses = append(addresses, net.JoinHostPort(address, strconv.Itoa(supervisorPort)))
		}
	}
	return addresses, nil
}
