// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

const (
	serviceLBImage = "rancher/klipper-lb:v0.4.13"
	labelPrefix    = "svccontroller.k3s.cattle.io/"
	lbInterval     = 2 * time.Second
)

// serviceLB imitates k3s's service load balancer: the DaemonSets and the addresses, without the forwarding.
type serviceLB struct{ client kubernetes.Interface }

func runServiceLB(ctx context.Context, client kubernetes.Interface, enabled bool) error {
	lb := serviceLB{client}
	step := lb.reconcile
	if !enabled {
		step = lb.removeAll
	}
	return poll(ctx, lbInterval, func() (bool, error) {
		err := step(ctx)
		if err != nil && ctx.Err() == nil {
			logrus.Warnf("servicelb: %v", err)
		}
		return err == nil && !enabled, nil
	})
}

func (lb serviceLB) removeAll(ctx context.Context) error {
	return lb.client.AppsV1().DaemonSets(metav1.NamespaceSystem).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: labelPrefix + "nodeselector"})
}

func (lb serviceLB) reconcile(ctx context.Context) error {
	services, err := lb.client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	daemonSets := lb.client.AppsV1().DaemonSets(metav1.NamespaceSystem)
	existing, err := daemonSets.List(ctx, metav1.ListOptions{LabelSelector: labelPrefix + "nodeselector"})
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, service := range services.Items {
		if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil || service.DeletionTimestamp != nil {
			continue
		}
		daemonSet := lb.daemonSet(&service)
		wanted[daemonSet.Name] = true
		if _, err := daemonSets.Create(ctx, daemonSet, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err := lb.updateStatus(ctx, &service); err != nil {
			return err
		}
	}
	for _, daemonSet := range existing.Items {
		if !wanted[daemonSet.Name] {
			if err := daemonSets.Delete(ctx, daemonSet.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// ownedBy are the labels that say whose DaemonSet, or pod, it is.
func ownedBy(service *corev1.Service) labels.Set {
	return labels.Set{labelPrefix + "svcname": service.Name, labelPrefix + "svcnamespace": service.Namespace}
}

func (lb serviceLB) daemonSet(service *corev1.Service) *appsv1.DaemonSet {
	name := fmt.Sprintf("svclb-%s-%s", service.Name, service.UID[:8])
	app := labels.Set{"app": name}
	pod := corev1.PodSpec{Tolerations: []corev1.Toleration{
		{Key: "node-role.kubernetes.io/control-plane", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
		{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists},
	}}
	for _, port := range service.Spec.Ports {
		pod.Containers = append(pod.Containers, corev1.Container{
			Name:  fmt.Sprintf("lb-%s-%d", strings.ToLower(string(port.Protocol)), port.Port),
			Image: serviceLBImage,
			Ports: []corev1.ContainerPort{{ContainerPort: port.Port, HostPort: port.Port, Protocol: port.Protocol}},
		})
	}
	one := intstr.FromInt32(1)
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{
			Name:   name,
			Labels: labels.Merge(ownedBy(service), labels.Set{labelPrefix + "nodeselector": "false"}),
		},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: app},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels.Merge(ownedBy(service), app)},
				Spec:       pod,
			},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &one}},
		},
	}
}

// updateStatus gives the Service the addresses of the nodes on which its pods are ready.
func (lb serviceLB) updateStatus(ctx context.Context, service *corev1.Service) error {
	pods, err := lb.client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		LabelSelector: ownedBy(service).String(),
	})
	if err != nil {
		return err
	}
	var addresses []string
	for _, pod := range pods.Items {
		ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if ready {
			addresses = append(addresses, pod.Status.HostIP)
		}
	}
	slices.Sort(addresses)
	current := make([]string, 0, len(addresses))
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		current = append(current, ingress.IP)
	}
	if slices.Equal(current, addresses) {
		return nil
	}
	service.Status.LoadBalancer.Ingress = nil
	mode := corev1.LoadBalancerIPModeVIP
	for _, address := range addresses {
		service.Status.LoadBalancer.Ingress = append(service.Status.LoadBalancer.Ingress,
			corev1.LoadBalancerIngress{IP: address, IPMode: &mode})
	}
	_, err = lb.client.CoreV1().Services(service.Namespace).UpdateStatus(ctx, service, metav1.UpdateOptions{})
	return err
}
