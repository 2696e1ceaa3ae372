// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/k3s-io/kine/pkg/endpoint"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	netutils "k8s.io/utils/net"
)

// server is everything the parts of a server share.
type server struct {
	settings
	dir      string // <data-dir>/server
	nodeName string
	nodeIP   string
	token    token // the server's own
	agent    token
	pki      *serverPKI
	rest     *rest.Config // of system:admin
	client   kubernetes.Interface
}

func runServer(ctx context.Context, options settings) error {
	logrus.Infof("Starting k3s %s (%s)", version, commit)
	s := &server{settings: options, dir: options.dataDir("server")}
	datastore, err := s.prepare(ctx)
	if err != nil {
		return fmt.Errorf("preparing server: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	supervisor := s.newSupervisor()
	group.Go(func() error { return supervisor.serve(ctx) })
	group.Go(func() error { return s.runAPIServer(ctx, datastore.Endpoints[0]) })
	group.Go(func() error {
		if err := s.waitForAPI(ctx); err != nil {
			return err
		}
		supervisor.ready.Store(true)
		s.startControllers(ctx, group)
		logrus.Info("k3s is up and running")
		if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
			return err
		}
		return runAgent(ctx, options, "https://127.0.0.1"+supervisorAddress, s.token)
	})
	return group.Wait()
}

// prepare lays down all files and opens the datastore.
func (s *server) prepare(ctx context.Context) (datastore endpoint.ETCDConfig, err error) {
	for _, unsupported := range []string{"server", "datastore-endpoint"} {
		if s.text(unsupported) != "" {
			return datastore, fmt.Errorf("--%s: this stand-in has a single server on SQLite only", unsupported)
		}
	}
	for _, dir := range []string{s.dir, s.file("tls"), s.file("db"), s.file("cred"), s.file("manifests")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return datastore, err
		}
	}
	if s.nodeName, s.nodeIP, err = nodeIdentity(s.settings); err != nil {
		return datastore, err
	}
	password, err := s.serverPassword()
	if err != nil {
		return datastore, err
	}
	if datastore, err = startDatastore(ctx, s.dir); err != nil {
		return datastore, err
	}
	if err := claimDatastore(ctx, datastore, password); err != nil {
		return datastore, err
	}
	hosts, err := s.certificateHosts()
	if err != nil {
		return datastore, err
	}
	if s.pki, err = newServerPKI(s.file("tls"), hosts); err != nil {
		return datastore, err
	}
	if err := s.writeTokens(password); err != nil {
		return datastore, err
	}
	if err := s.stageCharts(); err != nil {
		return datastore, err
	}
	return datastore, s.writeKubeconfigs()
}

