# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils import _kubeconfig_file, _locked_file
from ansible_collections.homecloud.k3s.plugins.module_utils._kubeconfig import KubeconfigError
from ansible_collections.homecloud.k3s.plugins.module_utils._kubeconfig_file import Request, apply

K3S_YAML = (Path(__file__).parent.parent / "data" / "k3s.yaml").read_text(encoding="utf-8")
URL = "https://192.168.1.101:6443"
OTHER = """\
# a comment
contexts: [{name: work, context: {cluster: work, user: work}}]
clusters: [{name: work, cluster: {server: 'https://10.0.0.1:6443'}}]
users: [{name: work, user: {token: secret}}]
current-context: work
"""


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    return tmp_path / ".kube" / "config"


@pytest.fixture(name="existing")
def existing_fixture(path: Path) -> Path:
    path.parent.mkdir()
    path.write_text(OTHER)
    path.chmod(0o600)
    return path


def present(path: Path, context: str = "homecloud") -> Request:
    return Request(
        path=str(path),
        context=context,
        state="present",
        content=K3S_YAML,
        server=URL,
        current=None,
        min_days=30,
        backup=True,
    )


def absent(path: Path) -> Request:
    return replace(present(path), state="absent", content=None, server=None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path, section: str = "contexts") -> list[str]:
    return [item["name"] for item in yaml.safe_load(path.read_text())[section]]


def test_a_new_file(path: Path) -> None:
    outcome = apply(present(path), check_mode=False)
    assert (outcome.changed, outcome.server, outcome.backup_file) == (True, URL, None)
    assert names(path) == ["homecloud"]
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert os.listdir(path.parent) == ["config"]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file(existing: Path, text: str) -> None:
    existing.write_text(text)
    assert apply(present(existing), check_mode=False).changed
    assert names(existing) == ["homecloud"]


def test_a_file_of_windows(existing: Path) -> None:
    existing.write_bytes(b"\xef\xbb\xbf" + OTHER.replace("\n", "\r\n").encode())
    assert apply(present(existing), check_mode=False).changed
    assert names(existing) == ["work", "homecloud"]


def test_an_existing_file_is_kept_as_backup(existing: Path) -> None:
    outcome = apply(present(existing), check_mode=False)
    assert names(existing) == ["work", "homecloud"]
    assert outcome.backup_file is not None
    backup = Path(outcome.backup_file)
    assert backup.read_text() == OTHER
    assert mode(backup) == 0o600
    assert sorted(existing.parent.iterdir()) == [existing, backup]


