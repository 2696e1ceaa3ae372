// Copyright (c) 2026, homecloud.k3s contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
)

// writeChanged leaves a file alone that already has the content, so that its age stays meaningful.
func writeChanged(path string, content []byte, mode fs.FileMode) error {
	if existing, err := os.ReadFile(path); err == nil && bytes.Equal(existing, content) {
		return os.Chmod(path, mode)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func writeFileAndDir(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeChanged(path, content, 0o644)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// replaceSymlink makes path point to target, whatever it was before.
func replaceSymlink(target, path string) error {
	if existing, err := os.Readlink(path); err == nil && existing == target {
		return nil
	}
	if err := removeIfThere(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}
