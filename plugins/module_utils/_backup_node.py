# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What of a node goes into an archive, and comes back from one.
#
# Names in the tar file of a node are those on the node, from its root. What k3s makes anew when it starts is left out.

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import tarfile
import typing as t
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

NODE_FILE = "node.tar.gz"
_CONFIG = ("etc/rancher/k3s", "etc/rancher/node")
_MADE_ANEW = frozenset(("db", "etc", "logs", "static"))
"""What in the directory of a server is no part of its tar file: the datastore is copied by itself."""
_OF_THE_DATASTORE = frozenset(("agent-token", "cred", "node-token", "tls", "token"))
"""What in the directory of a server belongs to one with the datastore; others get it from that one when they join."""
_IDENTITY = ("agent/*.crt", "agent/*.key", "agent/*.kubeconfig", "agent/etc/*load-balancer.json")
"""By what an agent knows a cluster. It gets all of it anew when it joins."""
_SPARE = 64 << 20


class NodeError(Exception):
    """Nothing was changed, for a reason that a user can do something about."""


@dataclass(frozen=True)
class Node:
    """The places on a node; root is "/" but in tests."""

    root: Path
    data_dir: str
    storage_dir: str

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    @property
    def server(self) -> Path:
        return self.path(self.data_dir) / "server"

    @property
    def storage(self) -> Path:
        return self.path(self.storage_dir)

    def volumes(self) -> list[Path]:
        there = sorted(self.storage.iterdir()) if self.storage.is_dir() else []
        return [path for path in there if path.is_dir() and not path.is_symlink() and not is_aside(path.name)]


def aside(moment: str) -> str:
    return f"before-restore-{moment}"


def is_aside(name: str) -> bool:
    return name.startswith(aside(""))


# -- into an archive


