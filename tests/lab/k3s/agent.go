// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	netutil "k8s.io/apimachinery/pkg/util/net"
)

const (
	nodePasswordPath = "/etc/rancher/node/password"
	retryInterval    = 5 * time.Second
)

// agent is what the parts of a node share.
type agent struct {
	settings
	cluster  *clusterClient
	nodeName string
	nodeIP   string
	config   clusterConfig
}

func runAgentOnly(ctx context.Context, options settings) error {
	logrus.Infof("Starting k3s agent %s (%s)", version, commit)
	secret, err := options.secret("token")
	if err != nil {
		return err
	}
	if secret == "" {
		return errors.New("--token is required")
	}
	if options.text("server") == "" {
		return errors.New("--server is required")
	}
	parsed, err := parseToken(secret)
	if err != nil {
		return err
	}
	balancer, err := newLoadBalancer(options.text("server"), options.dataDir("agent", "etc", "k3s-agent-load-balancer.json"))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return balancer.serve(ctx) })
	group.Go(func() error { return runAgent(ctx, options, "https://"+balancerAddress, parsed, balancer.follow) })
	return group.Wait()
}

// runAgent joins the cluster and runs a node until the context ends, and what goes along with it.
func runAgent(ctx context.Context, options settings, serverURL string, joinToken token,
	along ...func(context.Context, *clusterClient) error,
) error {
	a := &agent{settings: options, cluster: newClusterClient(serverURL, joinToken, "node")}
	var err error
	if a.nodeName, a.nodeIP, err = nodeIdentity(options); err != nil {
		return err
	}
	if err := unpackPrograms(a.dataDir()); err != nil {
		return fmt.Errorf("unpacking the bundled programs: %w", err)
	}
	if err := a.retry(ctx, "Failed to validate connection to cluster at "+serverURL, a.cluster.trust); err != nil {
		return err
	}
	if err := a.retry(ctx, "Waiting to retrieve agent configuration; server is not ready", a.fetchIdentity); err != nil {
		return err
	}
	enableForwarding()

	group, ctx := errgroup.WithContext(ctx)
	for _, follow := range along {
		group.Go(func() error { return follow(ctx, a.cluster) })
	}
	group.Go(func() error { return a.runContainerd(ctx) })
	group.Go(func() error {
		if err := a.prepareContainerd(ctx); err != nil {
			return err
		}
		group.Go(func() error { return a.runKubelet(ctx) })
		group.Go(func() error { return a.runKubeProxy(ctx) })
		if a.config.FlannelBackend != "none" {
			group.Go(func() error { return a.runFlannel(ctx) })
		}
		return a.notifyWhenHealthy(ctx)
	})
	return group.Wait()
}

func (a *agent) file(elements ...string) string {
	return a.dataDir(append([]string{"agent"}, elements...)...)
}

// retry goes on until the step is done: a server may come up long after its agents.
func (a *agent) retry(ctx context.Context, complaint string, step func(context.Context) error) error {
	return poll(ctx, retryInterval, func() (bool, error) {
		err := step(ctx)
		if err != nil {
			logrus.Errorf("%s: %v", complaint, err)
		}
		return err == nil, nil
	})
}

