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
	"time"

	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

const tombstone = "tombstone" // in the directory of a member that the others have removed

// joinTarget is the server through which this one joins its cluster.
func (s *server) joinTarget() (*clusterClient, error) {
	secret, err := s.secret("token")
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errors.New("--token is required to join a cluster")
	}
	parsed, err := parseToken(secret)
	if err != nil {
		return nil, err
	}
	return newClusterClient(s.text("server"), parsed, "server"), nil
}

// fetchBootstrapData gets what all servers share from a cluster that is set up like this server.
func (s *server) fetchBootstrapData(ctx context.Context) (bootstrapData, error) {
	target, err := s.joinTarget()
	if err != nil {
		return nil, err
	}
	if err := target.trust(ctx); err != nil {
		return nil, fmt.Errorf("failed to validate token: %w", err)
	}
	// First of all, as it tells a wrong token and a cluster without etcd.
	content, err := target.request(ctx, http.MethodGet, "/v1-k3s/server-bootstrap", nil, nil)
	if err != nil {
		return nil, err
	}
	if err := s.validateConfig(ctx, target); err != nil {
		return nil, fmt.Errorf("failed to validate server configuration: %w", err)
	}
	var data bootstrapData
	err = json.Unmarshal(content, &data)
	return data, err
}

func (s *server) validateConfig(ctx context.Context, target *clusterClient) error {
	content, err := target.request(ctx, http.MethodGet, "/v1-k3s/config", nil, nil)
	if err != nil {
		return err
	}
	var cluster clusterConfig
	if err := json.Unmarshal(content, &cluster); err != nil {
		return err
	}
	ours, err := s.criticalConfig()
	if err != nil {
		return err
	}
	return ours.check(cluster.criticalConfig)
}

// memberList is the answer to /db/info.
type memberList struct{ Members []*etcdserverpb.Member }

// etcdPeers are the addresses of the cluster's voters, as the server knows them through which this one joins.
func (s *server) etcdPeers(ctx context.Context) ([]string, error) {
	target, err := s.joinTarget()
	if err != nil {
		return nil, err
	}
	if err := target.trust(ctx); err != nil {
		return nil, err
	}
	content, err := target.request(ctx, http.MethodGet, "/db/info", nil, nil)
	if err != nil {
		return nil, err
	}
	var list memberList
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, err
	}
	return voters(list.Members), nil
}

// members asks the cluster through the member of this server.
func (e *etcdMember) members(ctx context.Context) ([]*etcdserverpb.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	client, err := e.client(etcdLocalURL)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	return list.Members, nil
}

func voters(members []*etcdserverpb.Member) []string {
	var urls []string
	for _, member := range members {
		if !member.IsLearner {
			urls = append(urls, member.ClientURLs...)
		}
	}
	return urls
}

// join makes this server a learner, as soon as there is no other, and returns the cluster that it is to start in.
func (e *etcdMember) join(ctx context.Context, peers func(context.Context) ([]string, error)) (initialCluster []string, err error) {
	err = poll(ctx, retryInterval, func() (bool, error) {
		bounded, cancel := context.WithTimeout(ctx, etcdTimeout)
		defer cancel()
		initialCluster, err = e.addLearner(bounded, peers)
		if err != nil {
			logrus.Infof("Waiting to join the etcd cluster: %v", err)
		}
		return err == nil, nil
	})
	return initialCluster, err
}

func (e *etcdMember) addLearner(ctx context.Context, peers func(context.Context) ([]string, error)) ([]string, error) {
	urls, err := peers(ctx)
	if err != nil {
		return nil, err
	}
	client, err := e.client(urls...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	if former := memberAt(list.Members, e.peerURL()); former != nil {
		logrus.Infof("Removing the former etcd member %s of this server", former.Name)
		if _, err := client.MemberRemove(ctx, former.ID); err != nil {
			return nil, err
		}
	}
	added, err := client.MemberAddAsLearner(ctx, []string{e.peerURL()})
	if err != nil {
		return nil, err
	}
	return initialCluster(added.Members, added.Member.ID, e.name), nil
}

// memberAt finds the member of a server that comes without data, so that it cannot be this one's continuation.
func memberAt(members []*etcdserverpb.Member, peerURL string) *etcdserverpb.Member {
	for _, member := range members {
		if slices.Contains(member.PeerURLs, peerURL) {
			return member
		}
	}
	return nil
}

// initialCluster names all members. One that has never started has no name yet, and etcd only compares addresses.
func initialCluster(members []*etcdserverpb.Member, own uint64, ownName string) []string {
	var entries []string
	for _, member := range members {
		name := member.Name
		if member.ID == own {
			name = ownName
		} else if name == "" {
			name = fmt.Sprintf("%x", member.ID)
		}
		for _, peerURL := range member.PeerURLs {
			entries = append(entries, name+"="+peerURL)
		}
	}
	return entries
}

func (e *etcdMember) promote(ctx context.Context, id uint64, peers func(context.Context) ([]string, error)) error {
	urls, err := peers(ctx)
	if err != nil {
		return err
	}
	client, err := e.client(urls...)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.MemberPromote(ctx, id)
	return err
}

// setAsideRemoved moves the data away of a member that the others have removed: it cannot come back as the same one.
func setAsideRemoved(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, tombstone)); err != nil {
		return nil
	}
	logrus.Info("This server was removed from the etcd cluster, moving its data aside")
	return setAside(dir)
}

func setAside(dir string) error {
	return os.Rename(dir, fmt.Sprintf("%s-old-%d", dir, time.Now().Unix()))
}
