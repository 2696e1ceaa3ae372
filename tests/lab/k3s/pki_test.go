// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServerPKIStaysUntilItsHostsChange(t *testing.T) {
	dir := t.TempDir()
	first, err := newServerPKI(dir, []string{"127.0.0.1", "server1"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	serving, admin := read("serving-kube-apiserver.crt"), read("client-admin.crt")

	again, err := newServerPKI(dir, []string{"server1", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if hashCA(first.serverCA.pem) != hashCA(again.serverCA.pem) || serving != read("serving-kube-apiserver.crt") {
		t.Error("a second start issued new certificates")
	}

	if _, err := newServerPKI(dir, []string{"127.0.0.1", "server1", "vip.home.lan"}); err != nil {
		t.Fatal(err)
	}
	if serving == read("serving-kube-apiserver.crt") {
		t.Error("the certificate does not have the new name")
	}
	if admin != read("client-admin.crt") {
		t.Error("a new name of the server changed the admin's certificate")
	}
}

func TestAuthorityNamesAndLeaves(t *testing.T) {
	ca, err := loadAuthority(t.TempDir(), "server-ca")
	if err != nil {
		t.Fatal(err)
	}
	if name := ca.certificate.Subject.CommonName; !strings.HasPrefix(name, "k3s-server-ca@") {
		t.Errorf("the CA is called %q", name)
	}
	issued, err := ca.issue(ca.key.Public(), leaf{name: "server1", hosts: []string{"10.0.0.1", "server1"}})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := parseCertificate(issued)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"10.0.0.1", "server1"} {
		if err := certificate.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if certificate.VerifyHostname("server2") == nil {
		t.Error("the certificate is good for any host")
	}
}
