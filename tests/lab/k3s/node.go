// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"os"
	"time"

	"github.com/google/cadvisor/fs"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/util/wait"
)

// poll repeats a step until it is done, fails, or the context ends.
func poll(ctx context.Context, interval time.Duration, step func() (bool, error)) error {
	return wait.PollUntilContextCancel(ctx, interval, true, func(context.Context) (bool, error) { return step() })
}

// enableForwarding sets what pod traffic through a node needs. Where the host's administrator was first and the
// file system is read-only there is nothing to do.
func enableForwarding() {
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
			logrus.Warnf("Failed to set sysctl: %v", err)
		}
	}
}

// fileSystemKnown tells whether the kubelet will find the size of the file system under a directory. In a container it
// may not, and then it must not try to account for its use.
func fileSystemKnown(dir string) bool {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false
	}
	info, err := fs.NewFsInfo(fs.Context{})
	if err != nil {
		return false
	}
	_, err = info.GetDirFsDevice(dir)
	return err == nil
}
