// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	kine "github.com/k3s-io/kine/pkg/client"
	"github.com/k3s-io/kine/pkg/endpoint"
	"github.com/sirupsen/logrus"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// migrateSQLite copies what a server had before it got etcd. An interrupted copy is made again from the start.
func (s *server) migrateSQLite(ctx context.Context) error {
	if _, err := os.Stat(s.file("db", "state.db")); err != nil {
		return nil
	}
	logrus.Info("Migrating content from sqlite to etcd")
	scope, cancel := context.WithCancel(ctx)
	defer cancel()
	var stopped sync.WaitGroup
	sqlite, err := startSQLite(scope, s.dir, &stopped)
	if err != nil {
		return err
	}
	target, err := s.etcd.client(etcdLocalURL)
	if err != nil {
		return err
	}
	defer target.Close()
	count, err := copyKeys(ctx, sqlite, target)
	if err != nil {
		return err
	}
	logrus.Infof("Migrated %d keys", count)
	cancel()
	stopped.Wait() // SQLite merges its journal into the file when it is closed
	return os.Rename(s.file("db", "state.db"), s.file("db", "state.db.migrated"))
}

func copyKeys(ctx context.Context, from endpoint.ETCDConfig, target clientv3.KV) (int, error) {
	source, err := kine.New(from)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	entries, err := source.List(ctx, "/", 0)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if _, err := target.Put(ctx, string(entry.Key), string(entry.Data)); err != nil {
			return 0, fmt.Errorf("%s: %w", entry.Key, err)
		}
	}
	return len(entries), nil
}
