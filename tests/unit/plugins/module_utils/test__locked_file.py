# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._locked_file import locked, replace_file


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> str:
    return str(tmp_path / "config")


def names_beside(path: str) -> list[str]:
    return sorted(os.listdir(os.path.dirname(path)))


def test_the_lock_is_a_file_for_as_long_as_it_is_held(path: str) -> None:
    with locked(path, timeout=1):
        assert names_beside(path) == ["config.lock"]
    assert names_beside(path) == []


def test_the_lock_is_released_on_an_error(path: str) -> None:
    with contextlib.suppress(ValueError), locked(path, timeout=1):
        raise ValueError
    assert names_beside(path) == []


@pytest.mark.parametrize("mode", [pytest.param(0o600, id="ours"), pytest.param(0, id="of kubectl")])
def test_a_held_lock_is_waited_for_in_vain(path: str, mode: int) -> None:
    with contextlib.ExitStack() as held:
        if mode:
            held.enter_context(locked(path, timeout=1))
        else:
            os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_EXCL, mode))
        with pytest.raises(TimeoutError, match=r"config\.lock .* for 0\.05 s.*remove the lock"), locked(path, 0.05):
            pytest.fail("the lock was had twice")
        assert names_beside(path) == ["config.lock"]


@pytest.mark.parametrize(("held", "error"), [(True, TimeoutError), (False, PermissionError)])
def test_a_user_waits_for_what_is_locked_but_not_for_permission(
    path: str, monkeypatch: pytest.MonkeyPatch, held: bool, error: type[OSError]
) -> None:
    def refuse(*args: object) -> int:
        raise PermissionError  # root, who may run this test, would be let in

    if held:
        Path(f"{path}.lock").touch(mode=0)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(error) as caught, locked(path, timeout=0.05):
        pytest.fail("the lock was had")
    assert caught.type is error


def test_a_lock_that_is_released_is_had(path: str) -> None:
    lock = Path(f"{path}.lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0))
    begin = time.monotonic()
    timer = threading.Timer(0.1, lock.unlink)
    timer.start()
    with locked(path, timeout=10):
        assert time.monotonic() - begin >= 0.1
    timer.join()


def test_the_lock_of_a_killed_process_is_taken_over(path: str) -> None:
    os.close(os.open(f"{path}.lock", os.O_CREAT | os.O_EXCL, 0o600))
    with locked(path, timeout=0):
        pass
    assert names_beside(path) == []


def test_a_lock_that_was_removed_before_we_had_it_is_none(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def flock_too_late(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        os.unlink(f"{path}.lock")  # by the holder before us
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    with locked(path, timeout=1):
        assert names_beside(path) == ["config.lock"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_a_new_file_is_for_its_owner_alone(path: str, umask: int) -> None:
    previous = os.umask(umask)
    try:
        replace_file(path, b"new", owner=None)
    finally:
        os.umask(previous)
    assert Path(path).read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_what_a_killed_process_left_does_not_matter(path: str, tmp_path: Path) -> None:
    (tmp_path / ".config.new").write_bytes(b"half a fi")
    replace_file(path, b"new", owner=None)
    assert Path(path).read_bytes() == b"new"
    assert names_beside(path) == ["config"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(path: str, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    Path(path).write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new", owner=None)
    assert Path(path).read_bytes() == b"old"
    assert names_beside(path) == ["config"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write in another's name")
def test_root_leaves_the_file_to_its_owner(path: str) -> None:
    Path(path).write_bytes(b"old")
    os.chown(path, 1234, 5678)
    replace_file(path, b"new", owner=os.stat(path))
    status = os.stat(path)
    assert (status.st_uid, status.st_gid) == (1234, 5678)
