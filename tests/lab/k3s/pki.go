// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	leafLifetime = 365 * 24 * time.Hour
	renewBefore  = 120 * 24 * time.Hour
)

// authority is a certificate authority whose pair of files lies at path.crt and path.key.
type authority struct {
	path        string
	certificate *x509.Certificate
	key         crypto.Signer
	pem         []byte
}

// leaf is what a certificate says of its owner.
type leaf struct {
	name   string
	groups []string
	hosts  []string // of a server; a certificate without hosts is a client's
	peer   bool     // a server that is a client, too
}

func loadAuthority(dir, name string) (*authority, error) {
	a := &authority{path: filepath.Join(dir, name)}
	key, err := ensureKey(a.path + ".key")
	if err != nil {
		return nil, err
	}
	a.key = key
	a.pem, err = os.ReadFile(a.path + ".crt")
	if errors.Is(err, fs.ErrNotExist) {
		config := cert.Config{CommonName: fmt.Sprintf("%s@%d", authorityName(name), time.Now().Unix())}
		self, err := cert.NewSelfSignedCACert(config, key)
		if err != nil {
			return nil, err
		}
		a.pem, err = cert.EncodeCertificates(self)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(a.path+".crt", a.pem, 0o644); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	a.certificate, err = parseCertificate(a.pem)
	return a, err
}

// authorityName is k3s-server-ca for server-ca, and etcd-server-ca for etcd/server-ca.
func authorityName(file string) string {
	if owner, name, found := strings.Cut(file, "/"); found {
		return owner + "-" + name
	}
	return "k3s-" + file
}

// ensureLeaf issues path.crt for path.key unless the one that is there still says the same and lasts.
func (a *authority) ensureLeaf(path string, l leaf) error {
	key, err := ensureKey(path + ".key")
	if err != nil {
		return err
	}
	if existing, err := os.ReadFile(path + ".crt"); err == nil && a.stillGood(existing, l) {
		return nil
	}
	issued, err := a.issue(key.Public(), l)
	if err != nil {
		return err
	}
	// A client that pins the CA wants to see it in the chain.
	return os.WriteFile(path+".crt", append(issued, a.pem...), 0o644)
}

func (a *authority) stillGood(existing []byte, l leaf) bool {
	certificate, err := parseCertificate(existing)
	if err != nil || certificate.CheckSignatureFrom(a.certificate) != nil {
		return false
	}
	for _, host := range l.hosts {
		if certificate.VerifyHostname(host) != nil {
			return false
		}
	}
	return time.Until(certificate.NotAfter) > renewBefore
}

func (a *authority) issue(public crypto.PublicKey, l leaf) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: l.name, Organization: l.groups},
		NotBefore:    a.certificate.NotBefore,
		NotAfter:     time.Now().Add(leafLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(l.hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if l.peer {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, host := range l.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.certificate, public, a.key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return cert.EncodeCertificates(certificate)
}

func parseCertificate(content []byte) (*x509.Certificate, error) {
	certificates, err := cert.ParseCertsPEM(content)
	if err != nil {
		return nil, err
	}
	return certificates[0], nil
}

// ensureKey reads the private key at path, or makes it.
func ensureKey(path string) (crypto.Signer, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if content, err = keyutil.MakeEllipticPrivateKeyPEM(); err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	key, err := keyutil.ParsePrivateKeyPEM(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: %T cannot sign", path, key)
	}
	return signer, nil
}
