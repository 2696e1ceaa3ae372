# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs, telling what goes on, and failing with a reason."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

Command = Sequence[str | Path]

START = time.monotonic()


class LabError(Exception):
    """What is wrong, where, and what to do about it."""


def say(message: str) -> None:
    print(f"[{time.monotonic() - START:6.1f} s] {message}", flush=True)


def owner() -> tuple[int, int]:
    """The user on whose behalf the lab runs: files in their home stay theirs."""
    return int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid()))


class Identity(TypedDict, total=False):
    """As whom subprocess.run() works."""

    user: int
    group: int
    extra_groups: list[int]


def identity(as_owner: bool) -> Identity:
    """Go's caches lie in the calling user's home and must not fill with root's files."""
    uid, gid = owner()
    return Identity(user=uid, group=gid, extra_groups=[]) if as_owner and os.geteuid() == 0 else Identity()


def run(
    command: Command,
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    as_owner: bool = False,
) -> str:
    """Run a short command; its error output becomes the error message."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, env=env, capture_output=True, check=False, **identity(as_owner))
    except FileNotFoundError:
        raise LabError(f"The command {words[0]!r} is missing on this machine: {advice(words[0])}") from None
    if check and done.returncode:
        raise LabError(
            f"{' '.join(words)} ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout.decode(errors="replace").strip()


def build(command: Command, log: Path, *, env: Mapping[str, str] | None = None, as_owner: bool = False) -> None:
    """Run a long command with its output in a log file."""
    words = [str(word) for word in command]
    with log.open("ab") as output:
        try:
            done = subprocess.run(
                words, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False,
                env={**os.environ, **(env or {})}, **identity(as_owner),
            )  # fmt: skip
        except FileNotFoundError:
            raise LabError(f"The command {words[0]!r} is missing on this machine: {advice(words[0])}") from None
    if done.returncode:
        raise LabError(f"{' '.join(words)} ended with {done.returncode}. Its output is in {log}")


def advice(program: str) -> str:
    package = {"ip": "iproute2", "ssh-keygen": "openssh-client", "ssh": "openssh-client", "nsenter": "util-linux"}
    return f"apt-get install {package.get(program, program)}"


@contextmanager
def step(title: str) -> Iterator[None]:
    """A piece of work worth a line with its duration."""
    begin = time.monotonic()
    say(f"{title} ...")
    yield
    say(f"{title}: done in {time.monotonic() - begin:.1f} s")
