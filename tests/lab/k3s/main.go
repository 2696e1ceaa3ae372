// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command k3s is the lab's stand-in for k3s: upstream Kubernetes inside, the outer contract of k3s outside.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"github.com/sirupsen/logrus"
)

// Set by the linker, see build.sh.
var (
	version = "v0.0.0+k3s0"
	commit  = "00000000"
)

// programs answer to the name they are called by (a symlink, or argv[0] of a child) and as subcommands of k3s.
var programs = map[string]func(args []string) error{
	"kubectl":                 runKubectl,
	"ctr":                     runCtr,
	"crictl":                  runCrictl,
	"etcd":                    runEtcd,
	"kube-apiserver":          upstream("kube-apiserver"),
	"kube-controller-manager": upstream("kube-controller-manager"),
	"kube-scheduler":          upstream("kube-scheduler"),
	"kubelet":                 upstream("kubelet"),
	"kube-proxy":              upstream("kube-proxy"),
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if _, called := programs[name]; !called && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if err := run(name, args); err != nil {
		logrus.Fatal(err)
	}
}

func run(name string, args []string) error {
	if program, ok := programs[name]; ok {
		return program(args)
	}
	switch {
	case name == "server" || name == "agent":
		return runService(name, args)
	case name == "etcd-snapshot":
		return runEtcdSnapshot(args)
	case slices.Contains([]string{"--version", "-v"}, name):
		fmt.Printf("k3s version %s (%s)\ngo version %s\n", version, commit, runtime.Version())
		return nil
	default:
		return fmt.Errorf("no such command: %s (this stand-in has server, agent, etcd-snapshot, kubectl, ctr and --version)", name)
	}
}

func runService(command string, args []string) error {
	settings, err := parseSettings(command, args, os.Getenv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	start := runAgentOnly
	if command == "server" {
		start = runServer
	}
	if err := start(ctx, settings); ctx.Err() == nil {
		return err
	}
	return nil // we were asked to stop
}
