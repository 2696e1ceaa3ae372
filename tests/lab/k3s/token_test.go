// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"
	"testing"
)

func TestParseToken(t *testing.T) {
	hash := hashCA([]byte("a CA"))
	for text, want := range map[string]token{
		"secret":                          {password: "secret"},
		"K10" + hash + "::server:secret":  {caHash: hash, user: "server", password: "secret"},
		"K10" + hash + "::node:with:more": {caHash: hash, user: "node", password: "with:more"},
	} {
		got, err := parseToken(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if got.caHash != "" && got.String() != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
	for _, text := range []string{"", "K10abc::server:secret", "K10" + hash + "::server", "K10" + hash + "::server:"} {
		if got, err := parseToken(text); err == nil {
			t.Errorf("%q was accepted as %+v", text, got)
		}
	}
}

func TestTokenChecksTheCA(t *testing.T) {
	bound := token{caHash: hashCA([]byte("a CA"))}
	if err := bound.checkCA([]byte("a CA")); err != nil {
		t.Error(err)
	}
	err := bound.checkCA([]byte("another CA"))
	if err == nil || !strings.HasPrefix(err.Error(), "token CA hash does not match the Cluster CA certificate hash: ") {
		t.Errorf("another CA gave %v", err)
	}
	if err := (token{password: "secret"}).checkCA([]byte("any CA")); err != nil {
		t.Errorf("a bare password trusts any CA, got %v", err)
	}
}
