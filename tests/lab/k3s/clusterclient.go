// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
)

// clusterClient asks the supervisor of a server, in the name of a token.
type clusterClient struct {
	url   string
	token token
	http  *http.Client
}

// newClusterClient takes the user for a token that names none.
func newClusterClient(url string, t token, user string) *clusterClient {
	if t.user == "" {
		t.user = user
	}
	return &clusterClient{url: strings.TrimSuffix(url, "/"), token: t}
}

// trust takes the CA from the server itself, and believes it if it is the one that the token names.
func (c *clusterClient) trust(ctx context.Context) error {
	c.http = &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	ca, err := c.request(ctx, http.MethodGet, "/cacerts", nil, nil)
	if err != nil {
		return fmt.Errorf("failed to get CA certs: %w", err)
	}
	if err := c.token.checkCA(ca); err != nil {
		return err
	}
	if c.token.caHash == "" {
		logrus.Warn("Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. " +
			"Use the full token from the server's node-token file to enable Cluster CA validation.")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("no certificate in the answer to /cacerts")
	}
	c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	_, err = c.request(ctx, http.MethodGet, "/cacerts", nil, nil)
	return err
}

func (c *clusterClient) request(ctx context.Context, method, path string, body []byte, header http.Header) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	if path != "/cacerts" { // that is asked for before the server is trusted with a secret
		request.SetBasicAuth(c.token.user, c.token.password)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{url: request.URL.String(), status: response.Status, code: response.StatusCode, body: string(content)}
	}
	return content, nil
}

// statusError is the answer of a supervisor that refuses.
type statusError struct {
	url, status, body string
	code              int
}

func (e *statusError) Error() string { return e.url + ": " + e.status }