// fetchIdentity gets the cluster's configuration and the node's certificates.
func (a *agent) fetchIdentity(ctx context.Context) error {
	content, err := a.request(ctx, http.MethodGet, "/v1-k3s/config", nil)
	if err != nil {
		return fmt.Errorf("failed to retrieve configuration from server: %w", err)
	}
	if err := json.Unmarshal(content, &a.config); err != nil {
		return err
	}
	if err := os.MkdirAll(a.file(), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"client-ca.crt", "server-ca.crt"} {
		ca, err := a.request(ctx, http.MethodGet, "/v1-k3s/"+name, nil)
		if err != nil {
			return err
		}
		if err := writeChanged(a.file(name), ca, 0o644); err != nil {
			return err
		}
	}
	for _, name := range []string{"serving-kubelet", "client-kubelet", "client-kube-proxy", "client-k3s-controller"} {
		if err := a.fetchCertificate(ctx, name); err != nil {
			return err
		}
	}
	for client, name := range map[string]string{
		"client-kubelet": "kubelet", "client-kube-proxy": "kubeproxy", "client-k3s-controller": "k3scontroller",
	} {
		config := newKubeconfig(a.cluster.url, a.file("server-ca.crt"), a.file(client+".crt"), a.file(client+".key"))
		if err := writeKubeconfig(a.file(name+".kubeconfig"), config, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (a *agent) fetchCertificate(ctx context.Context, name string) error {
	key, err := ensureKey(a.file(name + ".key"))
	if err != nil {
		return err
	}
	request := &x509.CertificateRequest{Subject: pkix.Name{CommonName: a.nodeName}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return err
	}
	certificate, err := a.request(ctx, http.MethodPost, "/v1-k3s/"+name+".crt", csr)
	if err != nil {
		return err
	}
	return os.WriteFile(a.file(name+".crt"), certificate, 0o644)
}

func (a *agent) request(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	password, err := nodePassword()
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	header.Set(nodeNameHeader, a.nodeName)
	header.Set(nodePasswordHeader, password)
	header.Set(nodeIPHeader, a.nodeIP)
	content, err := a.cluster.request(ctx, method, path, body, header)
	var refused *statusError
	if errors.As(err, &refused) && refused.code == http.StatusForbidden && strings.HasPrefix(refused.body, errNodePassword.Error()) {
		return nil, errors.New("Node password rejected, duplicate hostname or contents of '" + nodePasswordPath +
			"' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag")
	}
	return content, err
}

// nodePassword is made once; it proves to the server that a node of a known name is still the same machine.
func nodePassword() (string, error) {
	content, err := os.ReadFile(nodePasswordPath)
	if errors.Is(err, os.ErrNotExist) {
		content = []byte(randomHex(16) + "\n")
		if err := os.MkdirAll(filepath.Dir(nodePasswordPath), 0o755); err != nil {
			return "", err
		}
		err = os.WriteFile(nodePasswordPath, content, 0o600)
	}
	return strings.TrimSpace(string(content)), err
}

func nodeIdentity(options settings) (name, ip string, err error) {
	if name = options.text("node-name"); name == "" {
		if name, err = os.Hostname(); err != nil {
			return "", "", err
		}
		name = strings.ToLower(name)
	}
	if given := options.words("node-ip"); len(given) > 0 {
		return name, given[0], nil
	}
	address, err := netutil.ChooseHostInterface()
	if err != nil {
		return "", "", fmt.Errorf("no node IP: %w (give --node-ip or a default route)", err)
	}
	return name, address.String(), nil
}

func (a *agent) runKubelet(ctx context.Context) error {
	resolvConf, err := a.resolvConf()
	if err != nil {
		return err
	}
	labels := append(a.list("node-label"), "node.kubernetes.io/instance-type=k3s", "beta.kubernetes.io/instance-type=k3s")
	args := componentArgs{
		"anonymous-auth":               "false",
		"authentication-token-webhook": "true",
		"authorization-mode":           "Webhook",
		"cgroup-driver":                "cgroupfs",
		"client-ca-file":               a.file("client-ca.crt"),
		"cluster-dns":                  a.config.ClusterDNS,
		"cluster-domain":               a.config.ClusterDomain,
		"container-runtime-endpoint":   "unix://" + containerdSocket,
		"eviction-hard":                "imagefs.available<5%,nodefs.available<5%",
		"fail-swap-on":                 "false",
		"hostname-override":            a.nodeName,
		// Images come from archives only. Of a disk that is nearly full the pause image would be cleared away: k3s's
		// containerd keeps it from that, Debian's does not.
		"image-gc-high-threshold": "100",
		"kubeconfig":              a.file("kubelet.kubeconfig"),
		"node-ip":                 a.nodeIP,
		"node-labels":             strings.Join(labels, ","),
		"pod-manifest-path":       a.file("pod-manifests"),
		"provider-id":             "k3s://" + a.nodeName,
		"read-only-port":          "0",
		"resolv-conf":             resolvConf,
		"tls-cert-file":           a.file("serving-kubelet.crt"),
		"tls-private-key-file":    a.file("serving-kubelet.key"),
	}
	if taints := a.list("node-taint"); len(taints) > 0 {
		args["register-with-taints"] = strings.Join(taints, ",")
	}
	if !fileSystemKnown("/var/lib/kubelet") {
		args["local-storage-capacity-isolation"] = "false"
	}
	if err := os.MkdirAll(a.file("pod-manifests"), 0o700); err != nil {
		return err
	}
	return runComponent(ctx, "kubelet", args, a.list("kubelet-arg"))
}

var nameserver = regexp.MustCompile(`(?m)^\s*nameserver\s+(\S+)`)

// resolvConf is the host's, unless that only names servers which pods cannot reach.
func (a *agent) resolvConf() (string, error) {
	if given := a.text("resolv-conf"); given != "" {
		return given, nil
	}
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, match := range nameserver.FindAllStringSubmatch(string(content), -1) {
			if !strings.HasPrefix(match[1], "127.") && match[1] != "::1" {
				return path, nil
			}
		}
	}
	fallback := a.file("etc", "resolv.conf")
	if err := os.MkdirAll(filepath.Dir(fallback), 0o755); err != nil {
		return "", err
	}
	return fallback, writeChanged(fallback, []byte("nameserver 8.8.8.8\n"), 0o644)
}

func (a *agent) runKubeProxy(ctx context.Context) error {
	return runComponent(ctx, "kube-proxy", componentArgs{
		"cluster-cidr":      a.config.ClusterIPRange,
		"hostname-override": a.nodeName,
		"kubeconfig":        a.file("kubeproxy.kubeconfig"),
		"proxy-mode":        "iptables",
		// The table is the host's: a container may not resize it, and a laptop's stays as it was.
		"conntrack-max-per-core": "0",
	}, a.list("kube-proxy-arg"))
}

// notifyWhenHealthy tells systemd that the node has joined; on a server the API was the news.
func (a *agent) notifyWhenHealthy(ctx context.Context) error {
	err := poll(ctx, time.Second, func() (bool, error) {
		response, err := http.Get("http://127.0.0.1:10248/healthz")
		if err != nil {
			return false, nil
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return err
	}
	if a.flags.Name() == "agent" {
		logrus.Info("k3s agent is up and running")
		_, err = daemon.SdNotify(false, daemon.SdNotifyReady)
	}
	return err
}