func (s *server) file(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// serverPassword is the one that was asked for, else the one of the last start, else a new one.
func (s *server) serverPassword() (string, error) {
	text, err := s.secret("token")
	if err != nil {
		return "", err
	}
	if text == "" {
		content, err := os.ReadFile(s.file("token"))
		if errors.Is(err, os.ErrNotExist) {
			return randomHex(16), nil
		}
		if err != nil {
			return "", err
		}
		text = strings.TrimSpace(string(content))
	}
	parsed, err := parseToken(text)
	return parsed.password, err
}

// writeTokens lays down the files from which the tokens are copied to other nodes.
func (s *server) writeTokens(password string) error {
	hash := hashCA(s.pki.serverCA.pem)
	s.token = token{caHash: hash, user: "server", password: password}
	s.agent = token{caHash: hash, user: "node", password: password}
	if err := writeChanged(s.file("token"), []byte(s.token.String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := replaceSymlink("token", s.file("node-token")); err != nil {
		return err
	}
	agentSecret, err := s.secret("agent-token")
	if err != nil {
		return err
	}
	agentTokenFile := s.file("agent-token")
	if agentSecret == "" {
		err = replaceSymlink("token", agentTokenFile)
	} else {
		s.agent.password = agentSecret
		_ = os.Remove(agentTokenFile) // it may be the symlink of a start without an agent token
		err = writeChanged(agentTokenFile, []byte(s.agent.String()+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	for role, file := range map[string]string{"server": "token", "agent": "agent-token"} {
		logrus.Infof("Server node token is available at %s", s.file(file))
		logrus.Infof("To join %s node to cluster: k3s %s -s https://%s%s -t ${%s_NODE_TOKEN}",
			role, role, s.nodeIP, supervisorAddress, strings.ToUpper(role))
	}
	return nil
}

func (s *server) certificateHosts() ([]string, error) {
	serviceIP, err := nthAddress(s.words("service-cidr")[0], 1)
	if err != nil {
		return nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	hosts := append([]string{
		"127.0.0.1", "::1", "localhost", s.nodeName, hostname, s.nodeIP, serviceIP, "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc." + s.text("cluster-domain"),
	}, s.words("tls-san")...)
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

func (s *server) clusterDNS() (string, error) {
	if given := s.words("cluster-dns"); len(given) > 0 {
		return given[0], nil
	}
	return nthAddress(s.words("service-cidr")[0], 10)
}

func nthAddress(cidr string, n int) (string, error) {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return "", err
	}
	ip, err := netutils.GetIndexedIP(network, n)
	if err != nil {
		return "", err
	}
	return ip.String(), nil
}

// writeKubeconfigs writes the user's kubeconfig, and those of our own parts, which skip the supervisor.
func (s *server) writeKubeconfigs() error {
	mode, err := strconv.ParseUint(s.text("write-kubeconfig-mode"), 8, 32)
	if err != nil {
		return fmt.Errorf("--write-kubeconfig-mode: %w", err)
	}
	output := s.text("write-kubeconfig")
	admin := s.pki.kubeconfig("https://127.0.0.1"+supervisorAddress, "client-admin")
	if err := writeKubeconfig(output, admin, os.FileMode(mode)); err != nil {
		return err
	}
	if output != kubeconfigPath {
		if err := replaceSymlink(output, kubeconfigPath); err != nil {
			return err
		}
	}
	logrus.Infof("Wrote kubeconfig %s", output)
	logrus.Info("Run: k3s kubectl")
	for _, part := range []string{"admin", "controller", "scheduler"} {
		config := s.pki.kubeconfig("https://"+apiServerAddress, "client-"+part)
		if err := writeKubeconfig(s.file("cred", part+".kubeconfig"), config, 0o600); err != nil {
			return err
		}
	}
	if s.rest, err = clientcmd.BuildConfigFromFlags("", s.file("cred", "admin.kubeconfig")); err != nil {
		return err
	}
	s.rest.QPS = -1 // our own loops are few and slow
	s.client, err = kubernetes.NewForConfig(s.rest)
	return err
}

func (s *server) newSupervisor() *supervisor {
	dns, _ := s.clusterDNS() // the same network gave the certificate its service address
	return &supervisor{
		pki: s.pki, static: s.file("static"), client: s.client, serverPassword: s.token.password, agentPassword: s.agent.password,
		config: clusterConfig{
			ClusterIPRange: s.words("cluster-cidr")[0],
			ServiceIPRange: s.words("service-cidr")[0],
			ClusterDNS:     dns,
			ClusterDomain:  s.text("cluster-domain"),
			FlannelBackend: s.text("flannel-backend"),
		},
	}
}

func (s *server) runAPIServer(ctx context.Context, datastore string) error {
	tls := func(name string) string { return s.file("tls", name) }
	issuer := "https://kubernetes.default.svc." + s.text("cluster-domain")
	host, port, _ := net.SplitHostPort(apiServerAddress)
	return runComponent(ctx, "kube-apiserver", componentArgs{
		"advertise-address": s.nodeIP,
		"allow-privileged":  "true",
		"anonymous-auth":    "false",
		"api-audiences":     issuer + ",k3s", "authorization-mode": "Node,RBAC",
		"bind-address":             host,
		"cert-dir":                 s.file("tls", "temporary-certs"),
		"client-ca-file":           tls("client-ca.crt"),
		"enable-admission-plugins": "NodeRestriction", "enable-bootstrap-token-auth": "true",
		// It would announce its own loopback port; kubernetesEndpoint announces the supervisor's.
		"endpoint-reconciler-type":           "none",
		"etcd-servers":                       datastore,
		"kubelet-certificate-authority":      tls("server-ca.crt"),
		"kubelet-client-certificate":         tls("client-kube-apiserver.crt"),
		"kubelet-client-key":                 tls("client-kube-apiserver.key"),
		"kubelet-preferred-address-types":    "InternalIP,ExternalIP,Hostname",
		"profiling":                          "false",
		"proxy-client-cert-file":             tls("client-auth-proxy.crt"),
		"proxy-client-key-file":              tls("client-auth-proxy.key"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       tls("request-header-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        port,
		"service-account-issuer":             issuer,
		"service-account-key-file":           tls("service.key"),
		"service-account-signing-key-file":   tls("service.key"),
		"service-cluster-ip-range":           strings.Join(s.words("service-cidr"), ","),
		"service-node-port-range":            s.text("service-node-port-range"),
		"storage-backend":                    "etcd3",
		"tls-cert-file":                      tls("serving-kube-apiserver.crt"),
		"tls-private-key-file":               tls("serving-kube-apiserver.key"),
	}, s.list("kube-apiserver-arg"))
}

func (s *server) waitForAPI(ctx context.Context) error {
	return poll(ctx, 500*time.Millisecond, func() (bool, error) {
		_, err := s.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
}

// startControllers starts all that works on a ready API.
func (s *server) startControllers(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return s.runControllerManager(ctx) })
	group.Go(func() error {
		return runComponent(ctx, "kube-scheduler", componentArgs{
			"authentication-kubeconfig": s.file("cred", "scheduler.kubeconfig"),
			"authorization-kubeconfig":  s.file("cred", "scheduler.kubeconfig"),
			"bind-address":              "127.0.0.1",
			"kubeconfig":                s.file("cred", "scheduler.kubeconfig"),
			"leader-elect":              "false",
			"profiling":                 "false",
		}, s.list("kube-scheduler-arg"))
	})
	group.Go(func() error {
		return s.runDeployer(ctx, func() {
			group.Go(func() error { return s.runHelmController(ctx) })
		})
	})
	group.Go(func() error { return runServiceLB(ctx, s.client, !slices.Contains(s.words("disable"), "servicelb")) })
	group.Go(func() error { return s.labelOwnNode(ctx) })
}

func (s *server) runControllerManager(ctx context.Context) error {
	args := componentArgs{
		"allocate-node-cidrs":              "true",
		"authentication-kubeconfig":        s.file("cred", "controller.kubeconfig"),
		"authorization-kubeconfig":         s.file("cred", "controller.kubeconfig"),
		"bind-address":                     "127.0.0.1",
		"cluster-cidr":                     strings.Join(s.words("cluster-cidr"), ","),
		"configure-cloud-routes":           "false",
		"controllers":                      "*,tokencleaner",
		"kubeconfig":                       s.file("cred", "controller.kubeconfig"),
		"leader-elect":                     "false",
		"profiling":                        "false",
		"root-ca-file":                     s.file("tls", "server-ca.crt"),
		"service-account-private-key-file": s.file("tls", "service.key"),
		"service-cluster-ip-range":         strings.Join(s.words("service-cidr"), ","),
		"use-service-account-credentials":  "true",
	}
	for signer, ca := range map[string]string{
		"kube-apiserver-client": "client-ca", "kubelet-client": "client-ca", "kubelet-serving": "server-ca", "legacy-unknown": "server-ca",
	} {
		args["cluster-signing-"+signer+"-cert-file"] = s.file("tls", ca+".crt")
		args["cluster-signing-"+signer+"-key-file"] = s.file("tls", ca+".key")
	}
	return runComponent(ctx, "kube-controller-manager", args, s.list("kube-controller-manager-arg"))
}

// labelOwnNode gives the label of a server, which a kubelet may not give itself.
func (s *server) labelOwnNode(ctx context.Context) error {
	patch := []byte(`{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"true"}}}`)
	return poll(ctx, time.Second, func() (bool, error) {
		_, err := s.client.CoreV1().Nodes().Patch(ctx, s.nodeName, types.MergePatchType, patch, metav1.PatchOptions{})
		return err == nil, nil
	})
}
