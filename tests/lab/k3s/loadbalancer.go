// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

const (
	balancerAddress = "127.0.0.1:6444"
	followInterval  = 10 * time.Second
	deadAfter       = 10 * time.Second // a server that acknowledges nothing for so long
)

// loadBalancer is how an agent reaches whichever server is alive, also when it starts while its first one is dead.
type loadBalancer struct {
	file   string
	dialer net.Dialer

	mu    sync.Mutex
	state balancerState
	order []string // as they are tried
}

// balancerState is what is remembered from start to start, with the field names of k3s.
type balancerState struct {
	ServerURL       string
	ServerAddresses []string
}

func newLoadBalancer(serverURL, file string) (*loadBalancer, error) {
	parsed, err := url.Parse(serverURL)
	if err != nil || parsed.Scheme != "https" || parsed.Host == "" {
		return nil, fmt.Errorf("--server must be an https URL, not %q", serverURL)
	}
	b := &loadBalancer{file: file, state: balancerState{ServerURL: serverURL}}
	if content, err := os.ReadFile(file); err == nil {
		var last balancerState
		if err := json.Unmarshal(content, &last); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if last.ServerURL == serverURL {
			b.state = last
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	first := parsed.Host
	if parsed.Port() == "" {
		first = net.JoinHostPort(parsed.Hostname(), "443")
	}
	b.order = serverOrder([]string{first}, b.state.ServerAddresses)
	b.dialer = net.Dialer{Timeout: 2 * time.Second, KeepAlive: 3 * time.Second, Control: noticeDeath}
	return b, nil
}

// noticeDeath ends a connection whose other end went without a word, so that clients connect anew.
func noticeDeath(_, _ string, connection syscall.RawConn) error {
	var failed error
	err := connection.Control(func(descriptor uintptr) {
		failed = unix.SetsockoptInt(int(descriptor), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	return errors.Join(err, failed)
}

// serverOrder keeps the order of those that are known, and puts the others behind them.
func serverOrder(known, others []string) []string {
	order := slices.Clone(known)
	for _, address := range others {
		if !slices.Contains(order, address) {
			order = append(order, address)
		}
	}
	return order
}

func (b *loadBalancer) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", balancerAddress)
	if err != nil {
		return err
	}
	logrus.Infof("Running load balancer k3s-agent-load-balancer %s -> %v", balancerAddress, b.order)
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		client, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go b.forward(ctx, client)
	}
}

func (b *loadBalancer) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := b.dial(ctx)
	if err != nil {
		logrus.Warnf("Load balancer: no server answers: %v", err)
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	pump := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pump(server, client)
	go pump(client, server)
	<-done // the other pump ends with the connections
}

// dial connects with the first server that answers. Those that do not are tried last from then on.
func (b *loadBalancer) dial(ctx context.Context) (net.Conn, error) {
	var failures []error
	for _, address := range b.candidates() {
		connection, err := b.dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return connection, nil
		}
		failures = append(failures, err)
		b.demote(address)
	}
	return nil, errors.Join(failures...)
}

func (b *loadBalancer) candidates() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.order)
}

func (b *loadBalancer) demote(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.order, address); at >= 0 {
		b.order = append(slices.Delete(b.order, at, at+1), address)
	}
}

// follow asks the cluster for its servers again and again.
func (b *loadBalancer) follow(ctx context.Context, cluster *clusterClient) error {
	return poll(ctx, followInterval, func() (bool, error) {
		content, err := cluster.request(ctx, http.MethodGet, "/v1-k3s/apiservers", nil, nil)
		var addresses []string
		if err == nil {
			err = json.Unmarshal(content, &addresses)
		}
		if err == nil && len(addresses) > 0 {
			err = b.update(addresses)
		}
		if err != nil && ctx.Err() == nil {
			logrus.Warnf("Load balancer: %v", err)
		}
		return false, nil
	})
}

// update takes the servers that live. The one that was named by the user is only one of them, if it is one at all.
func (b *loadBalancer) update(addresses []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = slices.DeleteFunc(serverOrder(b.order, addresses), func(a string) bool { return !slices.Contains(addresses, a) })
	if slices.Equal(b.state.ServerAddresses, addresses) {
		return nil
	}
	logrus.Infof("Updated load balancer k3s-agent-load-balancer server addresses -> %v", addresses)
	b.state.ServerAddresses = addresses
	content, err := json.Marshal(b.state)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.file), 0o755); err != nil {
		return err
	}
	return writeChanged(b.file, content, 0o600)
}
