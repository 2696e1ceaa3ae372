# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What a reading of a node is taken from: its files and the output of its programs. Whatever
# is missing or may not be read is empty; nothing here fails.

from __future__ import annotations

import glob
import hashlib
import os
import subprocess
from pathlib import Path

_COMMAND_SECONDS = 15
_CHUNK = 1 << 18
# sudo and a login without root leave out the directories of the programs for administrators.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Tree:
    """The file system of a node, or a copy of one below another directory. Names in it begin with a slash."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> Path:
        return self._root / name.lstrip("/")

    def text(self, name: str) -> str:
        return self.content(name).decode("utf-8", errors="replace")

    def content(self, name: str) -> bytes:
        try:
            return self.path(name).read_bytes()
        except OSError:
            return b""

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def link(self, name: str) -> str | None:
        """Return where a symbolic link leads to; None if the name is none."""
        try:
            return os.readlink(self.path(name))
        except OSError:
            return None

    def status(self, name: str) -> os.stat_result | None:
        """Return the status of a file or link itself; None if there is none."""
        try:
            return os.lstat(self.path(name))
        except OSError:
            return None

    def glob(self, pattern: str) -> list[str]:
        root = str(self._root).rstrip("/")
        return sorted(name[len(root) :] for name in glob.glob(f"{glob.escape(root)}{pattern}"))

    def sha256(self, name: str) -> str | None:
        """Return the hash of a file's content; None if it may not be read or is none."""
        digest = hashlib.sha256()
        try:
            with open(self.path(name), "rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError:
            return None
        return digest.hexdigest()


def run(*command: str) -> str:
    """Return what a program prints; nothing if it is not there, fails or hangs."""
    try:
        # AnsibleModule.run_command changes the directory and the environment of the whole process: not for threads.
        return subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            env={"PATH": PATH, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=True,
        ).stdout.decode("utf-8", errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def assignments(text: str) -> dict[str, str]:
    """Return the variables that a file of `NAME=value` lines sets, as a shell reads the plain ones."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quote = value[:1]
            found[name] = value[1:].partition(quote)[0] if quote in {'"', "'"} else value.partition(" #")[0].strip()
    return found
