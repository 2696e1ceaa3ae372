# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import stat
import tarfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _backup_node as MODULE
from ansible_collections.homecloud.k3s.plugins.module_utils._backup_node import (
    Node,
    NodeError,
    content,
    moved,
    pack,
    put,
)

DATA = "/var/lib/rancher/k3s"
MOMENT = "20261123T101416Z"
ASIDE = f"before-restore-{MOMENT}"
SERVER: t.Final = {
    "etc/rancher/k3s/config.yaml": "node-name: server1\n",
    "etc/rancher/k3s/config.yaml.d/mine.yaml": "tls-san: [a]\n",
    "etc/rancher/node/password": "0123\n",
    "etc/rancher/rke2/config.yaml": "of others",
    "var/lib/rancher/k3s/server/token": "K10",
    "var/lib/rancher/k3s/server/tls/server-ca.crt": "CA",
    "var/lib/rancher/k3s/server/cred/passwd": "pw",
    "var/lib/rancher/k3s/server/manifests/mine.yaml": "kind: List",
    "var/lib/rancher/k3s/server/psa.yaml": "a user's",
    "var/lib/rancher/k3s/server/static/charts/traefik.tgz": "anew",
    "var/lib/rancher/k3s/server/logs/audit.log": "long",
    "var/lib/rancher/k3s/agent/server-ca.crt": "CA",
    "var/lib/rancher/k3s/agent/images/a.tar": "image",
    "var/lib/rancher/k3s/storage/pvc-1/data.txt": "data",
}


def host(root: Path, files: t.Mapping[str, str]) -> Node:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    root.mkdir(exist_ok=True)
    return Node(root, DATA, f"{DATA}/storage")


def database(node: Node) -> sqlite3.Connection:
    """The database of a k3s that runs: a part of it is only in the write-ahead log."""
    path = node.server / "db/state.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE kine (name TEXT)")
    connection.execute("INSERT INTO kine VALUES ('kept')")
    connection.commit()
    return connection


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def texts(root: Path, under: str = "") -> dict[str, str]:
    files = [path for path in (root / under).rglob("*") if path.is_file() and path.suffix not in (".db", ".gz")]
    return {path.relative_to(root / under).as_posix(): path.read_text() for path in files}


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Node:
    node = host(tmp_path / "server1", SERVER)
    (node.server / "node-token").symlink_to("token")
    (node.server / "token").chmod(0o600)
    (node.storage / "pvc-1").chmod(0o777)
    return node


@pytest.fixture(name="dest")
def dest_fixture(tmp_path: Path) -> Path:
    (tmp_path / "dest").mkdir(mode=0o700)
    return tmp_path / "dest"


@pytest.fixture(autouse=True)
def umask() -> t.Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def in_tar(dest: Path) -> set[str]:
    with tarfile.open(dest / "node.tar.gz") as tar:
        return {member.name for member in tar if not member.isdir()}


def restored(node: Node, dest: Path, leads: bool = True) -> None:
    file, database_file = dest / "node.tar.gz", dest / "state.db"
    found = content(node, file, leads)
    put(node, file, found, database_file if leads and database_file.exists() else None, MOMENT)


