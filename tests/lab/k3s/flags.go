// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const (
	defaultConfigFile = "/etc/rancher/k3s/config.yaml"
	defaultDataDir    = "/var/lib/rancher/k3s"
	kubeconfigPath    = "/etc/rancher/k3s/k3s.yaml"
)

// flagNames are the flags of one command, by the kind of their value.
type flagNames struct{ texts, lists, switches []string }

// The whole command line of k3s, so that what is spelled right is accepted and what is not is refused.
var (
	agentFlags = flagNames{
		texts: strings.Fields(`config data-dir token token-file server node-name resolv-conf flannel-iface flannel-conf
			flannel-cni-conf vpn-auth vpn-auth-file container-runtime-endpoint image-service-endpoint default-runtime
			pause-image snapshotter private-registry system-default-registry image-credential-provider-bin-dir
			image-credential-provider-config lb-server-port v vmodule log`),
		lists: strings.Fields(`node-label node-taint node-ip node-external-ip node-internal-dns node-external-dns
			airgap-extra-registry kubelet-arg kube-proxy-arg`),
		switches: strings.Fields(`with-node-id docker disable-default-registry-endpoint nonroot-devices selinux
			protect-kernel-defaults prefer-bundled-bin rootless disable-apiserver-lb debug alsologtostderr enable-pprof
			embedded-registry`),
	}
	serverOnlyFlags = flagNames{
		texts: strings.Fields(`bind-address https-listen-port advertise-address advertise-port agent-token agent-token-file
			cluster-reset-restore-path service-node-port-range cluster-domain flannel-backend egress-selector-mode
			servicelb-namespace write-kubeconfig write-kubeconfig-mode write-kubeconfig-group helm-job-image
			datastore-endpoint datastore-cafile datastore-certfile datastore-keyfile etcd-snapshot-name
			etcd-snapshot-schedule-cron etcd-snapshot-retention etcd-snapshot-dir etcd-snapshot-reconcile-interval
			etcd-s3-endpoint etcd-s3-endpoint-ca etcd-s3-access-key etcd-s3-secret-key etcd-s3-session-token
			etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-region etcd-s3-folder etcd-s3-proxy
			etcd-s3-config-secret etcd-s3-timeout etcd-s3-retention default-local-storage-path
			secrets-encryption-provider`),
		lists: strings.Fields(`tls-san cluster-cidr service-cidr cluster-dns kube-apiserver-arg etcd-arg
			kube-controller-manager-arg kube-scheduler-arg kube-cloud-controller-manager-arg disable`),
		switches: strings.Fields(`tls-san-security supervisor-metrics cluster-init cluster-reset flannel-ipv6-masq
			flannel-external-ip flannel-ip-masq-disable-random-fully kine-tls etcd-expose-metrics
			etcd-disable-snapshots etcd-snapshot-compress etcd-s3 etcd-s3-skip-ssl-verify etcd-s3-insecure
			disable-scheduler disable-cloud-controller disable-kube-proxy disable-network-policy
			disable-helm-controller disable-apiserver disable-controller-manager disable-etcd disable-agent
			secrets-encryption`),
	}

	shorthands = map[string]string{
		"config": "c", "data-dir": "d", "token": "t", "server": "s", "node-ip": "i", "write-kubeconfig": "o", "log": "l",
	}
	environment = map[string]string{
		"token": "K3S_TOKEN", "token-file": "K3S_TOKEN_FILE", "server": "K3S_URL", "config": "K3S_CONFIG_FILE",
		"agent-token": "K3S_AGENT_TOKEN", "node-name": "K3S_NODE_NAME", "data-dir": "K3S_DATA_DIR",
		"write-kubeconfig": "K3S_KUBECONFIG_OUTPUT", "write-kubeconfig-mode": "K3S_KUBECONFIG_MODE",
	}
	defaults = map[string]string{
		"config": defaultConfigFile, "data-dir": defaultDataDir, "cluster-cidr": "10.42.0.0/16",
		"service-cidr": "10.43.0.0/16", "cluster-domain": "cluster.local", "flannel-backend": "vxlan",
		"write-kubeconfig": kubeconfigPath, "write-kubeconfig-mode": "0600",
		"service-node-port-range": "30000-32767", "pause-image": "rancher/mirrored-pause:3.6",
	}
	imitated = strings.Fields(`config data-dir token token-file agent-token agent-token-file server node-name node-ip
		node-label node-taint flannel-iface flannel-backend tls-san cluster-cidr service-cidr cluster-dns cluster-domain
		service-node-port-range write-kubeconfig write-kubeconfig-mode disable kubelet-arg kube-proxy-arg
		kube-apiserver-arg kube-controller-manager-arg kube-scheduler-arg resolv-conf pause-image
		default-local-storage-path cluster-init etcd-arg cluster-reset
		cluster-reset-restore-path etcd-snapshot-dir`)
)

// settings are what k3s was told, whatever the way: command line, configuration files, environment, defaults.
type settings struct{ flags *pflag.FlagSet }

func (s settings) text(name string) string { return s.flags.Lookup(name).Value.String() }

