# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import json
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _backup_archive as archive
from hypothesis import given, settings
from hypothesis import strategies as st

FILES = {"nodes/server1.tar.gz": b"\x1f\x8b" + bytes(range(256)) * 3, "datastore/state.db": b"SQLite", "empty": b""}
ABOUT = {"created": "2026-11-23T10:14:16Z", "collection": "0.1.0"}


def lay_down(files: dict[str, bytes], place: Path) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def packed(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tempfile.TemporaryDirectory() as place:
        archive.write(target, lay_down(files, Path(place)), ABOUT)
    return target.getvalue()


def unpacked(data: bytes) -> tuple[archive.Manifest, dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as place:
        manifest = archive.read(io.BytesIO(data), Path(place))
        found = {path.relative_to(place).as_posix(): path for path in Path(place).rglob("*") if path.is_file()}
        return manifest, {name: path.read_bytes() for name, path in found.items()}


ARCHIVE = packed(FILES)


def refused(data: bytes) -> bool:
    with pytest.raises(archive.ArchiveError):
        unpacked(data)
    return True


def test_what_was_packed_comes_back() -> None:
    manifest, files = unpacked(ARCHIVE)
    assert files == FILES
    assert manifest.items() >= {"format": 1, **ABOUT}.items()
    assert {name: member["size"] for name, member in manifest["members"].items()} == {
        n: len(c) for n, c in FILES.items()
    }


@settings(max_examples=50)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z.]{1,8}x)?", fullmatch=True), st.binary(max_size=2000), max_size=4)
)
def test_any_files_come_back(files: dict[str, bytes]) -> None:
    roots = {name.split("/")[0] for name in files if "/" in name}
    files = {name: content for name, content in files.items() if name not in roots}
    assert unpacked(packed(files))[1] == files


def test_the_archive_follows_from_what_is_in_it() -> None:
    assert packed(FILES) == ARCHIVE


def test_tar_and_sha256sum_know_it(tmp_path: Path) -> None:
    subprocess.run(["tar", "--extract"], input=ARCHIVE, cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "manifest.json.sha256"], cwd=tmp_path, check=True)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


def test_any_flipped_byte_is_refused(tmp_path: Path) -> None:
    for place in range(len(ARCHIVE)):
        damaged = bytearray(ARCHIVE)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(archive.ArchiveError):
            archive.read(io.BytesIO(damaged), tmp_path / str(place))


def test_any_cut_is_refused() -> None:
    for size in range(0, len(ARCHIVE), 13):
        assert refused(ARCHIVE[:size]), size
    assert refused(ARCHIVE[:-1])


@given(st.binary(min_size=1, max_size=600))
def test_anything_after_the_end_is_refused(more: bytes) -> None:
    assert refused(ARCHIVE + more)


@given(st.integers(0, len(ARCHIVE)), st.integers(0, len(ARCHIVE)), st.binary(max_size=20))
def test_any_part_replaced_is_refused(start: int, end: int, other: bytes) -> None:
    data = ARCHIVE[: min(start, end)] + other + ARCHIVE[max(start, end) :]
    assert data == ARCHIVE or refused(data)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_no_member_leaves_the_directory(name: str) -> None:
    text = (json.dumps({"format": 1, "members": {name: {"size": 0, "sha256": ""}}}) + "\n").encode()
    parts = [("manifest.json", text), ("manifest.json.sha256", archive._checksum(text)), (name, b"")]
    data = b"".join(archive._header(n, len(c)) + c + archive._padding(len(c)) for n, c in parts) + bytes(1024)
    with pytest.raises(archive.ArchiveError, match="no name that a member can have"):
        unpacked(data)


def test_another_format_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FORMAT", 2)
    newer = packed(FILES)
    monkeypatch.undo()
    with pytest.raises(
        archive.ArchiveError, match=r"format is 2, .* made by homecloud.k3s 0.1.0; restore it with that"
    ):
        unpacked(newer)


def test_large_files_have_a_header_that_tar_reads() -> None:
    size = 9 << 30
    listing = subprocess.run(
        ["tar", "--list", "--verbose"], input=archive._header("big", size), capture_output=True, check=False
    )
    assert str(size) in listing.stdout.decode()


def test_a_name_that_no_header_holds_is_said(tmp_path: Path) -> None:
    (tmp_path / ("x" * 101)).touch()
    with pytest.raises(archive.ArchiveError, match="longer than 100 bytes"):
        archive.write(t.cast("t.Any", io.BytesIO()), tmp_path, ABOUT)
