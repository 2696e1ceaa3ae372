// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

const (
	snapshotPath    = "/db/snapshot"
	onDemandName    = "on-demand"
	snapshotTimeout = 5 * time.Minute
)

// snapshotFile is a line of the list of snapshots, with the field names of k3s.
type snapshotFile struct {
	Name      string    `json:"name"`
	Location  string    `json:"location"`
	Size      int64     `json:"size"`
	CreatedAt time.Time `json:"createdAt"`
}

// snapshotRequest is what the command asks of the running server.
type snapshotRequest struct {
	Operation string // save or delete
	Names     []string
}

func (s settings) snapshotDir() string {
	if dir := s.text("etcd-snapshot-dir"); dir != "" {
		return dir
	}
	return s.dataDir("server", "db", "snapshots")
}

// runEtcdSnapshot is the command line: the running server does the work.
func runEtcdSnapshot(args []string) error {
	operation, args, err := snapshotOperation(args)
	if err != nil {
		return err
	}
	flags := pflag.NewFlagSet("etcd-snapshot", pflag.ContinueOnError)
	name := flags.String("name", onDemandName, "")
	format := flags.StringP("output", "o", "table", "")
	dataDir := flags.StringP("data-dir", "d", defaultDataDir, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	request := snapshotRequest{Operation: operation, Names: flags.Args()}
	switch {
	case operation == "save":
		request.Names = []string{*name}
	case operation == "delete" && len(request.Names) == 0:
		return errors.New("no snapshots given for removal")
	}
	files, err := askForSnapshots(*dataDir, request)
	if err != nil {
		return err
	}
	if operation == "ls" {
		return printSnapshots(files, *format)
	}
	for _, file := range files {
		logrus.Infof("Snapshot %s %sd.", file.Name, operation)
	}
	return nil
}

func snapshotOperation(args []string) (string, []string, error) {
	if len(args) == 0 {
		return "", nil, errors.New("etcd-snapshot needs one of save, ls, delete")
	}
	switch args[0] {
	case "save", "delete":
		return args[0], args[1:], nil
	case "ls", "list", "l":
		return "ls", args[1:], nil
	default:
		return "", nil, fmt.Errorf("etcd-snapshot %s: this stand-in has save, ls and delete only", args[0])
	}
}

func askForSnapshots(dataDir string, request snapshotRequest) ([]snapshotFile, error) {
	content, err := os.ReadFile(filepath.Join(dataDir, "server", "token"))
	if err != nil {
		return nil, fmt.Errorf("see server log for details: %w", err)
	}
	parsed, err := parseToken(strings.TrimSpace(string(content)))
	if err != nil {
		return nil, err
	}
	cluster := newClusterClient("https://127.0.0.1"+supervisorAddress, parsed, "server")
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	defer cancel()
	if err := cluster.trust(ctx); err != nil {
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	content, err = cluster.request(ctx, http.MethodPost, snapshotPath, body, nil)
	var refused *statusError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("see server log for details: %s: %s", refused, refused.body)
	}
	if err != nil {
		return nil, err
	}
	var files []snapshotFile
	err = json.Unmarshal(content, &files)
	return files, err
}

func printSnapshots(files []snapshotFile, format string) error {
	switch format {
	case "json":
		return json.NewEncoder(os.Stdout).Encode(files)
	case "table":
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
		fmt.Fprintln(table, "Name\tLocation\tSize\tCreated")
		for _, file := range files {
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", file.Name, file.Location, file.Size, file.CreatedAt.Format(time.RFC3339))
		}
		return table.Flush()
	default:
		return fmt.Errorf("output format %s is not supported", format)
	}
}

// handleSnapshots answers the command.
func (s *supervisor) handleSnapshots(w http.ResponseWriter, r *http.Request) {
	var request snapshotRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var files []snapshotFile
	var err error
	switch request.Operation {
	case "save":
		files, err = s.saveSnapshot(r.Context(), request.Names)
	case "delete":
		files, err = s.snapshots.delete(request.Names)
	default:
		files, err = s.snapshots.list()
	}
	replyJSON(w, files, err)
}

func (s *supervisor) saveSnapshot(ctx context.Context, names []string) ([]snapshotFile, error) {
	if len(names) != 1 {
		return nil, errors.New("a snapshot has one name")
	}
	name := fmt.Sprintf("%s-%s-%d", filepath.Base(names[0]), s.snapshots.node, time.Now().Unix())
	file, err := s.snapshots.save(ctx, s.etcd, name)
	return []snapshotFile{file}, err
}

// snapshotStore is the directory of a node's snapshots.
type snapshotStore struct{ dir, node string }

func (d snapshotStore) save(ctx context.Context, etcd *etcdMember, name string) (snapshotFile, error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return snapshotFile{}, err
	}
	tlsConfig, err := etcd.endpoint().TLSConfig.ClientConfig()
	if err != nil {
		return snapshotFile{}, err
	}
	config := clientv3.Config{Endpoints: []string{etcdLocalURL}, TLS: tlsConfig, DialTimeout: 5 * time.Second}
	path := filepath.Join(d.dir, name)
	logrus.Infof("Saving etcd snapshot to %s", path)
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, path); err != nil {
		return snapshotFile{}, err
	}
	return describeSnapshot(path)
}

func describeSnapshot(path string) (snapshotFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return snapshotFile{}, err
	}
	return snapshotFile{Name: info.Name(), Location: "file://" + path, Size: info.Size(), CreatedAt: info.ModTime().UTC().Truncate(time.Second)}, nil
}

func (d snapshotStore) list() ([]snapshotFile, error) {
	paths, err := filepath.Glob(filepath.Join(d.dir, "*-*"))
	if err != nil {
		return nil, err
	}
	files := []snapshotFile{}
	for _, path := range paths {
		if filepath.Ext(path) == ".part" {
			continue // one that is being written
		}
		file, err := describeSnapshot(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b snapshotFile) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return files, nil
}

func (d snapshotStore) delete(names []string) ([]snapshotFile, error) {
	var deleted []snapshotFile
	for _, name := range names {
		file, err := describeSnapshot(filepath.Join(d.dir, filepath.Base(name)))
		if err != nil {
			return deleted, fmt.Errorf("snapshot %s not found", name)
		}
		if err := os.Remove(filepath.Join(d.dir, file.Name)); err != nil {
			return deleted, err
		}
		deleted = append(deleted, file)
	}
	return deleted, nil
}
