// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var definitionKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

func TestBootstrapWaitsForTheKindsOfHelm(t *testing.T) {
	d := newTestDeployer(t)
	mapper := d.mapper.(staticMapper)
	mapper.Add(definitionKind, meta.RESTScopeRoot)
	if err := d.bootstrap(context.Background(), ""); !meta.IsNoMatchError(err) {
		t.Fatalf("the API does not know the kinds yet, and the error is: %v", err)
	}
	for _, kind := range helmKinds {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	if err := d.bootstrap(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	definitions, err := d.resource(definitionKind, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range helmKinds {
		name := strings.ToLower(kind.Kind) + "s." + kind.Group
		definition, err := definitions.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, found := definition.Object["status"]; found {
			t.Errorf("%s comes with a status, which is the API server's", name)
		}
	}
}

// packagedText is all packaged manifests together.
func packagedText(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	err := fs.WalkDir(packaged, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := packaged.ReadFile(path)
		text.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestEveryImageIsInTheArchive(t *testing.T) {
	content, err := os.ReadFile("images.txt")
	if err != nil {
		t.Fatal(err)
	}
	named := []string{helmJobImage, serviceLBImage, defaults["pause-image"]}
	image := regexp.MustCompile(`(?m)(?:image|repository): (\S+)(?:\s+tag: (\S+))?$`)
	for _, match := range image.FindAllStringSubmatch(packagedText(t), -1) {
		named = append(named, strings.TrimSuffix(match[1]+":"+match[2], ":"))
	}
	if archived := strings.Fields(strings.ReplaceAll(string(content), "docker.io/", "")); !slices.Equal(archived, sorted(named)) {
		t.Errorf("in images.txt: %q, named elsewhere: %q", archived, sorted(named))
	}
}

func TestChartsAreThoseOfTheManifests(t *testing.T) {
	var named []string
	for _, match := range regexp.MustCompile(`/static/charts/(\S+)\.tgz`).FindAllStringSubmatch(packagedText(t), -1) {
		named = append(named, match[1])
	}
	files, err := filepath.Glob("charts/*/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var packed []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var chart struct{ Name, Version string }
		if err := yaml.Unmarshal(content, &chart); err != nil {
			t.Fatal(err)
		}
		packed = append(packed, chart.Name+"-"+chart.Version)
	}
	if !slices.Equal(sorted(packed), sorted(named)) {
		t.Errorf("packed: %q, named: %q", packed, named)
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
