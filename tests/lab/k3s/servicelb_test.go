// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestServiceLB(t *testing.T) {
	ctx := context.Background()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "0123456789"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}},
	}
	client := fake.NewClientset(service)
	lb := serviceLB{client}
	if err := lb.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	daemonSet, err := client.AppsV1().DaemonSets("kube-system").Get(ctx, "svclb-web-01234567", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "svclb", Namespace: "kube-system", Labels: daemonSet.Spec.Template.Labels},
		Status: corev1.PodStatus{HostIP: "10.0.0.7", Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		}},
	}
	if _, err := client.CoreV1().Pods("kube-system").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := lb.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().Services("shop").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ingress := got.Status.LoadBalancer.Ingress; len(ingress) != 1 || ingress[0].IP != "10.0.0.7" {
		t.Errorf("status %+v", ingress)
	}
	if err := client.CoreV1().Services("shop").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := lb.reconcile(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := client.AppsV1().DaemonSets("kube-system").List(ctx, metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("%v, left %d", err, len(left.Items))
	}
}
