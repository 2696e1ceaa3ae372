# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _reading_source
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree, assignments, run

MakeTree = t.Callable[[dict[str, t.Union[str, Path]]], Tree]


def test_tree(make_tree: MakeTree) -> None:
    tree = make_tree({"/etc/a": "text", "/etc/b": Path("a"), "/etc/gone": Path("nowhere"), "/etc/d/c": ""})
    assert (tree.text("/etc/a"), tree.text("/etc/b"), tree.text("/etc/none"), tree.text("/etc/d")) == (
        "text",
        "text",
        "",
        "",
    )
    assert [tree.exists(f"/etc/{name}") for name in ("a", "b", "gone", "none", "a/below")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [tree.link(f"/etc/{name}") for name in ("a", "b", "gone", "none")] == [None, "a", "nowhere", None]
    assert [tree.status(f"/etc/{name}") is None for name in ("a", "gone", "none")] == [False, False, True]
    assert tree.glob("/etc/*") == ["/etc/a", "/etc/b", "/etc/d", "/etc/gone"]
    assert tree.glob("/etc/none*") == []
    tree.path("/etc/a").write_bytes(b"\xff")
    assert tree.text("/etc/a") == "\ufffd"


def test_names_in_the_file_system_of_the_host() -> None:
    assert Tree(Path("/")).glob("/etc/pass[w]d") == ["/etc/passwd"]


def test_sha256(make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading_source, "_CHUNK", 2)
    tree = make_tree({"/a": "abcde", "/link": Path("a"), "/d/e": ""})
    assert tree.sha256("/a") == tree.sha256("/link") == hashlib.sha256(b"abcde").hexdigest()
    assert tree.sha256("/none") is tree.sha256("/d") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_may_not_be_read_is_empty(make_tree: MakeTree) -> None:
    tree = make_tree({"/private/a": "secret"})
    tree.path("/private").chmod(0)
    tree.path("/").chmod(0o755)
    os.seteuid(65534)
    try:
        assert tree.text("/private/a") == ""
        assert not tree.exists("/private/a")
        assert (tree.status("/private/a"), tree.link("/private/a"), tree.sha256("/private/a")) == (None, None, None)
        assert tree.glob("/private/*") == []
    finally:
        os.seteuid(0)


def test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("sh", "-c", "echo text; echo other >&2") == "text\n"
    assert run("sh", "-c", "echo $LC_ALL; cat") == "C\n"
    assert run("sh", "-c", "echo text; exit 1") == ""
    assert run("no-such-program") == ""
    monkeypatch.setattr(_reading_source, "_COMMAND_SECONDS", 0.1)
    assert run(sys.executable, "-c", "import time; print('text', flush=True); time.sleep(60)") == ""


def test_run_what_is_no_program(make_tree: MakeTree) -> None:
    path = make_tree({"/k3s": "half of a binary"}).path("/k3s")
    assert run(str(path)) == ""
    path.chmod(0o755)
    assert run(str(path)) == ""


def test_assignments() -> None:
    text = """\
# A=no
A=first
A=plain # remark
  B="indented"
C="double # kept" # remark
D='single'
E=
not one
F=a#b
"""
    assert assignments(text) == {
        "A": "plain",
        "B": "indented",
        "C": "double # kept",
        "D": "single",
        "E": "",
        "F": "a#b",
    }
