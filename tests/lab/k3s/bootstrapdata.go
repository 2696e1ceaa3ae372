// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	kine "github.com/k3s-io/kine/pkg/client"
	"github.com/k3s-io/kine/pkg/endpoint"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.uber.org/zap"
)

const (
	bootstrapPrefix = "/bootstrap/"
	kdfRounds       = 4096
)

var errDifferentToken = errors.New("bootstrap data already found and encrypted with different token")

// bootstrapNames are the files in server/tls that all servers of a cluster share, under the names that k3s gives them.
var bootstrapNames = map[string]string{
	"ServerCA": "server-ca.crt", "ServerCAKey": "server-ca.key",
	"ClientCA": "client-ca.crt", "ClientCAKey": "client-ca.key",
	"RequestHeaderCA": "request-header-ca.crt", "RequestHeaderCAKey": "request-header-ca.key",
	"ETCDServerCA": "etcd/server-ca.crt", "ETCDServerCAKey": "etcd/server-ca.key",
	"ETCDPeerCA": "etcd/peer-ca.crt", "ETCDPeerCAKey": "etcd/peer-ca.key",
	"ServiceKey": "service.key",
}

// bootstrapData is what those files hold.
type bootstrapData map[string][]byte

func readBootstrapData(tlsDir string) (bootstrapData, error) {
	data := bootstrapData{}
	for name, file := range bootstrapNames {
		content, err := os.ReadFile(filepath.Join(tlsDir, file))
		if err != nil {
			return nil, err
		}
		data[name] = content
	}
	return data, nil
}

func (d bootstrapData) write(tlsDir string) error {
	for name, content := range d {
		file, known := bootstrapNames[name]
		if !known {
			continue // of a newer server
		}
		path := filepath.Join(tlsDir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if filepath.Ext(path) == ".key" {
			mode = 0o600
		}
		if err := writeChanged(path, content, mode); err != nil {
			return err
		}
	}
	return nil
}

// loadBootstrapData returns nothing from a datastore that is new, and an error from one that has another token.
func loadBootstrapData(ctx context.Context, datastore endpoint.ETCDConfig, password string) (bootstrapData, error) {
	client, err := kine.New(datastore)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	values, err := client.List(ctx, bootstrapPrefix, 0)
	if err != nil {
		return nil, err
	}
	entries := map[string][]byte{}
	for _, value := range values {
		entries[string(value.Key)] = value.Data
	}
	return pickBootstrapData(entries, password)
}

// loadStoppedBootstrapData does so from the files of an etcd member that does not run: its certificates may be missing.
func loadStoppedBootstrapData(ctx context.Context, etcdDir, password string) (bootstrapData, error) {
	files := backend.NewDefaultBackend(zap.NewNop(), filepath.Join(etcdDir, "member", "snap", "db"))
	defer files.Close()
	store := mvcc.NewStore(zap.NewNop(), files, &lease.FakeLessor{}, mvcc.StoreConfig{})
	defer store.Close()
	end := clientv3.GetPrefixRangeEnd(bootstrapPrefix)
	values, err := store.Range(ctx, []byte(bootstrapPrefix), []byte(end), mvcc.RangeOptions{})
	if err != nil {
		return nil, err
	}
	entries := map[string][]byte{}
	for _, value := range values.KVs {
		entries[string(value.Key)] = value.Value
	}
	return pickBootstrapData(entries, password)
}

func pickBootstrapData(entries map[string][]byte, password string) (bootstrapData, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	text, found := entries[bootstrapKey(password)]
	if !found {
		return nil, errDifferentToken
	}
	return decryptBootstrapData(password, string(text))
}

// saveBootstrapData binds a new datastore to the server's token.
func saveBootstrapData(ctx context.Context, datastore endpoint.ETCDConfig, password string, data bootstrapData) error {
	known, err := loadBootstrapData(ctx, datastore, password)
	if err != nil || known != nil {
		return err
	}
	text, err := data.encrypt(password)
	if err != nil {
		return err
	}
	client, err := kine.New(datastore)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Create(ctx, bootstrapKey(password), []byte(text))
}

func bootstrapKey(password string) string { return bootstrapPrefix + hashCA([]byte(password))[:12] }

// encrypt returns <salt>:<base64 of nonce and sealed data>.
func (d bootstrapData) encrypt(password string) (string, error) {
	plain, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	salt := randomHex(8)
	seal, err := passwordCipher(password, salt)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, seal.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return salt + ":" + base64.StdEncoding.EncodeToString(seal.Seal(nonce, nonce, plain, nil)), nil
}

func decryptBootstrapData(password, text string) (bootstrapData, error) {
	salt, encoded, _ := strings.Cut(text, ":")
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	open, err := passwordCipher(password, salt)
	if err != nil {
		return nil, err
	}
	if len(sealed) < open.NonceSize() {
		return nil, errors.New("bootstrap data is cut short")
	}
	plain, err := open.Open(nil, sealed[:open.NonceSize()], sealed[open.NonceSize():], nil)
	if err != nil {
		return nil, err
	}
	var data bootstrapData
	err = json.Unmarshal(plain, &data)
	return data, err
}

func passwordCipher(password, salt string) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha1.New, password, []byte(salt), kdfRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
