// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
)

const (
	supervisorAddress = ":6443"
	apiServerAddress  = "127.0.0.1:6444"

	nodeNameHeader     = "k3s-Node-Name"
	nodePasswordHeader = "k3s-Node-Password"
	nodeIPHeader       = "k3s-Node-IP"
)

// clusterConfig is what a node has to know of its cluster.
type clusterConfig struct {
	criticalConfig
	DisableKubeProxy bool
}

// supervisor is the listener on 6443: k3s's own paths, and the API server behind them.
type supervisor struct {
	pki            *serverPKI
	static         string // a directory for everyone to read
	serverPassword string
	agentPassword  string
	config         clusterConfig
	client         kubernetes.Interface
	etcd           *etcdMember // or nil
	snapshots      snapshotStore
	ready          atomic.Bool
}

func (s *supervisor) serve(ctx context.Context) error {
	certificate, err := tls.LoadX509KeyPair(s.pki.file("serving-kube-apiserver.crt"), s.pki.file("serving-kube-apiserver.key"))
	if err != nil {
		return err
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:    supervisorAddress,
		Handler: handler,
		// A client certificate is asked for and judged per request: most paths do without.
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServeTLS("", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *supervisor) handler() (http.Handler, error) {
	proxy, err := s.apiServerProxy()
	if err != nil {
		return nil, err
	}
	agents := http.NewServeMux()
	agents.HandleFunc("GET /v1-k3s/readyz", s.whenReady(reply([]byte("ok"))))
	agents.HandleFunc("GET /v1-k3s/config", s.getConfig)
	agents.HandleFunc("GET /v1-k3s/client-ca.crt", reply(s.pki.clientCA.pem))
	agents.HandleFunc("GET /v1-k3s/server-ca.crt", reply(s.pki.serverCA.pem))
	agents.HandleFunc("GET /v1-k3s/apiservers", s.whenReady(s.getAPIServers))
	agents.HandleFunc("POST /v1-k3s/serving-kubelet.crt", s.whenReady(s.nodeCertificate(s.servingKubelet)))
	agents.HandleFunc("POST /v1-k3s/client-kubelet.crt", s.whenReady(s.nodeCertificate(s.clientKubelet)))
	agents.HandleFunc("POST /v1-k3s/client-kube-proxy.crt", s.clientCertificate("system:kube-proxy"))
	agents.HandleFunc("POST /v1-k3s/client-k3s-controller.crt", s.clientCertificate("system:k3s-controller"))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", reply([]byte("pong")))
	mux.HandleFunc("GET /cacerts", reply(s.pki.serverCA.pem))
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServer(http.Dir(s.static))))
	mux.Handle("/v1-k3s/", s.forAgents(agents))
	mux.HandleFunc("GET /v1-k3s/server-bootstrap", s.forServers(s.getBootstrapData))
	mux.HandleFunc("GET /db/info", s.forServers(s.getMembers))
	mux.HandleFunc("POST "+snapshotPath, s.forServers(s.handleSnapshots))
	mux.HandleFunc("/", s.whenReady(proxy))
	return mux, nil
}

// forAgents lets in who shows the secret of a token or the certificate of a node.
func (s *supervisor) forAgents(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := s.agentStatus(r); status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *supervisor) agentStatus(r *http.Request) int {
	user, password, basic := r.BasicAuth()
	if basic {
		knows := func(secret string) bool { return subtle.ConstantTimeCompare([]byte(password), []byte(secret)) == 1 }
		if knows(s.serverPassword) && (user == "server" || user == "node") || knows(s.agentPassword) && user == "node" {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return http.StatusForbidden
	}
	certificate := s.clientIdentity(r)
	switch {
	case certificate == nil:
		return http.StatusUnauthorized
	case !slices.Contains(certificate.Subject.Organization, "system:nodes"):
		return http.StatusForbidden
	default:
		return http.StatusOK
	}
}

// forServers lets in who shows the secret of the server token, to what only exists where there is etcd.
func (s *supervisor) forServers(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, password, basic := r.BasicAuth()
		knows := subtle.ConstantTimeCompare([]byte(password), []byte(s.serverPassword)) == 1
		switch {
		case !basic:
			http.Error(w, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		case user != "server" || !knows:
			http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		case s.etcd == nil:
			http.Error(w, "etcd disabled", http.StatusBadRequest)
		default:
			next(w, r)
		}
	}
}

// clientIdentity returns the client's certificate if our CA vouches for it.
func (s *supervisor) clientIdentity(r *http.Request) *x509.Certificate {
	if len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.pki.clientCA.certificate)
	certificate := r.TLS.PeerCertificates[0]
	options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := certificate.Verify(options); err != nil {
		return nil
	}
	return certificate
}

