# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is known of a file without showing its content.

from __future__ import annotations

import grp
import pwd
import stat
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree


@dataclass(frozen=True)
class File:
    """A file; of a symbolic link the mode, owner and group are its own."""

    sha256: str | None
    mode: str
    owner: str
    group: str
    link: str | None


def file(tree: Tree, name: str, follow: bool) -> File | None:
    """Return what is known of a file, None if there is none. A link's target is only hashed if it is to be followed."""
    status = tree.status(name)
    if status is None:
        return None
    hashed = stat.S_ISREG(status.st_mode) or (follow and stat.S_ISLNK(status.st_mode))
    return File(
        sha256=tree.sha256(name) if hashed else None,
        mode=f"{stat.S_IMODE(status.st_mode):04o}",
        owner=_user(status.st_uid),
        group=_group(status.st_gid),
        link=tree.link(name),
    )


def newer(tree: Tree, names: list[str], start: float) -> list[str]:
    """Return the files that were changed after START, in seconds of the epoch."""
    found = []
    for name in names:
        try:
            if tree.path(name).stat().st_mtime > start:
                found.append(name)
        except OSError:
            continue
    return found


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
