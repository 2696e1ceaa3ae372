// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"time"

	kine "github.com/k3s-io/kine/pkg/client"
	"github.com/k3s-io/kine/pkg/endpoint"

	_ "github.com/k3s-io/kine/pkg/drivers/sqlite" // the only database we speak to
)

// The prefix matches what k3s keeps in its datastore under the hash of its token.
const bootstrapPrefix = "/bootstrap/"

// startDatastore opens the SQLite database behind an etcd interface.
func startDatastore(ctx context.Context, serverDir string) (endpoint.ETCDConfig, error) {
	return endpoint.Listen(ctx, endpoint.Config{
		Listener:            "unix://" + serverDir + "/kine.sock",
		Endpoint:            "sqlite://" + serverDir + "/db/state.db?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate",
		NotifyInterval:      5 * time.Second,
		EmulatedETCDVersion: "3.6.11", // the API server looks at it for what it may rely on
		CompactTimeout:      5 * time.Second,
		CompactMinRetain:    1000,
		CompactBatchSize:    1000,
		PollBatchSize:       500,
		PollInterval:        time.Second,
	})
}

// claimDatastore binds a new datastore to the server's secret, and refuses any other secret from then on.
func claimDatastore(ctx context.Context, datastore endpoint.ETCDConfig, password string) error {
	client, err := kine.New(datastore)
	if err != nil {
		return err
	}
	defer client.Close()
	claims, err := client.List(ctx, bootstrapPrefix, 0)
	if err != nil {
		return err
	}
	key := bootstrapPrefix + hashCA([]byte(password))[:12]
	for _, claim := range claims {
		if string(claim.Key) == key {
			return nil
		}
	}
	if len(claims) > 0 {
		return errors.New("bootstrap data already found and encrypted with different token")
	}
	return client.Create(ctx, key, []byte("claimed"))
}
