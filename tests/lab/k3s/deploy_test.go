// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

const twoMaps = `# a comment only
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: default}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: two, namespace: default}
`

var configMapKind = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}

type staticMapper struct{ *meta.DefaultRESTMapper }

func (staticMapper) Reset() {}

func newTestDeployer(t *testing.T, disabled ...string) *deployer {
	mapper := staticMapper{meta.NewDefaultRESTMapper(nil)}
	mapper.Add(configMapKind, meta.RESTScopeNamespace)
	mapper.Add(addonKind, meta.RESTScopeNamespace)
	scheme := runtime.NewScheme()
	for _, kind := range []schema.GroupVersionKind{configMapKind, addonKind} {
		scheme.AddKnownTypeWithName(kind, &unstructured.Unstructured{})
		list := kind
		list.Kind += "List"
		scheme.AddKnownTypeWithName(list, &unstructured.UnstructuredList{})
	}
	client := fake.NewSimpleDynamicClient(scheme)
	client.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		return applyWhole(client.Tracker(), action.(clienttesting.PatchAction))
	})
	return &deployer{client: client, mapper: mapper, dir: t.TempDir(), disabled: disabled}
}

// applyWhole stands for server-side apply, which the fake client does not know of objects that are not there.
func applyWhole(tracker clienttesting.ObjectTracker, patch clienttesting.PatchAction) (bool, runtime.Object, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(patch.GetPatch()); err != nil {
		return true, nil, err
	}
	err := tracker.Create(patch.GetResource(), object, patch.GetNamespace())
	if apierrors.IsAlreadyExists(err) {
		err = tracker.Update(patch.GetResource(), object, patch.GetNamespace())
	}
	return true, object, err
}

func (d *deployer) write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (d *deployer) names(t *testing.T, kind schema.GroupVersionKind) []string {
	t.Helper()
	client, err := d.resource(kind, metav1.NamespaceAll)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, object := range list.Items {
		names = append(names, object.GetName())
	}
	slices.Sort(names)
	return names
}

func TestDeployPrunesWhatLeftTheFile(t *testing.T) {
	d := newTestDeployer(t)
	path := d.write(t, "maps.yaml", twoMaps)
	d.deployAll(context.Background())
	if got := d.names(t, configMapKind); !slices.Equal(got, []string{"one", "two"}) {
		t.Fatalf("applied %q", got)
	}
	if got := d.names(t, addonKind); !slices.Equal(got, []string{"maps"}) {
		t.Fatalf("addons %q", got)
	}

	before, _, _ := strings.Cut(twoMaps, "---\napiVersion: v1\nkind: List")
	d.write(t, "maps.yaml", before)
	d.deployAll(context.Background())
	if got := d.names(t, configMapKind); !slices.Equal(got, []string{"one"}) {
		t.Errorf("after the file shrank: %q", got)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.deployAll(context.Background())
	if got := d.names(t, configMapKind); !slices.Equal(got, []string{"one"}) {
		t.Errorf("a file that goes keeps its objects, got %q", got)
	}

	d.disabled = []string{"maps"}
	if err := d.removeAddon(context.Background(), "maps"); err != nil {
		t.Fatal(err)
	}
	if got := append(d.names(t, configMapKind), d.names(t, addonKind)...); len(got) > 0 {
		t.Errorf("disabling left %q", got)
	}
}

func TestManifestFiles(t *testing.T) {
	d := newTestDeployer(t, "traefik")
	for _, name := range []string{"b.yaml", "a.json", "note.txt", ".hidden.yaml", "own.yml", "own.yml.skip", "traefik.yaml"} {
		d.write(t, name, "")
	}
	files, err := d.manifestFiles()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(d.dir, "a.json"), filepath.Join(d.dir, "b.yaml")}; !slices.Equal(files, want) {
		t.Errorf("got %q, want %q", files, want)
	}
}

func TestPackagedManifestsParse(t *testing.T) {
	d := newTestDeployer(t, "coredns")
	if err := d.writePackaged(strings.NewReplacer()); err != nil {
		t.Fatal(err)
	}
	files, err := d.manifestFiles()
	if err != nil {
		t.Fatal(err)
	}
	contents := []string{bootstrap, twoMaps}
	for i, name := range []string{"local-storage.yaml", "rolebindings.yaml", "traefik.yaml"} {
		if i >= len(files) || filepath.Base(files[i]) != name {
			t.Fatalf("%s is missing in %q", name, files)
		}
		content, err := os.ReadFile(files[i])
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, string(content))
	}
	for _, content := range contents {
		if objects, err := parseManifest([]byte(content)); err != nil || len(objects) == 0 {
			t.Errorf("%d objects, %v", len(objects), err)
		}
	}
	if _, err := parseManifest([]byte("kind: ConfigMap\n")); err == nil {
		t.Error("an object without apiVersion was accepted")
	}
}
