// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
)

func newTestBalancer(t *testing.T, server, file string) *loadBalancer {
	t.Helper()
	b, err := newLoadBalancer(server, file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLoadBalancerRemembersTheServers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "lb.json")
	b := newTestBalancer(t, "https://one:6443", file)
	if got := b.candidates(); !slices.Equal(got, []string{"one:6443"}) {
		t.Errorf("at first it knows %q", got)
	}
	if err := b.update([]string{"one:6443", "three:6443", "two:6443"}); err != nil {
		t.Fatal(err)
	}
	b.demote("one:6443")
	if got := b.candidates(); !slices.Equal(got, []string{"three:6443", "two:6443", "one:6443"}) {
		t.Errorf("one that fails comes last, got %q", got)
	}
	if err := b.update([]string{"three:6443", "two:6443"}); err != nil {
		t.Fatal(err)
	}
	if got := b.candidates(); !slices.Equal(got, []string{"three:6443", "two:6443"}) {
		t.Errorf("a server that is gone stays: %q", got)
	}
	again := newTestBalancer(t, "https://one:6443", file)
	if got := again.candidates(); !slices.Equal(got, []string{"one:6443", "three:6443", "two:6443"}) {
		t.Errorf("the next start has %q", got)
	}
	moved := newTestBalancer(t, "https://other:6443", file)
	if got := moved.candidates(); !slices.Equal(got, []string{"other:6443"}) {
		t.Errorf("another cluster's servers are tried: %q", got)
	}
}

func TestLoadBalancerFailsOver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	b := newTestBalancer(t, "https://127.0.0.1:1", filepath.Join(t.TempDir(), "lb.json"))
	b.order = append(b.order, listener.Addr().String())
	connection, err := b.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if got := b.candidates()[0]; got != listener.Addr().String() {
		t.Errorf("it goes on with %s", got)
	}
}

func TestLoadBalancerNeedsAnAddress(t *testing.T) {
	for _, server := range []string{"", "server1:6443", "http://server1:6443"} {
		if _, err := newLoadBalancer(server, ""); err == nil {
			t.Errorf("%q was accepted", server)
		}
	}
}
