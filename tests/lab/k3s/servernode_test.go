// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	corev1 "k8s.io/api/core/v1"
)

func TestMarksOfAServer(t *testing.T) {
	var node corev1.Node
	if !markServer(&node, nil) || node.Labels[controlPlaneLabel] != "true" || node.Labels[etcdLabel] != "" || len(node.Finalizers) != 0 {
		t.Errorf("a server on SQLite is %+v", node.ObjectMeta)
	}
	etcd := &etcdMember{name: "server1-aa", ip: "10.0.0.1"}
	if !markServer(&node, etcd) || node.Labels[etcdLabel] != "true" || node.Annotations[etcdNameAnnotation] != "server1-aa" ||
		node.Annotations[etcdAddressAnnotation] != "10.0.0.1" || len(node.Finalizers) != 1 {
		t.Errorf("a server with etcd is %+v", node.ObjectMeta)
	}
	if markServer(&node, etcd) {
		t.Error("it never comes to rest")
	}
}

func TestVoterCondition(t *testing.T) {
	var node corev1.Node
	for _, step := range []struct {
		member *etcdserverpb.Member
		reason string
		status corev1.ConditionStatus
	}{
		{&etcdserverpb.Member{IsLearner: true}, "MemberIsLearner", corev1.ConditionFalse},
		{&etcdserverpb.Member{}, "MemberIsVoter", corev1.ConditionTrue},
		{nil, "MemberNotFound", corev1.ConditionFalse},
	} {
		if !setVoterCondition(&node, step.member) {
			t.Errorf("%s is no news", step.reason)
		}
		if got := node.Status.Conditions; len(got) != 1 || got[0].Reason != step.reason || got[0].Status != step.status {
			t.Errorf("got %+v, want %s", got, step.reason)
		}
		if setVoterCondition(&node, step.member) {
			t.Errorf("%s is news twice", step.reason)
		}
	}
}
