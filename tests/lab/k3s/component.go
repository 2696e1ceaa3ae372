// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const stopGrace = 3 * time.Second

// upstream runs one of Kubernetes' own programs. Each gets a process of its own because each wants to own
// the process' signals, feature gates and logging set-up.
func upstream(name string) func([]string) error {
	return func(args []string) error {
		command := map[string]func() *cobra.Command{
			"kube-apiserver":          apiserver.NewAPIServerCommand,
			"kube-controller-manager": controllers.NewControllerManagerCommand,
			"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
			"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
			"kube-proxy":              proxy.NewProxyCommand,
		}[name]()
		command.SetArgs(args)
		os.Exit(cli.Run(command))
		return nil
	}
}

func runKubectl(args []string) error {
	if os.Getenv("KUBECONFIG") == "" {
		os.Setenv("KUBECONFIG", kubeconfigPath)
	}
	os.Args = append([]string{"kubectl"}, args...)
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return nil
}

// componentArgs are the flags of a Kubernetes program.
type componentArgs map[string]string

// list renders the flags; a value of the user's ("key=value") replaces ours for the same key.
func (a componentArgs) list(user []string) []string {
	merged := maps.Clone(a)
	for _, arg := range user {
		key, value, found := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !found {
			value = "true"
		}
		merged[key] = value
	}
	flags := make([]string, 0, len(merged))
	for _, key := range slices.Sorted(maps.Keys(merged)) {
		flags = append(flags, "--"+key+"="+merged[key])
	}
	return flags
}

// runComponent runs this binary under the name of a Kubernetes program until the context ends.
func runComponent(ctx context.Context, name string, args componentArgs, user []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := childCommand(ctx, self, args.list(user)...)
	cmd.Args[0] = name
	return runChild(ctx, cmd)
}

// childCommand prepares a process that never outlives this one.
func childCommand(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") })
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	return cmd
}

// runChild reports an end that nobody asked for as an error.
func runChild(ctx context.Context, cmd *exec.Cmd) error {
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s exited: %v", filepath.Base(cmd.Args[0]), err)
}
