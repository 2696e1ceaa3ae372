# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A small file that several programs change: one at a time, and in one step.

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
import typing as t

_POLL_SECONDS = 0.02


@contextlib.contextmanager
def locked(path: str, timeout: float) -> t.Iterator[None]:
    """Hold PATH.lock, or raise TimeoutError.

    The name is that of kubectl's own lock, which is held as long as the file exists. Ours is also locked by flock(2),
    so that one left behind by a killed process is known as such and taken over.
    """
    lock = f"{path}.lock"
    deadline = time.monotonic() + timeout
    while (descriptor := _try_lock(lock)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(
                f"{lock} has been held by another program for {timeout:g} s. "
                "Wait for it to end; if no program is changing the file, remove the lock and run again."
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.unlink(lock)
        os.close(descriptor)


def _try_lock(lock: str) -> int | None:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        if os.path.lexists(lock):  # kubectl's has mode 0
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = os.fstat(descriptor)
        # Root can open kubectl's lock; and the holder before us may have removed the file that we have opened.
        if stat.S_IMODE(held.st_mode) and os.path.samestat(held, os.stat(lock)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def replace_file(path: str, content: bytes, owner: os.stat_result | None) -> None:
    """Put CONTENT at PATH in one step, for its owner alone to read: a crash leaves the old file or the new one.

    The caller holds the lock. Root writes in the name of OWNER.
    """
    directory, name = os.path.split(path)
    draft = os.path.join(directory, f".{name}.new")
    _discard(draft)  # a killed process may have left one
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            if owner is not None and os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        _discard(draft)
    _sync_directory(directory)


def _discard(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
