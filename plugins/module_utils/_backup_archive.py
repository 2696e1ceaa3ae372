# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The form of an archive: a tar file whose every byte follows from what is in it.
#
#   manifest.json         what the archive is of, and size and sha256 of each of the other members
#   manifest.json.sha256  the hash of that, as sha256sum writes it
#   ...                   the members, sorted by name
#
# So a reader knows what must come next, headers and padding too, and nothing can be damaged without being seen. It
# needs no tar library, whose headers change with its version.

from __future__ import annotations

import hashlib
import json
import os
import typing as t
from pathlib import Path, PurePosixPath

FORMAT = 1
MANIFEST = "manifest.json"
_CHECKSUM = f"{MANIFEST}.sha256"
_BLOCK = 512
_SIZE_FIELD = slice(124, 135)
_END = bytes(2 * _BLOCK)
_CHUNK = 1 << 20
_LONGEST_MANIFEST = 16 << 20  # what a damaged size is not taken for
_LONGEST_NAME = 100

Manifest = t.Dict[str, t.Any]  # noqa: UP006 -- evaluated on the Python of a node


class ArchiveError(Exception):
    """The archive is none, or is damaged."""


class Stream(t.Protocol):
    def read(self, size: int, /) -> bytes: ...


class Sink(t.Protocol):
    def write(self, data: bytes, /) -> object: ...


def write(target: Sink, directory: Path, about: t.Mapping[str, t.Any]) -> Manifest:
    """Write the files below DIRECTORY, and what ABOUT says of them, and return the manifest."""
    names = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    members = {name: _described(directory / name) for name in names}
    manifest = {**about, "format": FORMAT, "members": members}
    text = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    for name, content in ((MANIFEST, text), (_CHECKSUM, _checksum(text))):
        target.write(_header(name, len(content)) + content + _padding(len(content)))
    for name, member in members.items():
        target.write(_header(name, member["size"]))
        with (directory / name).open("rb") as file:
            for chunk in _chunks(file, member["size"]):
                target.write(chunk)
        target.write(_padding(member["size"]))
    target.write(_END)
    return manifest


def read(source: Stream, directory: Path | None = None) -> Manifest:
    """Unpack an archive into DIRECTORY, which is empty, or nowhere, and return its manifest.

    Raise ArchiveError if a single byte is not as it was written. What is in DIRECTORY then is not to be used.
    """
    manifest = _manifest(source)
    for name, member in sorted(manifest["members"].items()):
        _expect(source, _header(name, member["size"]), f"the header of {name}")
        with _target(directory, name) as target:
            sha256 = _copy(source, target, member["size"])
        if sha256 != member["sha256"]:
            raise ArchiveError(f"{name} in it does not have the checksum that its manifest names")
        _expect(source, _padding(member["size"]), f"what follows {name}")
    _expect(source, _END, "its end")
    if source.read(1):
        raise ArchiveError("something follows its end")
    return manifest


def _manifest(source: Stream) -> Manifest:
    header = source.read(_BLOCK)
    try:
        size = int(header[_SIZE_FIELD], 8)
    except ValueError:
        size = -1
    if not 0 <= size <= _LONGEST_MANIFEST or header != _header(MANIFEST, size):
        raise ArchiveError(f"it does not begin with a {MANIFEST}")
    text = b"".join(_chunks(source, size))
    _expect(source, _padding(size), f"what follows {MANIFEST}")
    checksum = _checksum(text)
    _expect(
        source, _header(_CHECKSUM, len(checksum)) + checksum + _padding(len(checksum)), f"the checksum of {MANIFEST}"
    )
    manifest: Manifest = json.loads(text)
    if manifest["format"] != FORMAT:
        raise ArchiveError(
            f"its format is {manifest['format']}, and this collection knows {FORMAT}. It was made by homecloud.k3s "
            f"{manifest.get('collection') or 'of an unknown version'}; restore it with that"
        )
    return manifest


def _target(directory: Path | None, name: str) -> t.IO[bytes]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ArchiveError(f"{name} in it is no name that a member can have")
    if directory is None:
        return open(os.devnull, "wb")
    place = directory / path
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place.open("xb")


def _copy(source: Stream, target: Sink, size: int) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(source, size):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _described(path: Path) -> dict[str, t.Any]:
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        for chunk in _chunks(file, size):
            digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


def _chunks(source: Stream, size: int) -> t.Iterator[bytes]:
    """SIZE bytes, not all at once."""
    while size > 0:
        chunk = source.read(min(size, _CHUNK))
        if not chunk:
            raise ArchiveError("it ends too soon")
        size -= len(chunk)
        yield chunk


def _expect(source: Stream, expected: bytes, what: str) -> None:
    if b"".join(_chunks(source, len(expected))) != expected:
        raise ArchiveError(f"{what} is not as it was written")


def _header(name: str, size: int) -> bytes:
    """The header of a file that belongs to root alone, as GNU tar reads it."""
    encoded = name.encode()
    if len(encoded) > _LONGEST_NAME:
        raise ArchiveError(f"the name {name} is longer than {_LONGEST_NAME} bytes, which a member cannot have")
    length = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    start = encoded.ljust(_LONGEST_NAME, b"\0") + b"0000600\0" + b"0000000\0" * 2 + length + b"%011o\0" % 0
    rest = b"0" + bytes(100) + b"ustar  \0" + bytes(247)
    return start + b"%06o\0 " % sum(start + b" " * 8 + rest) + rest


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _checksum(text: bytes) -> bytes:
    return f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n".encode()
