// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/scrypt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

var errNodePassword = errors.New("node password rejected")

// ensureNodePassword remembers the password that a node first came with, for as long as the Node exists,
// and rejects any other.
func ensureNodePassword(ctx context.Context, client kubernetes.Interface, node, password string) error {
	secrets := client.CoreV1().Secrets(metav1.NamespaceSystem)
	name := node + ".node-password.k3s"
	secret, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		if matchesPassword(string(secret.Data["hash"]), password) {
			return nil
		}
		_, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err == nil {
			return errNodePassword
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		if err := secrets.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			return err
		}
	} else if !apierrors.IsNotFound(err) {
		return err
	}
	hash, err := hashPassword(password, randomHex(8))
	if err != nil {
		return err
	}
	immutable := true
	_, err = secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Immutable:  &immutable,
		Data:       map[string][]byte{"hash": []byte(hash)},
	}, metav1.CreateOptions{})
	return err
}

// hashPassword returns $1:<salt>:<log2 N>:<r>:<p>:<scrypt hash>.
func hashPassword(password, salt string) (string, error) {
	hash, err := scrypt.Key([]byte(password), []byte(salt), 1<<15, 8, 1, 64)
	return fmt.Sprintf("$1:%s:15:8:1:%s", salt, hex.EncodeToString(hash)), err
}

func matchesPassword(stored, password string) bool {
	fields := strings.Split(stored, ":")
	if len(fields) != 6 {
		return false
	}
	hash, err := hashPassword(password, fields[1])
	return err == nil && subtle.ConstantTimeCompare([]byte(hash), []byte(stored)) == 1
}
