// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// known is a node of the cluster whose password was never seen.
var known = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "known"}}

type testCluster struct {
	*supervisor
	server *httptest.Server
}

func newTestCluster(t *testing.T) *testCluster {
	t.Helper()
	pki, err := newServerPKI(t.TempDir(), []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	static := t.TempDir()
	if err := writeFileAndDir(filepath.Join(static, "charts", "some-1.0.0+up1.0.tgz"), []byte("a chart")); err != nil {
		t.Fatal(err)
	}
	s := &supervisor{pki: pki, static: static, serverPassword: "server-secret", agentPassword: "agent-secret", client: fake.NewClientset(known)}
	s.ready.Store(true)
	handler, err := s.handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &testCluster{s, server}
}

// do sends a request as change made it, with the client certificate of who, if any.
func (c *testCluster) do(t *testing.T, who *leaf, ca *authority, method, path string, body []byte, change func(*http.Request)) (int, []byte) {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true}
	if who != nil {
		issued, err := ca.issue(ca.key.Public(), *who)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := parseCertificate(issued)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: ca.key}}
	}
	request, err := http.NewRequest(method, c.server.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, content
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func TestAgentPathsStatusCodes(t *testing.T) {
	c := newTestCluster(t)
	stranger, err := loadAuthority(t.TempDir(), "client-ca")
	if err != nil {
		t.Fatal(err)
	}
	node := &leaf{name: "system:node:agent1", groups: []string{"system:nodes"}}
	for name, check := range map[string]struct {
		who    *leaf
		ca     *authority
		path   string
		change func(*http.Request)
		want   int
	}{
		"ping needs nobody":          {path: "/ping", want: http.StatusOK},
		"cacerts needs nobody":       {path: "/cacerts", want: http.StatusOK},
		"charts need nobody":         {path: "/static/charts/some-1.0.0+up1.0.tgz", want: http.StatusOK},
		"unknown chart":              {path: "/static/charts/other.tgz", want: http.StatusNotFound},
		"anonymous":                  {path: "/v1-k3s/config", want: http.StatusForbidden},
		"wrong password":             {path: "/v1-k3s/config", change: basic("node", "guess"), want: http.StatusUnauthorized},
		"agent token":                {path: "/v1-k3s/config", change: basic("node", "agent-secret"), want: http.StatusOK},
		"agent token is no server's": {path: "/v1-k3s/config", change: basic("server", "agent-secret"), want: http.StatusUnauthorized},
		"server token":               {path: "/v1-k3s/config", change: basic("server", "server-secret"), want: http.StatusOK},
		"node certificate":           {who: node, ca: c.pki.clientCA, path: "/v1-k3s/config", want: http.StatusOK},
		"certificate of strangers":   {who: node, ca: stranger, path: "/v1-k3s/config", want: http.StatusUnauthorized},
		"other group":                {who: &leaf{name: "someone"}, ca: c.pki.clientCA, path: "/v1-k3s/config", want: http.StatusForbidden},
		"unknown path":               {path: "/v1-k3s/nothing", change: basic("node", "agent-secret"), want: http.StatusNotFound},
	} {
		if got, _ := c.do(t, check.who, check.ca, http.MethodGet, check.path, nil, check.change); got != check.want {
			t.Errorf("%s: status %d, want %d", name, got, check.want)
		}
	}
}

func TestNotReady(t *testing.T) {
	c := newTestCluster(t)
	c.ready.Store(false)
	for path, want := range map[string]int{
		"/ping": http.StatusOK, "/v1-k3s/readyz": http.StatusServiceUnavailable, "/readyz": http.StatusServiceUnavailable,
	} {
		if got, _ := c.do(t, nil, nil, http.MethodGet, path, nil, basic("node", "agent-secret")); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
}

func TestKubeletCertificateAndNodePassword(t *testing.T) {
	c := newTestCluster(t)
	key, err := ensureKey(t.TempDir() + "/kubelet.key")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	join := func(name, password string) (int, []byte) {
		return c.do(t, nil, nil, http.MethodPost, "/v1-k3s/client-kubelet.crt", csr, func(r *http.Request) {
			r.SetBasicAuth("node", "agent-secret")
			r.Header.Set(nodeNameHeader, name)
			r.Header.Set(nodePasswordHeader, password)
		})
	}
	status, issued := join("known", "first")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, issued)
	}
	certificate, err := parseCertificate(issued)
	if err != nil {
		t.Fatal(err)
	}
	if subject := certificate.Subject; subject.CommonName != "system:node:known" || subject.Organization[0] != "system:nodes" {
		t.Errorf("issued for %s", subject)
	}
	if err := certificate.CheckSignatureFrom(c.pki.clientCA.certificate); err != nil {
		t.Error(err)
	}
	if status, _ := join("known", "other"); status != http.StatusForbidden {
		t.Errorf("another machine took the name: status %d", status)
	}
	if status, _ := join("known", ""); status != http.StatusBadRequest {
		t.Errorf("without a password: status %d", status)
	}
	// A name is free again when its Node was deleted.
	if status, _ := join("gone", "first"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if status, _ := join("gone", "other"); status != http.StatusOK {
		t.Errorf("the name of a deleted node is not free: status %d", status)
	}
}
