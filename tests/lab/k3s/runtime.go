// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	containerdSocket = "/run/k3s/containerd/containerd.sock"
	imageNamespace   = "k8s.io"
)

var containerdConfig = template.Must(template.New("").Parse(`version = 2
root = "{{ .Root }}"
state = "/run/k3s/containerd"

[grpc]
  address = "{{ .Socket }}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{ .Pause }}"
  restrict_oom_score_adj = {{ .KeepOOMScore }}

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{{ .Programs }}"
  conf_dir = "{{ .Network }}"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`))

// openBundle opens the zip at the end of this binary.
func openBundle() (*zip.ReadCloser, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bundle, err := zip.OpenReader(self)
	if err != nil {
		return nil, fmt.Errorf("no bundle in %s, see build.sh: %w", self, err)
	}
	return bundle, nil
}

// unpackPrograms unpacks the bundle's programs to data/<hash>/bin, and points data/current there.
func unpackPrograms(dataDir string) error {
	bundle, err := openBundle()
	if err != nil {
		return err
	}
	defer bundle.Close()
	sum := sha256.New()
	for _, file := range bundle.File {
		fmt.Fprintln(sum, file.Name, file.CRC32)
	}
	name := hex.EncodeToString(sum.Sum(nil))
	target := filepath.Join(dataDir, "data", name)
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		// Renamed at the end, so that an interrupted start leaves nothing that looks complete.
		partial := target + ".partial"
		if err := os.RemoveAll(partial); err != nil {
			return err
		}
		for _, file := range bundle.File {
			if isChart(file) {
				continue
			}
			if err := unpackFile(file, filepath.Join(partial, "bin", filepath.Base(file.Name))); err != nil {
				return err
			}
		}
		if err := os.Rename(partial, target); err != nil {
			return err
		}
	}
	return replaceSymlink(name, filepath.Join(dataDir, "data", "current"))
}

func unpackFile(file *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	source, err := file.Open()
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, file.Mode())
	if err != nil {
		return err
	}
	defer target.Close()
	_, err = io.Copy(target, source)
	return err
}

func runCtr(args []string) error {
	dataDir := os.Getenv(environment["data-dir"])
	if dataDir == "" {
		dataDir = defaultDataDir
	}
	if err := unpackPrograms(dataDir); err != nil {
		return err
	}
	env := append(os.Environ(), "CONTAINERD_ADDRESS="+containerdSocket, "CONTAINERD_NAMESPACE="+imageNamespace)
	return syscall.Exec(filepath.Join(dataDir, "data", "current", "bin", "ctr"), append([]string{"ctr"}, args...), env)
}

func runCrictl([]string) error {
	return errors.New("this stand-in has no crictl: look at containers with k3s ctr or k3s kubectl")
}

func (a *agent) programDir() string { return a.dataDir("data", "current", "bin") }

func (a *agent) program(name string) string { return filepath.Join(a.programDir(), name) }

func (a *agent) runContainerd(ctx context.Context) error {
	path := a.file("etc", "containerd", "config.toml")
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(containerdSocket), a.file("containerd")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	config, err := os.Create(path)
	if err != nil {
		return err
	}
	defer config.Close()
	err = containerdConfig.Execute(config, map[string]any{
		"Root": a.file("containerd"), "Socket": containerdSocket, "Pause": a.text("pause-image"),
		"KeepOOMScore": !mayLowerOOMScore(), "Programs": a.programDir(), "Network": a.networkDir(),
	})
	if err != nil {
		return err
	}
	log, err := os.OpenFile(a.file("containerd", "containerd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := childCommand(ctx, a.program("containerd"), "--config", path)
	cmd.Env = append(cmd.Env, "PATH="+a.programDir()+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = log, log
	logrus.Infof("Logging containerd to %s", log.Name())
	logrus.Infof("Running containerd --config %s", path)
	return runChild(ctx, cmd)
}

// mayLowerOOMScore tells whether a container's OOM score may be lower than our own.
func mayLowerOOMScore() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// prepareContainerd waits for containerd and gives it the images that came in archives.
func (a *agent) prepareContainerd(ctx context.Context) error {
	connection, err := grpc.NewClient("unix://"+containerdSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	// Containerd answers long before the part of it that the kubelet needs, which looks at all pods of before first.
	service := cri.NewRuntimeServiceClient(connection)
	err = poll(ctx, 200*time.Millisecond, func() (bool, error) {
		_, err := service.Version(ctx, &cri.VersionRequest{})
		return err == nil, nil
	})
	if err != nil {
		return err
	}
	return a.importImages(ctx)
}

func (a *agent) ctr(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd := childCommand(ctx, a.program("ctr"), append([]string{"--address", containerdSocket, "--namespace", imageNamespace}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, nil, nil // the last two are CombinedOutput's
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return nil
}

// importImages imports the archives that are new or changed since their last import.
func (a *agent) importImages(ctx context.Context) error {
	if err := os.MkdirAll(a.file("images"), 0o755); err != nil {
		return err
	}
	archives, err := filepath.Glob(a.file("images", "*.tar*"))
	if err != nil {
		return err
	}
	recordPath := a.file("containerd", "imported.json")
	record := map[string]string{}
	if content, err := os.ReadFile(recordPath); err == nil {
		if err := json.Unmarshal(content, &record); err != nil {
			return fmt.Errorf("%s: %w", recordPath, err)
		}
	}
	for _, path := range archives {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		state := fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		if record[path] == state {
			continue
		}
		start := time.Now()
		if err := a.importArchive(ctx, path); err != nil {
			logrus.Errorf("Failed to import images from %s: %v", path, err)
			continue
		}
		logrus.Infof("Imported images from %s in %s", path, time.Since(start).Round(time.Millisecond))
		record[path] = state
	}
	content, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return os.WriteFile(recordPath, content, 0o600)
}

func (a *agent) importArchive(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive, err := decompressed(file, filepath.Ext(path))
	if err != nil {
		return err
	}
	defer archive.Close()
	return a.ctr(ctx, archive, "images", "import", "-")
}

func decompressed(file io.Reader, extension string) (io.ReadCloser, error) {
	switch extension {
	case ".tar":
		return io.NopCloser(file), nil
	case ".gz":
		return gzip.NewReader(file)
	case ".zst":
		reader, err := zstd.NewReader(file)
		if err != nil {
			return nil, err
		}
		return reader.IOReadCloser(), nil
	default:
		return nil, fmt.Errorf("%s is no image archive (.tar, .tar.gz, .tar.zst)", extension)
	}
}
