// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/flannel-io/flannel/pkg/backend"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/ipmatch"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/kube"
	"github.com/flannel-io/flannel/pkg/trafficmngr/iptables"
	"github.com/sirupsen/logrus"

	_ "github.com/flannel-io/flannel/pkg/backend/hostgw"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
)

const (
	subnetFile   = "/run/flannel/subnet.env"
	resyncPeriod = 60 // seconds between looks at flannel's iptables rules
)

func (a *agent) networkDir() string { return a.file("etc", "cni", "net.d") }

// runFlannel connects this node's pods with those of the others.
func (a *agent) runFlannel(ctx context.Context) error {
	manager, config, err := a.newSubnetManager(ctx)
	if err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	device := a.text("flannel-iface")
	if device == "" {
		device = a.nodeIP
	}
	external, err := ipmatch.LookupExtIface(device, "", "", 0, ipmatch.PublicIPOpts{})
	if err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	engine, err := backend.NewManager(ctx, manager, external).GetBackend(config.BackendType)
	if err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	var routines sync.WaitGroup
	var network backend.Network
	// The node gets its pod network some moments after it has registered.
	if err := poll(ctx, time.Second, func() (bool, error) {
		network, err = engine.RegisterNetwork(ctx, &routines, config)
		if err != nil {
			logrus.Debugf("flannel waits for the node's pod network: %v", err)
		}
		return err == nil, nil
	}); err != nil {
		return err
	}
	traffic := &iptables.IPTablesManager{}
	if err := traffic.Init(ctx); err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	lease := network.Lease()
	if err := traffic.SetupAndEnsureMasqRules(ctx, config.Network, lease.Subnet, config.Network,
		ip.IP6Net{}, ip.IP6Net{}, ip.IP6Net{}, lease, resyncPeriod, false); err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	traffic.SetupAndEnsureForwardRules(ctx, config.Network, ip.IP6Net{}, resyncPeriod)
	if err := manager.HandleSubnetFile(subnetFile, config, true, lease.Subnet, ip.IP6Net{}, network.MTU()); err != nil {
		return fmt.Errorf("flannel: %w", err)
	}
	if err := a.writeNetworkList(lease.Subnet.String(), network.MTU()); err != nil {
		return err
	}
	logrus.Infof("flannel is ready: %s by %s", lease.Subnet, config.BackendType)
	network.Run(ctx)
	routines.Wait()
	return nil
}

func (a *agent) newSubnetManager(ctx context.Context) (subnet.Manager, *subnet.Config, error) {
	content, err := json.Marshal(map[string]any{
		"Network": a.config.ClusterIPRange,
		"Backend": map[string]string{"Type": a.config.FlannelBackend},
	})
	if err != nil {
		return nil, nil, err
	}
	configFile := a.file("etc", "flannel", "net-conf.json")
	if err := writeFileAndDir(configFile, content); err != nil {
		return nil, nil, err
	}
	if err := os.Setenv("NODE_NAME", a.nodeName); err != nil { // flannel's only way to be told
		return nil, nil, err
	}
	manager, err := kube.NewSubnetManager(ctx, "", a.file("k3scontroller.kubeconfig"), "flannel.alpha.coreos.com", configFile, false)
	if err != nil {
		return nil, nil, err
	}
	config, err := manager.GetNetworkConfig(ctx)
	return manager, config, err
}

// writeNetworkList tells containerd how to connect a pod. It names the bridge plugin that flannel's own plugin,
// which Debian does not have, would delegate to.
func (a *agent) writeNetworkList(podSubnet string, mtu int) error {
	content, err := json.MarshalIndent(map[string]any{
		"name":       "cbr0",
		"cniVersion": "1.0.0",
		"plugins": []map[string]any{{
			"type": "bridge", "bridge": "cni0", "mtu": mtu,
			"isDefaultGateway": true, "hairpinMode": true, "forceAddress": true,
			"ipam": map[string]any{
				"type":   "host-local",
				"ranges": [][]map[string]string{{{"subnet": podSubnet}}},
				"routes": []map[string]string{{"dst": a.config.ClusterIPRange}},
			},
		}, {
			"type": "portmap", "capabilities": map[string]bool{"portMappings": true},
		}, {
			"type": "bandwidth", "capabilities": map[string]bool{"bandwidth": true},
		}},
	}, "", "  ")
	if err != nil {
		return err
	}
	return writeFileAndDir(a.networkDir()+"/10-flannel.conflist", content)
}
