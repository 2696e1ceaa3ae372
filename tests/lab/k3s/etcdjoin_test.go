// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

var members = []*etcdserverpb.Member{
	{ID: 1, Name: "server1-aa", PeerURLs: []string{"https://10.0.0.1:2380"}, ClientURLs: []string{"https://10.0.0.1:2379"}},
	{ID: 2, Name: "server2-bb", PeerURLs: []string{"https://10.0.0.2:2380"}, ClientURLs: []string{"https://10.0.0.2:2379"}},
	{ID: 0xabc, PeerURLs: []string{"https://10.0.0.3:2380"}, IsLearner: true},
}

func TestVotersAreWhoIsAsked(t *testing.T) {
	if got := voters(members); !slices.Equal(got, []string{"https://10.0.0.1:2379", "https://10.0.0.2:2379"}) {
		t.Errorf("got %q", got)
	}
}

func TestInitialClusterHasEverybody(t *testing.T) {
	common := []string{"server1-aa=https://10.0.0.1:2380", "server2-bb=https://10.0.0.2:2380"}
	if got := initialCluster(members, 0xabc, "server3-cc"); !slices.Equal(got, append(common, "server3-cc=https://10.0.0.3:2380")) {
		t.Errorf("its own is %q", got)
	}
	if got := initialCluster(members, 1, "server1-aa"); !slices.Equal(got, append(common, "abc=https://10.0.0.3:2380")) {
		t.Errorf("with one that never started it is %q", got)
	}
}

func TestFormerMemberHasTheAddress(t *testing.T) {
	if got := memberAt(members, "https://10.0.0.2:2380"); got != members[1] {
		t.Errorf("found %v", got)
	}
	if got := memberAt(members, "https://10.0.0.9:2380"); got != nil {
		t.Errorf("found %v", got)
	}
}

func TestOnlyARemovedMemberIsSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	exists := func() bool { _, err := os.Stat(dir); return err == nil }
	if err := setAsideRemoved(dir); err != nil || !exists() {
		t.Fatalf("a living member is gone, %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, tombstone), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := setAsideRemoved(dir); err != nil || exists() {
		t.Errorf("a removed member is still there, %v", err)
	}
	if old, _ := filepath.Glob(dir + "-old-*"); len(old) != 1 {
		t.Errorf("its data is at %q", old)
	}
}
