// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const resetDone = "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. " +
	"Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"

func (s *server) resetFlag() string { return s.file("db", "reset-flag") }

// resetCluster makes this server the only member of its cluster, with what it has or with what a snapshot has.
func (s *server) resetCluster(ctx context.Context) error {
	if _, err := os.Stat(s.resetFlag()); err == nil {
		return fmt.Errorf("Managed etcd cluster membership was previously reset, please remove the cluster-reset flag "+
			"and start %s normally. If you need to perform another cluster reset, you must first manually delete the file at %s",
			"k3s", s.resetFlag())
	}
	if err := s.prepareReset(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.etcd.run(ctx, etcdStart{forceNew: true}) })
	group.Go(func() error {
		defer stop()
		if err := s.etcd.waitForVote(ctx, s.etcdPeers); err != nil {
			return err
		}
		s.datastore = s.etcd.endpoint()
		return s.claimDatastore(ctx, s.token.password)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := os.WriteFile(s.resetFlag(), nil, 0o600); err != nil {
		return err
	}
	logrus.Info(resetDone)
	return nil
}

// prepareReset lays down the files of a member that may start.
func (s *server) prepareReset(ctx context.Context) error {
	file := s.text("cluster-reset-restore-path")
	if file == "" && !hasMember(s.file("db", "etcd")) {
		return errors.New("etcd database not found in " + s.file("db", "etcd") + ": nothing to reset")
	}
	if file != "" {
		if err := s.restoreSnapshot(file); err != nil {
			return err
		}
	}
	return s.prepare(ctx)
}

// restoreSnapshot puts a snapshot in the place of what was there. Of a damaged one nothing is touched.
func (s *server) restoreSnapshot(file string) error {
	name, ip, err := nodeIdentity(s.settings)
	if err != nil {
		return err
	}
	dir := s.file("db", "etcd")
	restored := dir + "-restored"
	if err := os.RemoveAll(restored); err != nil { // of an interrupted attempt
		return err
	}
	logrus.Infof("Restoring etcd snapshot %s", file)
	member := name + "-" + randomHex(4)
	peerURL := "https://" + ip + ":2380"
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: strings.TrimPrefix(file, "file://"), Name: member, OutputDataDir: restored,
		PeerURLs: []string{peerURL}, InitialCluster: member + "=" + peerURL, InitialClusterToken: "etcd-cluster",
	})
	if err != nil {
		return errors.Join(fmt.Errorf("failed to restore etcd snapshot: %w", err), os.RemoveAll(restored))
	}
	if err := os.WriteFile(filepath.Join(restored, "name"), []byte(member), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		if err := setAside(dir); err != nil {
			return err
		}
	}
	return os.Rename(restored, dir)
}