def pack(node: Node, dest: Path, with_volumes: bool, snapshot: str) -> list[str]:
    """Write the files of a node into the directory DEST, for the owner of that, and return their names."""
    _require_space(node, dest, with_volumes)
    names = [NODE_FILE]
    with tarfile.open(dest / NODE_FILE, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        for path in _files(node):
            _add(tar, node, path)
        for volume in node.volumes():
            _add(tar, node, volume)
            for path in sorted(volume.rglob("*")) if with_volumes else ():
                _add(tar, node, path)
    if snapshot:
        names.append(PurePosixPath(snapshot).name)
        shutil.copyfile(node.path(snapshot), dest / names[-1])
    elif (database := node.server / "db/state.db").is_file():
        names.append(database.name)
        _copy_database(database, dest / database.name)
    owner = dest.stat()
    for name in names:
        (dest / name).chmod(0o600)
        os.chown(dest / name, owner.st_uid, owner.st_gid)
    return names


def _files(node: Node) -> t.Iterator[Path]:
    for name in _CONFIG:
        yield from _tree(node.path(name))
    if node.server.is_dir():
        yield node.server
        for path in sorted(node.server.iterdir()):
            if path.name not in _MADE_ANEW:
                yield from _tree(path)


def _tree(path: Path) -> t.Iterator[Path]:
    if path.exists() or path.is_symlink():
        yield path
    if path.is_dir() and not path.is_symlink():
        yield from sorted(path.rglob("*"))


def _add(tar: tarfile.TarFile, node: Node, path: Path) -> None:
    """Add a file as it is. Pods may write to it meanwhile, or remove it; k3s may, too."""
    with contextlib.suppress(FileNotFoundError):
        info = tar.gettarinfo(str(path), str(path.relative_to(node.root)))
        if info is not None and info.isreg():
            with path.open("rb") as file:
                tar.addfile(info, t.cast("t.IO[bytes]", _OfSize(file)))
        elif info is not None:  # a socket is none
            tar.addfile(info)


class _OfSize:
    """A file that has as many bytes as its header says, also if it has become shorter."""

    def __init__(self, file: t.IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size).ljust(size, b"\0")


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, while k3s goes on writing to it."""
    target.touch(0o600)
    with contextlib.ExitStack() as stack:
        running = sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=30)
        copy = sqlite3.connect(str(target))
        for connection in (running, copy):
            stack.callback(connection.close)
        running.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise NodeError(f"The database {source} is damaged: {verdict}. An earlier archive may be better.")


def _require_space(node: Node, dest: Path, with_volumes: bool) -> None:
    """Raise if there is no room. Volumes may be too large for the disk with the system."""
    paths = [*_files(node), node.server / "db/state.db"]
    paths += [path for volume in node.volumes() for path in volume.rglob("*")] if with_volumes else []
    needed, free = _SPARE, shutil.disk_usage(dest).free
    for path in paths:
        with contextlib.suppress(OSError):
            status = path.lstat()
            needed += status.st_size if stat.S_ISREG(status.st_mode) else 0
    if needed > free:
        raise NodeError(
            f"{dest} has {free >> 20} MiB left, and what is to be copied may take {needed >> 20} MiB. "
            "Make room there, set backup_node_dir to a directory on a larger disk, or leave the volumes out."
        )


# -- from an archive


@dataclass(frozen=True)
class Content:
    """What there is in the tar file of a node, and where it goes."""

    members: list[tarfile.TarInfo]
    places: list[str]  # each is put back as a whole
    volumes: dict[str, bool]  # whether there is something in it


def content(node: Node, file: Path | None, leads: bool) -> Content:
    """Look through the tar file of a node, or raise NodeError. leads: whether the datastore comes back here."""
    members = []
    if file is not None:
        with tarfile.open(file, "r:gz") as tar:
            members = tar.getmembers()
    links = {member.name for member in members if member.issym()}
    names = {member.name for member in members}
    server = PurePosixPath(node.server.relative_to(node.root))
    wanted: list[tarfile.TarInfo] = []
    places: list[str] = []
    volumes: dict[str, bool] = {}
    for member in members:
        name = PurePosixPath(member.name)
        leads_elsewhere = links.intersection(map(str, name.parents)) or (
            member.islnk() and member.linkname not in names
        )
        if ".." in name.parts or leads_elsewhere or member.isdev():
            raise NodeError(f"{file} is no tar file of a node: {member.name} is not to be in one.")
        place = _place(server, name)
        volume = _below(name, node.storage_dir)
        if volume:
            volumes[volume[0]] = volumes.get(volume[0], False) or len(volume) > 1
        elif not place:
            raise NodeError(f"{file} has {member.name}, which is no place of k3s on this node. Has its data-dir moved?")
        elif not leads and place.name in _OF_THE_DATASTORE and place.parent == server:
            continue
        elif str(place) not in places and name != server:
            places.append(str(place))
        wanted.append(member)
    return Content(wanted, places, volumes)


def _below(name: PurePosixPath, directory: str) -> tuple[str, ...]:
    try:
        return name.relative_to(directory.lstrip("/")).parts
    except ValueError:
        return ()


def _place(server: PurePosixPath, name: PurePosixPath) -> PurePosixPath | None:
    """What a file is put back with; nothing if it is not of k3s."""
    for config in _CONFIG:
        if name == PurePosixPath(config) or PurePosixPath(config) in name.parents:
            return PurePosixPath(config)
    if name == server:
        return server
    return server / name.relative_to(server).parts[0] if server in name.parents else None


def moved(node: Node, found: Content) -> list[Path]:
    """What is in the way of an archive, or belongs to what is replaced."""
    of_servers = [node.server / name for name in ("db", *sorted(_OF_THE_DATASTORE))]
    identity = [path for pattern in _IDENTITY for path in sorted(node.path(node.data_dir).glob(pattern))]
    paths = dict.fromkeys([*(node.root / place for place in found.places), *of_servers, *identity])
    volumes = [node.storage / name for name, has_files in found.volumes.items() if has_files]
    return [path for path in (*paths, *volumes) if path.exists() or path.is_symlink()]


def put(node: Node, file: Path | None, found: Content, database: Path | None, moment: str) -> None:
    """Put back what is in the tar file of a node, and the datastore, and move aside what was there."""
    for parent in ("/etc/rancher", node.data_dir, node.storage_dir if found.volumes else node.data_dir):
        node.path(parent).mkdir(parents=True, exist_ok=True)
    os.umask(0o077)  # a file gets its own mode only when it is complete
    for path in moved(node, found):
        if node.storage in path.parents:  # which may be on a disk of its own
            target = node.storage / aside(moment) / path.name
        else:
            target = node.path(node.data_dir) / aside(moment) / path.relative_to(node.root)
        _move(path, target)
    if file is not None:
        # A volume that is there stays if the archive has nothing to put into it.
        stay = {name for name, has_files in found.volumes.items() if not has_files and (node.storage / name).exists()}
        members = [one for one in found.members if stay.isdisjoint(_below(PurePosixPath(one.name), node.storage_dir))]
        with tarfile.open(file, "r:gz") as tar:
            tar.extraction_filter = _as_packed
            tar.extractall(str(node.root), members, numeric_owner=True)
    if database is not None:
        directory = node.server / "db"
        directory.mkdir(parents=True)
        shutil.copyfile(database, directory / "state.db")
    os.sync()


def _as_packed(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Newer Pythons would change owners and modes of what they take from a stranger."""
    return member


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.ismount(path):
        # A disk stays where it is.
        target.mkdir(mode=0o700)
        for child in sorted(path.iterdir()):
            shutil.move(str(child), str(target / child.name))
    else:
        shutil.move(str(path), str(target))
