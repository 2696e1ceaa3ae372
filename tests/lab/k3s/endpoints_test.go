// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestServersThatAreSilentAreNotAnnounced(t *testing.T) {
	now := time.Now()
	lease := func(address string, age time.Duration) coordinationv1.Lease {
		renewed := metav1.NewMicroTime(now.Add(-age))
		return coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: &address, RenewTime: &renewed}}
	}
	leases := []coordinationv1.Lease{lease("10.0.0.3", 0), lease("10.0.0.2", time.Minute), lease("10.0.0.1", 5*time.Second)}
	if got := livingServers(leases, now); !slices.Equal(got, []string{"10.0.0.1", "10.0.0.3"}) {
		t.Errorf("got %q", got)
	}
}
