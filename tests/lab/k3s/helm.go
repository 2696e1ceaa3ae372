// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"archive/zip"
	"context"
	"strings"

	"github.com/k3s-io/helm-controller/pkg/config"
	helm "github.com/k3s-io/helm-controller/pkg/controllers"
	"github.com/k3s-io/helm-controller/pkg/crds"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
)

const helmJobImage = "rancher/klipper-helm:v0.9.17-build20260422"

var helmKinds = []schema.GroupVersionKind{
	{Group: "helm.cattle.io", Version: "v1", Kind: "HelmChart"},
	{Group: "helm.cattle.io", Version: "v1", Kind: "HelmChartConfig"},
}

// helmDefinitions are the definitions of helmKinds, as k3s's own controller brings them.
func helmDefinitions() ([]*unstructured.Unstructured, error) {
	definitions, err := crds.List()
	if err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(definitions))
	for _, definition := range definitions {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
		if err != nil {
			return nil, err
		}
		delete(content, "status") // the API server's, and incomplete here
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}

// runHelmController makes a Job of each HelmChart, once the API knows helmKinds.
func (s *server) runHelmController(ctx context.Context) error {
	kubeconfig := &clientcmd.ClientConfigLoadingRules{ExplicitPath: s.file("cred", "admin.kubeconfig")}
	failed := make(chan error)
	// At the end of its context it would end this process at once, and our other parts without their time to stop.
	// So it does not hear of the end, and goes with the process.
	go func() {
		failed <- helm.Register(context.WithoutCancel(ctx), metav1.NamespaceAll, "helm-controller",
			clientcmd.NewNonInteractiveDeferredLoadingClientConfig(kubeconfig, nil),
			&config.Controller{NodeName: s.nodeName, JobClusterRole: "cluster-admin", DefaultJobImage: helmJobImage})
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// stageCharts lays down the charts of packaged components, for Jobs to fetch from the supervisor.
func (s *server) stageCharts() error {
	bundle, err := openBundle()
	if err != nil {
		return err
	}
	defer bundle.Close()
	for _, file := range bundle.File {
		if !isChart(file) {
			continue
		}
		if err := unpackFile(file, s.file("static", "charts", file.Name)); err != nil {
			return err
		}
	}
	return nil
}

// isChart tells the bundle's charts from its programs.
func isChart(file *zip.File) bool { return strings.HasSuffix(file.Name, ".tgz") }
