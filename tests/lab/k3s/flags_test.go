// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// parse runs parseSettings on configuration files, the main one first, and returns what was logged too.
func parse(t *testing.T, command string, files []string, env map[string]string, args ...string) (settings, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.Mkdir(path+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	for i, content := range files {
		file := path
		if i > 0 {
			file = filepath.Join(path+".d", string(rune('0'+i))+".yaml")
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hook := logtest.NewGlobal()
	defer logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	s, err := parseSettings(command, append([]string{"--config", path}, args...), func(name string) string { return env[name] })
	var logged []string
	for _, entry := range hook.AllEntries() {
		logged = append(logged, entry.Message)
	}
	return s, strings.Join(logged, "\n"), err
}

func TestSourcesFromStrongestToWeakest(t *testing.T) {
	s, _, err := parse(t, "server",
		[]string{"token: from-file\nnode-name: from-file\nnode-label: [a=1]\n"},
		map[string]string{"K3S_TOKEN": "from-env", "K3S_URL": "https://from-env:6443"},
		"--node-name=from-cli", "--node-label=b=2")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"node-name": "from-cli", "token": "from-file", "server": "https://from-env:6443", "flannel-backend": "vxlan",
	} {
		if got := s.text(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := s.list("node-label"); !slices.Equal(got, []string{"b=2"}) {
		t.Errorf("the command line must replace the whole list, got %q", got)
	}
}

func TestDropInsReplaceOrAdd(t *testing.T) {
	s, _, err := parse(t, "server", []string{
		"node-label: [a=1]\ntls-san: [one]\ntoken: first\n",
		"node-label+: [b=2]\ntls-san: [two]\n",
		"node-label+: c=3\ntoken: last\n",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.list("node-label"); !slices.Equal(got, []string{"a=1", "b=2", "c=3"}) {
		t.Errorf("node-label = %q", got)
	}
	if got := s.list("tls-san"); !slices.Equal(got, []string{"two"}) {
		t.Errorf("tls-san = %q", got)
	}
	if got := s.text("token"); got != "last" {
		t.Errorf("token = %q", got)
	}
}

func TestUnknownNames(t *testing.T) {
	_, logged, err := parse(t, "agent", []string{"tls-san: [x]\nnode-lable: y\n"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Unknown flag --tls-san found in config.yaml, skipping", // a server's flag
		"Unknown flag --node-lable found in config.yaml, skipping",
	} {
		if !strings.Contains(logged, want) {
			t.Errorf("no warning %q in %q", want, logged)
		}
	}
	if _, _, err := parse(t, "agent", nil, nil, "--node-lable=y"); err == nil || err.Error() != "flag provided but not defined: -node-lable" {
		t.Errorf("an unknown flag of the command line gave %v", err)
	}
}

func TestFlagsThatAreOnlyAccepted(t *testing.T) {
	s, logged, err := parse(t, "server", []string{"secrets-encryption: true\n"}, nil)
	if err != nil || s.text("secrets-encryption") != "true" {
		t.Fatalf("%v, secrets-encryption = %q", err, s.text("secrets-encryption"))
	}
	if !strings.Contains(logged, "flag --secrets-encryption is not imitated by this stand-in") {
		t.Errorf("no warning in %q", logged)
	}
}

func TestMapsAreRefused(t *testing.T) {
	if _, _, err := parse(t, "server", []string{"node-label: {a: 1}\n"}, nil); err == nil {
		t.Error("a map was accepted")
	}
}

func TestUserArgumentsReplaceOurs(t *testing.T) {
	got := componentArgs{"a": "1", "b": "2"}.list([]string{"b=3", "c"})
	if want := []string{"--a=1", "--b=3", "--c=true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