// apiServerProxy forwards to the API server. It ends TLS, so it states the identity of a client certificate in
// headers that the API server believes from nobody but the holder of the auth-proxy certificate.
func (s *supervisor) apiServerProxy() (http.HandlerFunc, error) {
	roots := x509.NewCertPool()
	roots.AddCert(s.pki.serverCA.certificate)
	authProxy, err := tls.LoadX509KeyPair(s.pki.file("client-auth-proxy.crt"), s.pki.file("client-auth-proxy.key"))
	if err != nil {
		return nil, err
	}
	// The transports speak HTTP/1.1 only: exec and port-forward upgrade their connection.
	// The API server closes a connection that was idle for 90 s: a request that does not repeat well could meet that.
	anonymous := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}
	vouched := anonymous.Clone()
	vouched.TLSClientConfig.Certificates = []tls.Certificate{authProxy}

	target := &url.URL{Scheme: "https", Host: apiServerAddress}
	forward := func(transport http.RoundTripper) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host
			},
			Transport:     transport,
			FlushInterval: -1, // a watch is a stream
			ErrorLog:      log.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
			},
		}
	}
	asIs, asUser := forward(anonymous), forward(vouched)
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Remote-") {
				r.Header.Del(name)
			}
		}
		identity := s.clientIdentity(r)
		if identity == nil {
			asIs.ServeHTTP(w, r)
			return
		}
		r.Header.Set("X-Remote-User", identity.Subject.CommonName)
		r.Header["X-Remote-Group"] = identity.Subject.Organization
		asUser.ServeHTTP(w, r)
	}, nil
}

func reply(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
}

// whenReady keeps clients away from an API server that does not know its users' rights yet.
func (s *supervisor) whenReady(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "runtime core not ready", http.StatusServiceUnavailable)
			return
		}
		next(w, r)
	}
}

func (s *supervisor) getConfig(w http.ResponseWriter, _ *http.Request) { replyJSON(w, s.config, nil) }

func (s *supervisor) getAPIServers(w http.ResponseWriter, r *http.Request) {
	addresses, err := listAPIServers(r.Context(), s.client)
	replyJSON(w, addresses, err)
}

func (s *supervisor) getBootstrapData(w http.ResponseWriter, _ *http.Request) {
	data, err := readBootstrapData(s.pki.dir)
	replyJSON(w, data, err)
}

func (s *supervisor) getMembers(w http.ResponseWriter, r *http.Request) {
	members, err := s.etcd.members(r.Context())
	replyJSON(w, memberList{members}, err)
}

func replyJSON(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *supervisor) clientCertificate(user string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { answerCSR(w, r, s.pki.clientCA, leaf{name: user}) }
}

func (s *supervisor) servingKubelet(w http.ResponseWriter, r *http.Request, node string) {
	hosts := []string{node, "localhost", "127.0.0.1"}
	if ip := net.ParseIP(r.Header.Get(nodeIPHeader)); ip != nil {
		hosts = append(hosts, ip.String())
	}
	answerCSR(w, r, s.pki.serverCA, leaf{name: node, hosts: hosts})
}

func (s *supervisor) clientKubelet(w http.ResponseWriter, r *http.Request, node string) {
	answerCSR(w, r, s.pki.clientCA, leaf{name: "system:node:" + node, groups: []string{"system:nodes"}})
}

// nodeCertificate hands on the name of a node that has shown the password it first came with.
func (s *supervisor) nodeCertificate(next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		node, password := r.Header.Get(nodeNameHeader), r.Header.Get(nodePasswordHeader)
		if node == "" || password == "" {
			http.Error(w, fmt.Sprintf("%s and %s must be set", nodeNameHeader, nodePasswordHeader), http.StatusBadRequest)
			return
		}
		err := ensureNodePassword(r.Context(), s.client, node, password)
		if errors.Is(err, errNodePassword) {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		next(w, r, node)
	}
}

// answerCSR signs the key of a request. Who its owner is, the supervisor knows better than the request.
func answerCSR(w http.ResponseWriter, r *http.Request, ca *authority, l leaf) {
	der, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		http.Error(w, "certificate request: "+err.Error(), http.StatusBadRequest)
		return
	}
	issued, err := ca.issue(request.PublicKey, l)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(issued)
}