// on tells whether a switch is set.
func (s settings) on(name string) bool { return s.text(name) == "true" }

// list returns every value of a repeatable flag, or its default.
func (s settings) list(name string) []string {
	values, _ := s.flags.GetStringArray(name)
	if len(values) == 0 && defaults[name] != "" {
		return []string{defaults[name]}
	}
	return values
}

// words is list for flags that also take several values separated by commas.
func (s settings) words(name string) []string {
	return strings.FieldsFunc(strings.Join(s.list(name), ","), func(r rune) bool { return r == ',' || r == ' ' })
}

// secret returns the value of a flag that may also be given as the path of a file.
func (s settings) secret(name string) (string, error) {
	if value := s.text(name); value != "" {
		return value, nil
	}
	path := s.text(name + "-file")
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", name, err)
	}
	return strings.TrimSpace(string(content)), nil
}

func (s settings) dataDir(elements ...string) string {
	return filepath.Join(append([]string{s.text("data-dir")}, elements...)...)
}

// parseSettings reads the sources from the strongest to the weakest: a flag that is set stays as it is.
func parseSettings(command string, args []string, getenv func(string) string) (settings, error) {
	s := settings{flags: newFlagSet(command)}
	if err := s.flags.Parse(args); err != nil {
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			return s, fmt.Errorf("flag provided but not defined: -%s", unknown.GetSpecifiedName())
		}
		return s, err
	}
	if s.flags.NArg() > 0 {
		return s, fmt.Errorf("%s takes no arguments, got %q", command, s.flags.Args())
	}
	if file := getenv(environment["config"]); file != "" && !s.flags.Changed("config") {
		if err := s.flags.Set("config", file); err != nil {
			return s, err
		}
	}
	config, err := readConfig(s.text("config"))
	if err != nil {
		return s, err
	}
	if err := s.addConfig(config); err != nil {
		return s, err
	}
	if err := s.addEnvironment(getenv); err != nil {
		return s, err
	}
	s.flags.Visit(func(flag *pflag.Flag) {
		if !slices.Contains(imitated, flag.Name) {
			logrus.Warnf("flag --%s is not imitated by this stand-in", flag.Name)
		}
	})
	return s, nil
}

func newFlagSet(command string) *pflag.FlagSet {
	set := pflag.NewFlagSet(command, pflag.ContinueOnError)
	set.Usage = func() {}
	kinds := []flagNames{agentFlags}
	if command == "server" {
		kinds = append(kinds, serverOnlyFlags)
	}
	for _, kind := range kinds {
		for _, name := range kind.texts {
			set.StringP(name, shorthands[name], defaults[name], "")
		}
		for _, name := range kind.lists {
			set.StringArrayP(name, shorthands[name], nil, "")
		}
		for _, name := range kind.switches {
			set.Bool(name, false, "")
		}
	}
	return set
}

func (s settings) addConfig(config map[string][]string) error {
	for _, key := range slices.Sorted(maps.Keys(config)) {
		flag := s.flags.Lookup(key)
		if flag == nil && len(key) == 1 {
			flag = s.flags.ShorthandLookup(key)
		}
		switch {
		case flag == nil:
			logrus.Warnf("Unknown flag --%s found in config.yaml, skipping", key)
		case !flag.Changed:
			for _, value := range config[key] {
				if err := s.flags.Set(flag.Name, value); err != nil {
					return fmt.Errorf("config.yaml: %w", err)
				}
			}
		}
	}
	return nil
}

func (s settings) addEnvironment(getenv func(string) string) error {
	for name, variable := range environment {
		flag, value := s.flags.Lookup(name), getenv(variable)
		if flag == nil || flag.Changed || value == "" {
			continue
		}
		if err := s.flags.Set(name, value); err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
	}
	return nil
}

// readConfig merges the configuration file and its drop-ins; none of them has to exist.
func readConfig(path string) (map[string][]string, error) {
	dropIns, err := filepath.Glob(path + ".d/*")
	if err != nil {
		return nil, err
	}
	merged := map[string][]string{}
	for _, file := range append([]string{path}, dropIns...) {
		if file != path && !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(file)) {
			continue
		}
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := mergeConfig(merged, content); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return merged, nil
}

// mergeConfig lets a key replace what earlier files said, and a key with a trailing "+" add to it.
func mergeConfig(merged map[string][]string, content []byte) error {
	var file map[string]any
	if err := yaml.Unmarshal(content, &file); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(file)) {
		values, err := configValues(file[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		name, adds := strings.CutSuffix(key, "+")
		if adds {
			values = append(slices.Clone(merged[name]), values...)
		}
		merged[name] = values
	}
	return nil
}

func configValues(value any) ([]string, error) {
	switch value := value.(type) {
	case map[string]any:
		return nil, errors.New("a map is not a value of any flag")
	case []any:
		values := make([]string, 0, len(value))
		for _, element := range value {
			values = append(values, fmt.Sprint(element))
		}
		return values, nil
	case nil:
		return []string{""}, nil
	default:
		return []string{fmt.Sprint(value)}, nil
	}
}
