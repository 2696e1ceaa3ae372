// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Longer than an election of etcd: where the leader of etcd dies, our own need not change, too.
const (
	leaseDuration = 30 * time.Second
	renewDeadline = 20 * time.Second
	retryPeriod   = 4 * time.Second
)

// addLeaderElection lets only one of several servers work.
func (s *server) addLeaderElection(args componentArgs) {
	args["leader-elect"] = strconv.FormatBool(s.etcd != nil)
	args["leader-elect-lease-duration"] = leaseDuration.String()
	args["leader-elect-renew-deadline"] = renewDeadline.String()
	args["leader-elect-retry-period"] = retryPeriod.String()
}

// runLeading runs what only one server may do. Who loses the lead ends, to start anew as one of the others.
func (s *server) runLeading(ctx context.Context, run func(context.Context) error) error {
	if s.etcd == nil {
		return run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "k3s"},
			Client:     s.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: s.nodeName},
		},
		LeaseDuration:   leaseDuration,
		RenewDeadline:   renewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { cancel(run(ctx)) },
			OnStoppedLeading: func() { cancel(errors.New("leaderelection lost for k3s")) },
		},
	})
	if err != nil {
		return err
	}
	elector.Run(ctx)
	return context.Cause(ctx)
}
