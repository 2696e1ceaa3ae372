// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

const (
	deployInterval  = 15 * time.Second
	fieldManager    = "deploy@k3s"
	hashLabel       = "objectset.rio.cattle.io/hash"
	ownerAnnotation = "objectset.rio.cattle.io/owner-"
	gvksAnnotation  = "addon.k3s.cattle.io/gvks"
)

var (
	//go:embed manifests
	packaged embed.FS
	//go:embed bootstrap.yaml
	bootstrap string

	addonKind = schema.GroupVersionKind{Group: "k3s.cattle.io", Version: "v1", Kind: "Addon"}
)

// deployer applies what lies in the manifests directory, each file as an Addon.
type deployer struct {
	client   dynamic.Interface
	mapper   meta.ResettableRESTMapper
	dir      string
	disabled []string
}

// runDeployer calls bootstrapped when the API knows the kinds of k3s.
func (s *server) runDeployer(ctx context.Context, bootstrapped func()) error {
	client, err := dynamic.NewForConfig(s.rest)
	if err != nil {
		return err
	}
	d := &deployer{
		client:   client,
		mapper:   restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(s.client.Discovery())),
		dir:      s.file("manifests"),
		disabled: s.words("disable"),
	}
	dns, err := s.clusterDNS()
	if err != nil {
		return err
	}
	storage := s.text("default-local-storage-path")
	if storage == "" {
		storage = s.dataDir("storage")
	}
	variables := strings.NewReplacer("%{CLUSTER_DNS}%", dns, "%{CLUSTER_DOMAIN}%", s.text("cluster-domain"),
		"%{DEFAULT_LOCAL_STORAGE_PATH}%", storage)
	if err := d.writePackaged(variables); err != nil {
		return err
	}
	err = poll(ctx, time.Second, func() (bool, error) {
		err := d.bootstrap(ctx, variables.Replace(bootstrap))
		if err != nil {
			logrus.Debugf("deploy: %v", err)
			d.mapper.Reset()
		}
		return err == nil, nil
	})
	if err != nil {
		return err
	}
	bootstrapped()
	return poll(ctx, deployInterval, func() (bool, error) {
		d.deployAll(ctx)
		return false, nil
	})
}

// writePackaged lays the packaged manifests down anew at every start.
func (d *deployer) writePackaged(variables *strings.Replacer) error {
	return fs.WalkDir(packaged, "manifests", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains(d.disabled, addonName(path)) {
			return err
		}
		content, err := packaged.ReadFile(path)
		if err != nil {
			return err
		}
		return writeChanged(filepath.Join(d.dir, entry.Name()), []byte(variables.Replace(string(content))), 0o600)
	})
}

