# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _backup_file as MODULE
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_archive import ArchiveError
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_file import Secret, make, open_, require

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="GnuPG is not here")

CONTENT = b"secret" * 5000
PHRASE = "correct horse battery staple"
SECRET = Secret(PHRASE, None)
PLAIN = Secret(None, None, encrypted=False)


@pytest.fixture(name="files")
def files_fixture(tmp_path: Path) -> Path:
    (tmp_path / "files/nodes").mkdir(parents=True)
    (tmp_path / "files/nodes/server1.tar.gz").write_bytes(CONTENT)
    return tmp_path / "files"


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive, made once as that takes its time."""
    place = tmp_path_factory.mktemp("made")
    (place / "files/nodes").mkdir(parents=True)
    (place / "files/nodes/server1.tar.gz").write_bytes(CONTENT)
    make(place / "kept/home.tar.gpg", place / "files", {}, SECRET)
    return place / "kept/home.tar.gpg"


@pytest.fixture(name="archive")
def archive_fixture(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "home.tar.gpg"))


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[None]:
    """All that is left of them is an error."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield
    assert list(place.iterdir()) == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def unpacked(path: Path, place: Path, secret: Secret) -> bytes:
    place.mkdir()
    try:
        open_(path, place, secret)
    except ArchiveError:
        assert list(place.iterdir()) == []
        raise
    return (place / "nodes/server1.tar.gz").read_bytes()


@needs_gpg
def test_an_encrypted_archive_comes_back(made: Path, tmp_path: Path) -> None:
    assert unpacked(made, tmp_path / "out", SECRET) == CONTENT
    assert b"secret" not in made.read_bytes()
    assert (mode(made), mode(made.parent)) == (0o600, 0o700)
    assert list(made.parent.iterdir()) == [made]


def test_what_was_never_finished_is_removed_a_day_later(files: Path, tmp_path: Path) -> None:
    secret = Secret(None, None, encrypted=False)
    draft = tmp_path / "kept/.homecloud.k3s-new-home-1.tar"
    make(tmp_path / "kept/home-2.tar", files, {}, secret)
    draft.touch()
    make(tmp_path / "kept/home-3.tar", files, {}, secret)
    assert draft.exists()  # of another run
    os.utime(draft, (0, 0))
    make(tmp_path / "kept/home-4.tar", files, {}, secret)
    assert not draft.exists()


@needs_gpg
def test_it_is_encrypted_by_aes_with_a_stretched_passphrase(archive: Path, tmp_path: Path) -> None:
    line = [
        "gpg",
        "--homedir",
        str(tmp_path),
        "--batch",
        "--no-autostart",
        "--list-packets",
        "--list-only",
        str(archive),
    ]
    shown = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    assert re.search(
        "cipher 9,.* s2k 3, hash 10|cipher 9, aead 0,s2k 3, hash 10", shown
    )  # AES256, iterated and salted, SHA512


def test_a_plain_archive_comes_back(files: Path, tmp_path: Path) -> None:
    make(tmp_path / "home.tar", files, {}, PLAIN)
    assert unpacked(tmp_path / "home.tar", tmp_path / "out", PLAIN) == CONTENT
    assert mode(tmp_path / "home.tar") == 0o600


@needs_gpg
def test_the_passphrase_may_be_in_a_file(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text(f"{PHRASE}\n")
    assert unpacked(archive, tmp_path / "out", Secret("", str(tmp_path / "phrase")))


@needs_gpg
def test_the_passphrase_is_on_no_command_line(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []
    run = subprocess.Popen

    def watched(line: list[str], **options: t.Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 -- those of Popen
        seen.extend([*line, *options["env"].values()])
        return run(line, **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    make(tmp_path / "a.tar.gpg", files, {}, SECRET)
    unpacked(tmp_path / "a.tar.gpg", tmp_path / "out", SECRET)
    assert seen
    assert not [word for word in seen if PHRASE in str(word)]
    assert "".join(capfd.readouterr()) == ""


@needs_gpg
@pytest.mark.parametrize("secret", [Secret("wrong", None), Secret(f"{PHRASE} ", None)])
def test_another_passphrase_is_refused(archive: Path, tmp_path: Path, secret: Secret) -> None:
    with pytest.raises(ArchiveError, match="the passphrase is not the one"):
        unpacked(archive, tmp_path / "out", secret)


@needs_gpg
@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.99, 0.99999])
def test_a_damaged_archive_is_refused(archive: Path, tmp_path: Path, part: float) -> None:
    data = bytearray(archive.read_bytes())
    data[int(part * len(data))] ^= 0x10
    archive.write_bytes(data)
    with pytest.raises(ArchiveError):
        unpacked(archive, tmp_path / "out", SECRET)


@needs_gpg
@pytest.mark.parametrize("size", [0, 1, 50, 10000, -1])
def test_a_cut_archive_is_refused(archive: Path, tmp_path: Path, size: int) -> None:
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(ArchiveError):
        unpacked(archive, tmp_path / "out", SECRET)


@needs_gpg
def test_something_else_is_refused(archive: Path, tmp_path: Path) -> None:
    archive.write_text("not an archive\n" * 100)
    with pytest.raises(ArchiveError, match="it is no archive of this collection"):
        unpacked(archive, tmp_path / "out", SECRET)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (Secret(None, None), "Set backup_passphrase"),
        (Secret("", ""), "backup_encrypted: false"),
        (Secret("two\nlines", None), "several lines"),
    ],
)
def test_without_a_passphrase_nothing_is_made(tmp_path: Path, secret: Secret, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        require(tmp_path / "home.tar.gpg", secret)


def test_a_controller_without_gnupg_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArchiveError, match="sudo apt install gnupg"):
        require(tmp_path / "home.tar.gpg", SECRET)
    require(tmp_path / "home.tar", PLAIN)


def test_a_directory_that_cannot_be_written_to_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, kind: False)
    with pytest.raises(ArchiveError, match="Set backup_dir"):
        require(tmp_path / "new/home.tar", PLAIN)


def test_a_disk_that_keeps_something_else_leaves_no_archive(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "_sha256", lambda path, secret: "another")
    with pytest.raises(ArchiveError, match="read back"):
        make(tmp_path / "kept/home.tar", files, {}, PLAIN)
    assert list((tmp_path / "kept").iterdir()) == []
