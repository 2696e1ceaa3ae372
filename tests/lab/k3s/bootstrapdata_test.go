// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestBootstrapDataNeedsTheToken(t *testing.T) {
	data := bootstrapData{"ServerCA": []byte("a CA"), "ServiceKey": []byte("a key")}
	text, err := data.encrypt("secret")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "a CA") {
		t.Error("it can be read")
	}
	again, err := decryptBootstrapData("secret", text)
	if err != nil || !bytes.Equal(again["ServerCA"], data["ServerCA"]) || !bytes.Equal(again["ServiceKey"], data["ServiceKey"]) {
		t.Errorf("got %q, %v", again, err)
	}
	if got, err := decryptBootstrapData("other", text); err == nil {
		t.Errorf("another token opened it: %q", got)
	}
	if got, err := decryptBootstrapData("secret", "salt:AAAA"); err == nil {
		t.Errorf("a stump was accepted: %q", got)
	}
}

func TestBootstrapDataIsWhatServersShare(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	pki, err := newServerPKI(first, []string{"server1", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := readBootstrapData(first)
	if err != nil {
		t.Fatal(err)
	}
	data["OfTheFuture"] = []byte("?")
	if err := data.write(second); err != nil {
		t.Fatal(err)
	}
	joined, err := newServerPKI(second, []string{"server2", "127.0.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pki.serverCA.pem, joined.serverCA.pem) || !bytes.Equal(pki.etcdPeerCA.pem, joined.etcdPeerCA.pem) {
		t.Error("the second server has authorities of its own")
	}
}

func TestBootstrapDataOfAnotherTokenIsRefused(t *testing.T) {
	text, err := bootstrapData{"ServerCA": []byte("a CA")}.encrypt("secret")
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string][]byte{bootstrapKey("secret"): []byte(text)}
	if got, err := pickBootstrapData(entries, "secret"); err != nil || string(got["ServerCA"]) != "a CA" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := pickBootstrapData(entries, "other"); !errors.Is(err, errDifferentToken) {
		t.Errorf("another token gave %v", err)
	}
	if got, err := pickBootstrapData(nil, "any"); got != nil || err != nil {
		t.Errorf("a new datastore gave %q, %v", got, err)
	}
}
