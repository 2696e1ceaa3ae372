# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_files import File, file, newer
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

MakeTree = t.Callable[[dict[str, t.Union[str, Path]]], Tree]
SHA256 = hashlib.sha256(b"text").hexdigest()


@pytest.fixture(name="tree")
def tree_fixture(make_tree: MakeTree) -> Tree:
    tree = make_tree({"/a": "text", "/link": Path("a"), "/gone": Path("nowhere"), "/d/b": ""})
    tree.path("/a").chmod(0o600)
    return tree


@pytest.mark.parametrize(
    ("name", "follow", "sha256", "link"),
    [
        ("/a", False, SHA256, None),
        ("/link", False, None, "a"),
        ("/link", True, SHA256, "a"),
        ("/gone", True, None, "nowhere"),
        ("/d", True, None, None),
    ],
)
def test_file(tree: Tree, name: str, follow: bool, sha256: str | None, link: str | None) -> None:
    found = file(tree, name, follow)
    assert found is not None
    assert (found.sha256, found.link) == (sha256, link)


def test_mode_and_owner(tree: Tree) -> None:
    path = tree.path("/a")
    assert file(tree, "/a", follow=False) == File(SHA256, "0600", path.owner(), path.group(), None)
    assert file(tree, "/none", follow=False) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_owner_without_a_name(tree: Tree) -> None:
    os.chown(tree.path("/a"), 54321, 54322)
    found = file(tree, "/a", follow=False)
    assert found is not None
    assert (found.owner, found.group) == ("54321", "54322")


def test_newer(tree: Tree) -> None:
    os.utime(tree.path("/a"), (1000, 1000))
    names = ["/a", "/link", "/gone", "/none"]
    assert newer(tree, names, 999) == ["/a", "/link"]
    assert newer(tree, names, 1000) == []