def test_no_backup(existing: Path) -> None:
    assert apply(replace(present(existing), backup=False), check_mode=False).backup_file is None
    assert os.listdir(existing.parent) == ["config"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_nothing_is_written_where_nothing_changes(existing: Path, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = present(existing) if state == "present" else absent(existing)
    apply(request, check_mode=False)
    monkeypatch.setattr(_kubeconfig_file, "locked", lambda *args: pytest.fail("the lock was taken"))
    before = existing.stat()
    outcome = apply(request, check_mode=False)
    assert not outcome.changed
    assert outcome.diff["before"] == outcome.diff["after"]
    assert existing.stat() == before


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_mode_foretells_and_writes_nothing(existing: Path, state: str) -> None:
    if state == "absent":
        apply(replace(present(existing), backup=False), check_mode=False)
    request = present(existing) if state == "present" else absent(existing)
    before = existing.read_text()
    foretold = apply(request, check_mode=True)
    assert foretold.changed
    assert existing.read_text() == before
    assert os.listdir(existing.parent) == ["config"]
    assert replace(apply(request, check_mode=False), backup_file=None) == foretold


def test_check_mode_makes_no_directory(path: Path) -> None:
    assert apply(present(path), check_mode=True).changed
    assert not path.parent.exists()


def test_absent_without_a_file_makes_none(path: Path) -> None:
    assert not apply(absent(path), check_mode=False).changed
    assert not path.parent.exists()


def test_absent(existing: Path) -> None:
    apply(present(existing), check_mode=False)
    outcome = apply(absent(existing), check_mode=False)
    assert (outcome.changed, outcome.server, outcome.client_certificate_days_left) == (True, None, None)
    assert yaml.safe_load(existing.read_text()) == yaml.safe_load(OTHER)


@pytest.mark.parametrize("exposed", [0o644, 0o640, 0o700])
def test_a_file_that_others_can_read_is_closed(existing: Path, exposed: int) -> None:
    apply(replace(present(existing), backup=False), check_mode=False)
    existing.chmod(exposed)
    outcome = apply(present(existing), check_mode=False)
    assert outcome.changed
    assert f"mode: '0{exposed:o}'" in outcome.diff["before"]
    assert "mode: '0600'" in outcome.diff["after"]
    assert mode(existing) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write in another's name")
def test_root_leaves_the_file_and_its_backup_to_their_owner(existing: Path) -> None:
    os.chown(existing, 1234, 5678)
    outcome = apply(present(existing), check_mode=False)
    for path in (existing, Path(outcome.backup_file or "")):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_stays_one(existing: Path, dangling: bool, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "kubeconfig"
    if not dangling:
        target.parent.mkdir()
        existing.rename(target)
    else:
        existing.unlink()
    existing.symlink_to(target)
    apply(present(existing), check_mode=False)
    assert existing.is_symlink()
    assert not target.is_symlink()
    assert names(target)[-1] == "homecloud"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"users: [\n", r"config:2: this is not YAML"),
        (b"kind: Secret\n", r"config:1: this is YAML, but no kubeconfig"),
        (b"kind: Config\n# caf\xe9\n", r"config:2: this is not text in UTF-8"),
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_broken_file_stays_as_it_was(existing: Path, content: bytes, problem: str, state: str) -> None:
    existing.write_bytes(content)
    with pytest.raises(KubeconfigError, match=problem) as caught:
        apply(present(existing) if state == "present" else absent(existing), check_mode=False)
    assert str(existing) in str(caught.value)
    assert existing.read_bytes() == content
    assert os.listdir(existing.parent) == ["config"]


def test_a_broken_certificate_is_noticed_before_anything_is_written(existing: Path) -> None:
    request = replace(
        present(existing), content=K3S_YAML.replace("client-certificate-data: LS0t", "client-certificate-data: ")
    )
    with pytest.raises(KubeconfigError, match=r"^content:\d+: client-certificate-data must be a certificate"):
        apply(request, check_mode=False)
    assert existing.read_text() == OTHER


def test_a_directory_is_no_kubeconfig(existing: Path) -> None:
    with pytest.raises(KubeconfigError, match=r"\.kube is not a regular file: name another path"):
        apply(present(existing.parent), check_mode=False)


def test_an_empty_name(existing: Path) -> None:
    with pytest.raises(KubeconfigError, match="context must not be empty"):
        present(existing, context="")


def test_a_change_before_the_lock_was_ours_is_respected(existing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another_is_faster(path: str, timeout: float) -> object:
        monkeypatch.undo()
        apply(present(existing, context="faster"), check_mode=False)
        return _locked_file.locked(path, timeout)

    monkeypatch.setattr(_kubeconfig_file, "locked", another_is_faster)
    assert apply(present(existing), check_mode=False).changed
    assert names(existing) == ["work", "faster", "homecloud"]


# Many writers, of which some are killed at the worst moments

WRITERS = range(100)
DEADLY_STEPS = {
    0: (os, "fsync"),  # the lock is held, the draft not complete
    1: (os, "replace"),  # the draft is complete
    2: (_locked_file, "_sync_directory"),  # the file is in place, the lock still held
}
SMALL = """\
clusters: [{name: a, cluster: {server: 'https://10.0.0.1:6443'}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
users: [{name: a, user: {token: secret}}]
"""


def write_or_die(path: Path, number: int) -> None:
    def die(*args: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if number % 10 in DEADLY_STEPS:
        mock.patch.object(*DEADLY_STEPS[number % 10], die).start()
    request = present(path, context=f"writer-{number}")
    apply(replace(request, content=SMALL, backup=False), check_mode=False)


def test_concurrent_writers_lose_nothing(existing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kubeconfig_file, "LOCK_SECONDS", 120)  # so many at once need longer than real ones
    fork = multiprocessing.get_context("fork")  # it inherits the modules, so that all start at once
    writers = [fork.Process(target=write_or_die, args=(existing, number)) for number in WRITERS]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert names(existing)[0] == "work", "the file is whole at any time"
        assert mode(existing) == 0o600
        time.sleep(0.1)

    fates = [-signal.SIGKILL if number % 10 in DEADLY_STEPS else 0 for number in WRITERS]
    assert [writer.exitcode for writer in writers] == fates
    apply(replace(present(existing), backup=False), check_mode=False)
    written = [f"writer-{number}" for number in WRITERS if number % 10 not in (0, 1)]
    for section in ("clusters", "contexts", "users"):
        assert sorted(names(existing, section)) == sorted(["work", "homecloud", *written])
        assert yaml.safe_load(existing.read_text())[section][0] == yaml.safe_load(OTHER)[section][0]
    assert os.listdir(existing.parent) == ["config"]
