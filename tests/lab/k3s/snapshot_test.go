// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSnapshotsAreListedAndDeleted(t *testing.T) {
	store := snapshotStore{dir: t.TempDir(), node: "server1"}
	for _, name := range []string{"on-demand-server1-1", "on-demand-server1-2.part"} {
		if err := os.WriteFile(filepath.Join(store.dir, name), []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := store.list()
	if err != nil || len(files) != 1 || files[0].Name != "on-demand-server1-1" || files[0].Size != 4 ||
		files[0].Location != "file://"+filepath.Join(store.dir, "on-demand-server1-1") {
		t.Fatalf("got %+v, %v", files, err)
	}
	if _, err := store.delete([]string{"../escaped"}); err == nil {
		t.Error("what is not there was deleted")
	}
	if _, err := store.delete([]string{"on-demand-server1-1"}); err != nil {
		t.Error(err)
	}
	if files, _ := store.list(); len(files) != 0 {
		t.Errorf("left: %+v", files)
	}
}
