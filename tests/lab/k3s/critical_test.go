// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"testing"
)

func TestCriticalSettings(t *testing.T) {
	ours := criticalConfig{ClusterIPRange: "10.42.0.0/16", FlannelBackend: "vxlan", DisableServiceLB: true}
	if err := ours.check(ours); err != nil {
		t.Error(err)
	}
	theirs := ours
	theirs.FlannelBackend, theirs.DisableServiceLB = "host-gw", false
	if got := ours.mismatches(theirs); !slices.Equal(got, []string{"disable=servicelb", "flannel-backend"}) {
		t.Errorf("they differ by %q", got)
	}
	err := ours.check(theirs)
	if err == nil || err.Error() != "critical configuration value mismatch between servers" {
		t.Errorf("a difference gave %v", err)
	}
}
