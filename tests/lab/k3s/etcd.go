// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/k3s-io/kine/pkg/endpoint"
	kinetls "github.com/k3s-io/kine/pkg/tls"
	"github.com/sirupsen/logrus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

const (
	etcdLocalURL   = "https://127.0.0.1:2379"
	etcdMetricsURL = "http://127.0.0.1:2381"
	etcdStopGrace  = 10 * time.Second
	etcdTimeout    = 10 * time.Second // of one request
)

// etcdMember is this server's part of the embedded etcd cluster.
type etcdMember struct {
	dir  string // server/db/etcd
	tls  string // server/tls/etcd
	name string
	ip   string
	args []string // the user's
}

func runEtcd(args []string) error {
	etcdmain.Main(append([]string{"etcd"}, args...))
	return nil
}

// newEtcdMember gives the member the name that it had at its first start.
func newEtcdMember(dir, tlsDir, nodeName, ip string, args []string) (*etcdMember, error) {
	e := &etcdMember{dir: dir, tls: filepath.Join(tlsDir, "etcd"), ip: ip, args: args}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(e.file("name"))
	if errors.Is(err, fs.ErrNotExist) {
		content = []byte(nodeName + "-" + randomHex(4))
		err = os.WriteFile(e.file("name"), content, 0o600)
	}
	e.name = string(content)
	return e, err
}

func (e *etcdMember) file(name string) string { return filepath.Join(e.dir, name) }

func (e *etcdMember) peerURL() string { return "https://" + e.ip + ":2380" }

func (e *etcdMember) clientURL() string { return "https://" + e.ip + ":2379" }

// hasMember tells whether a directory holds a member that has run once.
func hasMember(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "member", "wal"))
	return err == nil
}

// endpoint is how the API server and our own parts reach the member.
func (e *etcdMember) endpoint() endpoint.ETCDConfig {
	return endpoint.ETCDConfig{Endpoints: []string{etcdLocalURL}, TLSConfig: kinetls.Config{
		CAFile: filepath.Join(e.tls, "server-ca.crt"), CertFile: filepath.Join(e.tls, "client.crt"), KeyFile: filepath.Join(e.tls, "client.key"),
	}}
}

func (e *etcdMember) client(endpoints ...string) (*clientv3.Client, error) {
	tlsConfig, err := e.endpoint().TLSConfig.ClientConfig()
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: tlsConfig, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// etcdStart is how a member begins, beyond what it knows of itself.
type etcdStart struct {
	cluster  []string // that it joins at its first start
	forceNew bool     // it drops the other members
}

// run runs etcd until the context ends.
func (e *etcdMember) run(ctx context.Context, start etcdStart) error {
	if err := e.writeConfig(start); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := childCommand(ctx, self, "--config-file", e.file("config"))
	cmd.Args[0] = "etcd"
	cmd.WaitDelay = etcdStopGrace
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil: // nobody asked it to stop: it ends in peace only when the others have removed it
		if err := os.WriteFile(e.file(tombstone), nil, 0o600); err != nil {
			return err
		}
		return errors.New("this server has been removed from the etcd cluster")
	default:
		return fmt.Errorf("etcd exited: %w", err)
	}
}

func (e *etcdMember) writeConfig(start etcdStart) error {
	cluster, state := start.cluster, "existing"
	if len(cluster) == 0 {
		cluster, state = []string{e.name + "=" + e.peerURL()}, "new"
	}
	security := func(ca, pair string) map[string]any {
		return map[string]any{
			"trusted-ca-file":  filepath.Join(e.tls, ca+".crt"),
			"cert-file":        filepath.Join(e.tls, pair+".crt"),
			"key-file":         filepath.Join(e.tls, pair+".key"),
			"client-cert-auth": true,
		}
	}
	config := map[string]any{
		"name":                        e.name,
		"data-dir":                    e.dir,
		"listen-client-urls":          etcdLocalURL + "," + e.clientURL(),
		"advertise-client-urls":       e.clientURL(),
		"listen-peer-urls":            "https://127.0.0.1:2380," + e.peerURL(),
		"initial-advertise-peer-urls": e.peerURL(),
		"initial-cluster":             strings.Join(cluster, ","),
		"initial-cluster-state":       state,
		"force-new-cluster":           start.forceNew,
		"listen-metrics-urls":         etcdMetricsURL,
		"client-transport-security":   security("server-ca", "server-client"),
		"peer-transport-security":     security("peer-ca", "peer-server-client"),
		// As k3s has them: small machines are slow, and an election too many costs more than a late one.
		"heartbeat-interval": 500,
		"election-timeout":   5000,
		"logger":             "zap",
		"log-outputs":        []string{"stderr"},
		"log-level":          "warn",
	}
	for _, arg := range e.args {
		key, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		config[key] = yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
	content, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(e.file("config"), content, 0o600)
}

// waitForVote returns when the member is one that counts. A learner is promoted once it has caught up.
func (e *etcdMember) waitForVote(ctx context.Context, peers func(context.Context) ([]string, error)) error {
	local, err := e.client(etcdLocalURL)
	if err != nil {
		return err
	}
	defer local.Close()
	return poll(ctx, time.Second, func() (bool, error) {
		bounded, cancel := context.WithTimeout(ctx, etcdTimeout)
		defer cancel()
		status, err := local.Status(bounded, etcdLocalURL)
		if err != nil {
			return false, nil // it starts, or waits for the others
		}
		if !status.IsLearner {
			return true, nil
		}
		if err := e.promote(bounded, status.Header.MemberId, peers); err != nil {
			logrus.Infof("Waiting for this server to become a voting member of the etcd cluster: %v", err)
		}
		return false, nil
	})
}