def test_a_server_has_what_k3s_does_not_make_anew(server: Node, dest: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as kine:
        place = os.getcwd()
        os.chdir(server.server)  # the name of a socket may not be long
        kine.bind("kine.sock")
        os.chdir(place)
        assert pack(server, dest, False, "") == ["node.tar.gz"]
    left_out = ("rke2", "static", "logs", "agent/", "data.txt")
    kept = {name for name in SERVER if not any(word in name for word in left_out)}
    assert in_tar(dest) == {*kept, "var/lib/rancher/k3s/server/node-token"}
    assert stat.S_IMODE((dest / "node.tar.gz").stat().st_mode) == 0o600


def test_the_database_is_copied_while_it_is_written_to(server: Node, dest: Path) -> None:
    with contextlib.closing(database(server)) as running:
        running.execute("INSERT INTO kine VALUES ('not yet')")
        assert pack(server, dest, False, "") == ["node.tar.gz", "state.db"]
        running.commit()
    assert names(dest) == ["node.tar.gz", "state.db"]
    with contextlib.closing(sqlite3.connect(dest / "state.db")) as copy:
        assert copy.execute("SELECT name FROM kine").fetchall() == [("kept",)]


def test_a_damaged_database_is_no_backup(server: Node, dest: Path) -> None:
    database(server).close()
    path = server.server / "db/state.db"
    data = bytearray(path.read_bytes())
    data[4096:8192] = os.urandom(4096)
    path.write_bytes(data)
    with pytest.raises((NodeError, sqlite3.DatabaseError)):
        pack(server, dest, False, "")


def test_a_snapshot_is_kept_in_place_of_a_database(server: Node, dest: Path) -> None:
    (server.server / "db/etcd").mkdir(parents=True)
    (server.server / "db/snap").write_text("etcd")
    assert pack(server, dest, False, f"{DATA}/server/db/snap") == ["node.tar.gz", "snap"]
    assert (dest / "snap").read_text() == "etcd"


def test_a_full_disk_is_said_before(server: Node, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_SPARE", 1 << 60)
    with pytest.raises(NodeError, match="backup_node_dir"):
        pack(server, dest, True, "")
    assert names(dest) == []


def test_a_file_that_becomes_shorter_or_goes_does_no_harm(
    server: Node, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.storage / "pvc-1/gone.txt").write_text("gone")
    describe = tarfile.TarFile.gettarinfo

    def meanwhile(self: tarfile.TarFile, name: str, arcname: str) -> tarfile.TarInfo:
        info = describe(self, name, arcname)
        if name.endswith("data.txt"):
            Path(name).write_text("d")
        if name.endswith("gone.txt"):
            Path(name).unlink()
        return info

    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", meanwhile)
    pack(server, dest, True, "")
    with tarfile.open(dest / "node.tar.gz") as tar:
        file = tar.extractfile("var/lib/rancher/k3s/storage/pvc-1/data.txt")
        assert file is not None
        assert file.read() == b"d\0\0\0"
    assert not [name for name in in_tar(dest) if "gone" in name]


def test_a_bare_node_gets_all_of_it(server: Node, dest: Path, tmp_path: Path) -> None:
    database(server).close()
    pack(server, dest, True, "")
    bare = host(tmp_path / "bare", {})
    restored(bare, dest)
    left_out = ("rke2", "static", "logs", "agent/")
    kept = {name: text for name, text in SERVER.items() if not any(word in name for word in left_out)}
    assert texts(bare.root) == {**kept, "var/lib/rancher/k3s/server/node-token": "K10"}
    assert os.readlink(bare.server / "node-token") == "token"
    assert (bare.server / "db/state.db").is_file()
    modes = {
        path: stat.S_IMODE((bare.path(DATA) / path).stat().st_mode) for path in (".", "server/token", "storage/pvc-1")
    }
    assert modes == {".": 0o755, "server/token": 0o600, "storage/pvc-1": 0o777}


def test_what_is_replaced_is_moved_aside(server: Node, dest: Path, tmp_path: Path) -> None:
    pack(server, dest, True, "")
    (dest / "state.db").write_text("of the archive")
    now = host(tmp_path / "now", {name: f"now {text}" for name, text in SERVER.items()})
    (now.server / "db").mkdir()
    (now.server / "db/state.db").write_text("now")
    restored(now, dest)
    assert (now.server / "db/state.db").read_text() == "of the archive"
    assert (now.path(DATA) / ASIDE / "var/lib/rancher/k3s/server/db/state.db").read_text() == "now"
    aside = {**texts(now.path(DATA) / ASIDE), **texts(now.storage / ASIDE, "")}
    stays = {
        "etc/rancher/rke2/config.yaml",
        *(name for name in SERVER if any(w in name for w in ("static", "logs", "images"))),
    }
    assert sorted(aside.values()) == sorted(f"now {text}" for name, text in SERVER.items() if name not in stays)
    assert {name: now.root.joinpath(name).read_text() for name in stays} == {n: f"now {SERVER[n]}" for n in stays}
    assert stat.S_IMODE((now.path(DATA) / ASIDE).stat().st_mode) == 0o700
    assert now.volumes() == [now.storage / "pvc-1"]


def test_a_second_run_finishes_what_one_that_was_killed_has_begun(
    server: Node, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(server, dest, True, "")
    (dest / "state.db").write_text("of the archive")
    steps = 0
    move = MODULE._move
    for limit in range(12):
        now = host(tmp_path / f"now{limit}", SERVER)

        def killed(path: Path, target: Path, limit: int = limit) -> None:
            nonlocal steps
            steps += 1
            if steps > limit:
                raise KeyboardInterrupt
            move(path, target)

        steps = 0
        monkeypatch.setattr(MODULE, "_move", killed)
        with contextlib.suppress(KeyboardInterrupt):
            restored(now, dest)
        monkeypatch.undo()
        found = content(now, dest / "node.tar.gz", True)
        put(now, dest / "node.tar.gz", found, dest / "state.db", "20261123T111111Z")
        assert (now.server / "token").read_text() == "K10"
        assert (now.server / "db/state.db").read_text() == "of the archive"


def test_another_server_gets_the_keys_from_the_first(server: Node, dest: Path, tmp_path: Path) -> None:
    pack(server, dest, False, "")
    other = host(tmp_path / "other", SERVER)
    (other.server / "db/etcd").mkdir(parents=True)
    restored(other, dest, leads=False)
    assert names(other.server) == ["logs", "manifests", "psa.yaml", "static"]
    assert (other.path(DATA) / ASIDE / "var/lib/rancher/k3s/server/db/etcd").is_dir()
    assert names(other.path(f"{DATA}/agent")) == ["images"]


def test_a_node_that_is_not_in_the_archive_forgets_its_cluster(tmp_path: Path) -> None:
    agent = host(
        tmp_path / "agent", {"etc/rancher/node/password": "4567", "var/lib/rancher/k3s/agent/server-ca.crt": "CA"}
    )
    put(agent, None, content(agent, None, False), None, MOMENT)
    assert texts(agent.root, "etc") == {"rancher/node/password": "4567"}
    assert names(agent.path(f"{DATA}/agent")) == []


def test_files_in_volumes_stay_where_the_archive_has_none(server: Node, dest: Path, tmp_path: Path) -> None:
    (server.storage / "pvc-2").mkdir(mode=0o777)
    pack(server, dest, False, "")
    now = host(tmp_path / "now", {"var/lib/rancher/k3s/storage/pvc-1/data.txt": "newer"})
    restored(now, dest)
    assert texts(now.storage) == {"pvc-1/data.txt": "newer"}
    assert names(now.storage) == ["pvc-1", "pvc-2"]


@pytest.mark.parametrize(
    ("name", "link"),
    [
        ("etc/passwd", ""),
        ("etc/rancher/k3s/../../passwd", ""),
        ("opt/k3s/server/token", ""),
        ("etc/rancher/k3s/link/x", "etc/rancher/k3s/link"),
    ],
)
def test_a_tar_file_of_something_else_is_refused(name: str, link: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "node.tar.gz", "w:gz") as tar:
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
            tar.addfile(info)
        tar.addfile(tarfile.TarInfo(name))
    bare = host(tmp_path / "bare", {})
    with pytest.raises(NodeError):
        content(bare, tmp_path / "node.tar.gz", True)


def test_what_is_in_the_way_is_told_before(server: Node, dest: Path) -> None:
    pack(server, dest, False, "")
    told = {
        str(path.relative_to(server.path(DATA)))
        for path in moved(server, content(server, dest / "node.tar.gz", True))
        if DATA in str(path)
    }
    assert told == {
        "server/token",
        "server/node-token",
        "server/tls",
        "server/cred",
        "server/manifests",
        "server/psa.yaml",
        "agent/server-ca.crt",
    }
