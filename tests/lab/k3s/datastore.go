// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/endpoint"

	_ "github.com/k3s-io/kine/pkg/drivers/sqlite" // the only database that we use it for
)

// startSQLite opens the SQLite database behind an etcd interface, until the context ends and the group is done.
func startSQLite(ctx context.Context, serverDir string, group *sync.WaitGroup) (endpoint.ETCDConfig, error) {
	return endpoint.Listen(ctx, endpoint.Config{
		WaitGroup:           group,
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
