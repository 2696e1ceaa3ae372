// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	tokenPrefix = "K10"
	hashLength  = sha256.Size * 2
)

// token proves who a node is and which cluster it expects: K10<hash of the CA>::<user>:<password>, or only a password.
type token struct{ caHash, user, password string }

func parseToken(text string) (token, error) {
	if text == "" {
		return token{}, errors.New("token must not be empty")
	}
	full, found := strings.CutPrefix(text, tokenPrefix)
	if !found {
		return token{password: text}, nil
	}
	hash, credentials, found := strings.Cut(full, "::")
	if !found {
		return token{password: text}, nil
	}
	if len(hash) != hashLength {
		return token{}, errors.New("invalid token CA hash length")
	}
	user, password, found := strings.Cut(credentials, ":")
	if !found || password == "" {
		return token{}, errors.New("invalid token format")
	}
	return token{caHash: hash, user: user, password: password}, nil
}

func (t token) String() string { return tokenPrefix + t.caHash + "::" + t.user + ":" + t.password }

// checkCA fails if the cluster's CA is not the one that the token names; a bare password trusts any.
func (t token) checkCA(caPEM []byte) error {
	if hash := hashCA(caPEM); t.caHash != "" && t.caHash != hash {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", t.caHash, hash)
	}
	return nil
}

func hashCA(caPEM []byte) string {
	sum := sha256.Sum256(caPEM)
	return hex.EncodeToString(sum[:])
}

func randomHex(bytes int) string {
	buffer := make([]byte, bytes)
	_, _ = rand.Read(buffer) // never fails
	return hex.EncodeToString(buffer)
}
