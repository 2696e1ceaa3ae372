// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	nodeInterval = 5 * time.Second

	controlPlaneLabel     = "node-role.kubernetes.io/control-plane"
	etcdLabel             = "node-role.kubernetes.io/etcd"
	etcdNameAnnotation    = "etcd.k3s.cattle.io/node-name"
	etcdAddressAnnotation = "etcd.k3s.cattle.io/node-address"
	etcdFinalizer         = "wrangler.cattle.io/managed-etcd-controller"

	voterCondition corev1.NodeConditionType = "EtcdIsVoter"
)

// runOwnNode keeps on the Node of this server what its kubelet may not say or does not know.
func (s *server) runOwnNode(ctx context.Context) error {
	return poll(ctx, nodeInterval, func() (bool, error) {
		err := s.reconcileOwnNode(ctx)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			logrus.Warnf("node of this server: %v", err)
		}
		return false, nil
	})
}

func (s *server) reconcileOwnNode(ctx context.Context) error {
	nodes := s.client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, s.nodeName, metav1.GetOptions{})
	if err != nil || node.DeletionTimestamp != nil {
		return err
	}
	if markServer(node, s.etcd) {
		if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if s.etcd == nil {
		return nil
	}
	members, err := s.etcd.members(ctx)
	if err != nil {
		return err
	}
	if setVoterCondition(node, memberAt(members, s.etcd.peerURL())) {
		_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	}
	return err
}

// markServer returns whether the Node was another before.
func markServer(node *corev1.Node, etcd *etcdMember) bool {
	before := node.DeepCopy()
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[controlPlaneLabel] = "true"
	if etcd != nil {
		if node.Annotations == nil {
			node.Annotations = map[string]string{}
		}
		node.Labels[etcdLabel] = "true"
		node.Annotations[etcdNameAnnotation] = etcd.name
		node.Annotations[etcdAddressAnnotation] = etcd.ip
		if !slices.Contains(node.Finalizers, etcdFinalizer) {
			node.Finalizers = append(node.Finalizers, etcdFinalizer)
		}
	}
	return !maps.Equal(node.Labels, before.Labels) || !maps.Equal(node.Annotations, before.Annotations) ||
		!slices.Equal(node.Finalizers, before.Finalizers)
}

// setVoterCondition returns whether the Node said something else before.
func setVoterCondition(node *corev1.Node, member *etcdserverpb.Member) bool {
	now := metav1.Now()
	wanted := corev1.NodeCondition{
		Type: voterCondition, Status: corev1.ConditionTrue, Reason: "MemberIsVoter",
		Message: "Node is a voting member of the etcd cluster", LastHeartbeatTime: now, LastTransitionTime: now,
	}
	switch {
	case member == nil:
		wanted.Status, wanted.Reason, wanted.Message = corev1.ConditionFalse, "MemberNotFound", "Node is not a member of the etcd cluster"
	case member.IsLearner:
		wanted.Status, wanted.Reason, wanted.Message = corev1.ConditionFalse, "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"
	}
	at := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == voterCondition })
	if at < 0 {
		node.Status.Conditions = append(node.Status.Conditions, wanted)
		return true
	}
	if node.Status.Conditions[at].Reason == wanted.Reason {
		return false
	}
	node.Status.Conditions[at] = wanted
	return true
}

// runMemberRemoval removes the etcd members of servers whose Nodes are deleted. A finalizer keeps such a Node until
// that is done.
func (s *server) runMemberRemoval(ctx context.Context) error {
	return poll(ctx, nodeInterval, func() (bool, error) {
		if err := s.removeMembersOfDeletedNodes(ctx); err != nil && ctx.Err() == nil {
			logrus.Warnf("removal of etcd members: %v", err)
		}
		return false, nil
	})
}

func (s *server) removeMembersOfDeletedNodes(ctx context.Context) error {
	nodes, err := s.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: etcdLabel})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if node.DeletionTimestamp == nil || !slices.Contains(node.Finalizers, etcdFinalizer) {
			continue
		}
		if err := s.etcd.removeMember(ctx, node.Annotations[etcdNameAnnotation]); err != nil {
			return err
		}
		node.Finalizers = slices.DeleteFunc(node.Finalizers, func(f string) bool { return f == etcdFinalizer })
		if _, err := s.client.CoreV1().Nodes().Update(ctx, &node, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// removeMember is content if there is no such member.
func (e *etcdMember) removeMember(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	client, err := e.client(etcdLocalURL)
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, member := range list.Members {
		if member.Name == name {
			logrus.Infof("Removing etcd member %s, whose node was deleted", name)
			_, err := client.MemberRemove(ctx, member.ID)
			return err
		}
	}
	return nil
}
