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
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/k3s-io/kine/pkg/endpoint"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	netutils "k8s.io/utils/net"
)

// server is everything the parts of a server share.
type server struct {
	settings
	dir       string // <data-dir>/server
	nodeName  string
	nodeIP    string
	token     token // the server's own
	agent     token
	pki       *serverPKI
	etcd      *etcdMember // nil if the datastore is SQLite
	datastore endpoint.ETCDConfig
	rest      *rest.Config // of system:admin
	client    kubernetes.Interface
}

func runServer(ctx context.Context, options settings) error {
	logrus.Infof("Starting k3s %s (%s)", version, commit)
	s := &server{settings: options, dir: options.dataDir("server")}
	if s.on("cluster-reset") {
		return s.resetCluster(ctx)
	}
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("preparing server: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	supervisor, err := s.newSupervisor()
	if err != nil {
		return err
	}
	group.Go(func() error { return supervisor.serve(ctx) })
	group.Go(func() error {
		if s.etcd != nil {
			if err := s.startEtcd(ctx, group); err != nil {
				return fmt.Errorf("starting etcd: %w", err)
			}
		}
		group.Go(func() error { return s.runAPIServer(ctx) })
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

// prepare lays down all files. SQLite is opened on the way, since it may know better than the files.
func (s *server) prepare(ctx context.Context) (err error) {
	if s.text("datastore-endpoint") != "" {
		return errors.New("--datastore-endpoint: this stand-in has SQLite and embedded etcd only")
	}
	for _, dir := range []string{s.dir, s.file("tls"), s.file("db"), s.file("cred"), s.file("manifests")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if s.nodeName, s.nodeIP, err = nodeIdentity(s.settings); err != nil {
		return err
	}
	if err := s.chooseDatastore(); err != nil {
		return err
	}
	password, err := s.serverPassword()
	if err != nil {
		return err
	}
	data, err := s.recallBootstrapData(ctx, password)
	if err != nil {
		return fmt.Errorf("failed to bootstrap cluster data: %w", err)
	}
	if err := data.write(s.file("tls")); err != nil {
		return err
	}
	hosts, err := s.certificateHosts()
	if err != nil {
		return err
	}
	if s.pki, err = newServerPKI(s.file("tls"), hosts); err != nil {
		return err
	}
	if s.etcd == nil {
		if err := s.claimDatastore(ctx, password); err != nil {
			return err
		}
	}
	if err := s.writeTokens(password); err != nil {
		return err
	}
	if err := s.stageCharts(); err != nil {
		return err
	}
	return s.writeKubeconfigs()
}

// chooseDatastore takes etcd if it is asked for, and whatever is asked for once it is there.
func (s *server) chooseDatastore() (err error) {
	dir := s.file("db", "etcd")
	if err := setAsideRemoved(dir); err != nil {
		return err
	}
	if s.on("cluster-init") || s.text("server") != "" || hasMember(dir) {
		s.etcd, err = newEtcdMember(dir, s.file("tls"), s.nodeName, s.nodeIP, s.list("etcd-arg"))
	}
	return err
}

// joins tells whether this server is to become part of a cluster that it has no data of.
func (s *server) joins() bool {
	return s.etcd != nil && !hasMember(s.etcd.dir) && s.text("server") != ""
}

// recallBootstrapData returns what is known of the cluster besides the files of this server.
func (s *server) recallBootstrapData(ctx context.Context, password string) (data bootstrapData, err error) {
	switch {
	case s.joins():
		logrus.Info("Managed etcd cluster not yet initialized")
		return s.fetchBootstrapData(ctx)
	case s.etcd != nil && hasMember(s.etcd.dir):
		return loadStoppedBootstrapData(ctx, s.etcd.dir, password)
	case s.etcd != nil:
		return nil, nil
	default:
		if s.datastore, err = startSQLite(ctx, s.dir, &sync.WaitGroup{}); err != nil {
			return nil, err
		}
		return loadBootstrapData(ctx, s.datastore, password)
	}
}

func (s *server) claimDatastore(ctx context.Context, password string) error {
	data, err := readBootstrapData(s.file("tls"))
	if err != nil {
		return err
	}
	return saveBootstrapData(ctx, s.datastore, password, data)
}

// startEtcd returns when the API server can work with etcd.
func (s *server) startEtcd(ctx context.Context, group *errgroup.Group) error {
	var start etcdStart
	if s.joins() {
		cluster, err := s.etcd.join(ctx, s.etcdPeers)
		if err != nil {
			return err
		}
		start.cluster = cluster
	}
	group.Go(func() error { return s.etcd.run(ctx, start) })
	if err := s.etcd.waitForVote(ctx, s.etcdPeers); err != nil {
		return err
	}
	s.datastore = s.etcd.endpoint()
	if s.text("server") == "" {
		if err := s.migrateSQLite(ctx); err != nil {
			return err
		}
	}
	if err := s.claimDatastore(ctx, s.token.password); err != nil {
		return err
	}
	return removeIfThere(s.resetFlag())
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

func (s *server) newSupervisor() (*supervisor, error) {
	critical, err := s.criticalConfig()
	return &supervisor{
		pki: s.pki, static: s.file("static"), client: s.client, etcd: s.etcd, snapshots: snapshotStore{s.snapshotDir(), s.nodeName},
		serverPassword: s.token.password, agentPassword: s.agent.password,
		config: clusterConfig{criticalConfig: critical},
	}, err
}

func (s *server) runAPIServer(ctx context.Context) error {
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
		// It would announce its own loopback port; runEndpoints announces the supervisor's.
		"endpoint-reconciler-type":           "none",
		"etcd-cafile":                        s.datastore.TLSConfig.CAFile,
		"etcd-certfile":                      s.datastore.TLSConfig.CertFile,
		"etcd-keyfile":                       s.datastore.TLSConfig.KeyFile,
		"etcd-servers":                       s.datastore.Endpoints[0],
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
	group.Go(func() error { return s.runScheduler(ctx) })
	bootstrapped := make(chan struct{})
	group.Go(func() error { return s.runDeployer(ctx, func() { close(bootstrapped) }) })
	group.Go(func() error { return s.runEndpoints(ctx) })
	group.Go(func() error { return s.runOwnNode(ctx) })
	group.Go(func() error {
		return s.runLeading(ctx, func(ctx context.Context) error { return s.runClusterLoops(ctx, bootstrapped) })
	})
}

// runClusterLoops runs what one server does for all.
func (s *server) runClusterLoops(ctx context.Context, bootstrapped <-chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-bootstrapped:
			return s.runHelmController(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error { return runServiceLB(ctx, s.client, !slices.Contains(s.words("disable"), "servicelb")) })
	if s.etcd != nil {
		group.Go(func() error { return s.runMemberRemoval(ctx) })
	}
	return group.Wait()
}

func (s *server) runScheduler(ctx context.Context) error {
	args := componentArgs{
		"authentication-kubeconfig": s.file("cred", "scheduler.kubeconfig"),
		"authorization-kubeconfig":  s.file("cred", "scheduler.kubeconfig"),
		"bind-address":              "127.0.0.1",
		"kubeconfig":                s.file("cred", "scheduler.kubeconfig"),
		"profiling":                 "false",
	}
	s.addLeaderElection(args)
	return runComponent(ctx, "kube-scheduler", args, s.list("kube-scheduler-arg"))
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
		"profiling":                        "false",
		"root-ca-file":                     s.file("tls", "server-ca.crt"),
		"service-account-private-key-file": s.file("tls", "service.key"),
		"service-cluster-ip-range":         strings.Join(s.words("service-cidr"), ","),
		"use-service-account-credentials":  "true",
	}
	s.addLeaderElection(args)
	for signer, ca := range map[string]string{
		"kube-apiserver-client": "client-ca", "kubelet-client": "client-ca", "kubelet-serving": "server-ca", "legacy-unknown": "server-ca",
	} {
		args["cluster-signing-"+signer+"-cert-file"] = s.file("tls", ca+".crt")
		args["cluster-signing-"+signer+"-key-file"] = s.file("tls", ca+".key")
	}
	return runComponent(ctx, "kube-controller-manager", args, s.list("kube-controller-manager-arg"))
}
