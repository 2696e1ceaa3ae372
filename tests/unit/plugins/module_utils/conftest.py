# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree


@pytest.fixture(name="make_tree")
def make_tree_fixture(tmp_path: Path) -> t.Callable[[dict[str, str | Path]], Tree]:
    """Make the file system of a node: names with a text, or with the path that a symbolic link leads to."""

    def make_tree(files: dict[str, str | Path]) -> Tree:
        for name, content in files.items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(content)
            else:
                path.write_text(content)
        return Tree(tmp_path)

    return make_tree