// bootstrap applies what Addons need themselves, waits for the kinds of Helm, and removes the disabled Addons.
func (d *deployer) bootstrap(ctx context.Context, manifest string) error {
	objects, err := parseManifest([]byte(manifest))
	if err != nil {
		return err
	}
	definitions, err := helmDefinitions()
	if err != nil {
		return err
	}
	for _, object := range append(objects, definitions...) {
		if err := d.apply(ctx, object); err != nil {
			return err
		}
	}
	for _, kind := range helmKinds {
		if _, err := d.resource(kind, metav1.NamespaceAll); err != nil {
			return err
		}
	}
	for _, name := range d.disabled {
		if err := d.removeAddon(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (d *deployer) deployAll(ctx context.Context) {
	files, err := d.manifestFiles()
	if err != nil {
		logrus.Errorf("Failed to process config: %v", err)
	}
	for _, file := range files {
		if err := d.deployFile(ctx, file); err != nil && ctx.Err() == nil {
			logrus.Errorf("Failed to process config: failed to process %s: %v", file, err)
			d.mapper.Reset() // a kind that was missing may be there next time
		}
	}
}

// manifestFiles lists the files to apply, in order.
func (d *deployer) manifestFiles() ([]string, error) {
	var files []string
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, skipped := os.Stat(path + ".skip")
		known := slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path))
		if known && skipped != nil && !strings.HasPrefix(entry.Name(), ".") && !slices.Contains(d.disabled, addonName(path)) {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

func addonName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return name
}

// deployFile applies a file that differs from what its Addon says was applied, and removes what is no longer in it.
func (d *deployer) deployFile(ctx context.Context, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	checksum, name := hex.EncodeToString(sum[:]), addonName(path)
	addon, err := d.getAddon(ctx, name)
	if err != nil {
		return err
	}
	if applied, _, _ := unstructured.NestedString(addon.Object, "spec", "checksum"); applied == checksum {
		return nil
	}
	objects, err := parseManifest(content)
	if err != nil {
		return err
	}
	kept, kinds := map[string]bool{}, addonKinds(addon)
	for _, object := range objects {
		own(object, name)
		if err := d.apply(ctx, object); err != nil {
			return err
		}
		kept[objectKey(object)] = true
		if kind := object.GroupVersionKind(); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if err := d.prune(ctx, name, kinds, kept); err != nil {
		return err
	}
	return d.apply(ctx, newAddon(name, path, checksum, kinds))
}

func (d *deployer) removeAddon(ctx context.Context, name string) error {
	for _, extension := range []string{".yaml", ".yml", ".json"} {
		if err := os.Remove(filepath.Join(d.dir, name+extension)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	addon, err := d.getAddon(ctx, name)
	if err != nil {
		return err
	}
	if err := d.prune(ctx, name, addonKinds(addon), nil); err != nil {
		return err
	}
	client, err := d.resource(addonKind, metav1.NamespaceSystem)
	if err != nil {
		return err
	}
	err = client.Delete(ctx, name, metav1.DeleteOptions{})
	return ignoreNotFound(err)
}

// prune deletes an Addon's objects that are not to be kept.
func (d *deployer) prune(ctx context.Context, name string, kinds []schema.GroupVersionKind, kept map[string]bool) error {
	for _, kind := range kinds {
		client, err := d.resource(kind, metav1.NamespaceAll)
		if meta.IsNoMatchError(err) {
			continue // the kind went, and with it its objects
		}
		if err != nil {
			return err
		}
		list, err := client.List(ctx, metav1.ListOptions{LabelSelector: hashLabel + "=" + ownerHash(name)})
		if err != nil {
			return err
		}
		for _, object := range list.Items {
			if kept[objectKey(&object)] {
				continue
			}
			client, err := d.resource(kind, object.GetNamespace())
			if err != nil {
				return err
			}
			background := metav1.DeletePropagationBackground
			err = client.Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
			if ignoreNotFound(err) != nil {
				return err
			}
		}
	}
	return nil
}

func (d *deployer) apply(ctx context.Context, object *unstructured.Unstructured) error {
	client, err := d.resource(object.GroupVersionKind(), object.GetNamespace())
	if err != nil {
		return err
	}
	_, err = client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	return err
}

// resource returns the client of a kind, in a namespace (or all of them) if it has namespaces.
func (d *deployer) resource(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return d.client.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return d.client.Resource(mapping.Resource), nil
}

func (d *deployer) getAddon(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	client, err := d.resource(addonKind, metav1.NamespaceSystem)
	if err != nil {
		return nil, err
	}
	addon, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return &unstructured.Unstructured{}, nil
	}
	return addon, err
}

func newAddon(name, source, checksum string, kinds []schema.GroupVersionKind) *unstructured.Unstructured {
	names := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		names = append(names, kind.Kind+"."+kind.Version+"."+kind.Group)
	}
	addon := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"source": source, "checksum": checksum}}}
	addon.SetGroupVersionKind(addonKind)
	addon.SetNamespace(metav1.NamespaceSystem)
	addon.SetName(name)
	addon.SetAnnotations(map[string]string{gvksAnnotation: strings.Join(names, ";")})
	return addon
}

// addonKinds are the kinds of which an Addon may have objects.
func addonKinds(addon *unstructured.Unstructured) []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, name := range strings.Split(addon.GetAnnotations()[gvksAnnotation], ";") {
		if kind, _ := schema.ParseKindArg(name); kind != nil {
			kinds = append(kinds, *kind)
		}
	}
	return kinds
}

// own marks an object as the Addon's.
func own(object *unstructured.Unstructured, addon string) {
	labels, annotations := object.GetLabels(), object.GetAnnotations()
	if labels == nil {
		labels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	labels[hashLabel] = ownerHash(addon)
	annotations[ownerAnnotation+"gvk"] = addonKind.GroupVersion().String() + ", Kind=" + addonKind.Kind
	annotations[ownerAnnotation+"name"] = addon
	annotations[ownerAnnotation+"namespace"] = metav1.NamespaceSystem
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
}

func ownerHash(addon string) string {
	sum := sha1.Sum([]byte(addonKind.String() + "/" + metav1.NamespaceSystem + "/" + addon))
	return hex.EncodeToString(sum[:])
}

func objectKey(object *unstructured.Unstructured) string {
	return object.GroupVersionKind().GroupKind().String() + "/" + object.GetNamespace() + "/" + object.GetName()
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// parseManifest splits a file into its objects; a List counts as what is in it.
func parseManifest(content []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case len(object.Object) == 0: // a document of comments
		case object.GetKind() == "" || object.GetAPIVersion() == "":
			return nil, fmt.Errorf("document %d has no kind or apiVersion", len(objects)+1)
		case object.IsList():
			err = object.EachListItem(func(item runtime.Object) error {
				objects = append(objects, item.(*unstructured.Unstructured))
				return nil
			})
			if err != nil {
				return nil, err
			}
		default:
			objects = append(objects, &object)
		}
	}
}
