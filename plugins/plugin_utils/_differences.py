# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What a role wants of a host against what was read there.

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Iterable, Mapping


def differences(reading: object, wanted: Mapping[str, t.Any], place: str = "") -> list[str]:
    """Name each place where READING is not as WANTED.

    WANTED is a tree of mappings whose leaves must say the same as those of READING. A leaf that is None must not be
    there. What WANTED does not name is not looked at.
    """
    found: list[str] = []
    for key, wish in wanted.items():
        here = f"{place} {key}".lstrip()
        have = reading.get(key) if isinstance(reading, Mapping) else None
        if isinstance(wish, Mapping) and isinstance(have, Mapping):
            found += differences(have, wish, here)
        elif _shown(have) != _shown(wish):  # a number of the inventory is text in a reading
            found.append(f"{here}: {_shown(have)}, wanted {_shown(wish)}")
    return found


def wanted_files(files: Iterable[Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The part "files" of a reading of a host that has FILES.

    Each of them has a path and either link, the target of a symbolic link, or content or sha256, and then may have a
    mode, which is 0644 when left out. All belong to root.
    """
    return {file["path"]: _wanted_file(file) for file in files}


def _wanted_file(file: Mapping[str, str]) -> dict[str, str]:
    if "link" in file:
        return {"link": file["link"]}
    checksum = file["sha256"] if "sha256" in file else hashlib.sha256(file["content"].encode()).hexdigest()
    return {"sha256": checksum, "mode": file.get("mode", "0644"), "owner": "root", "group": "root"}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return "something" if isinstance(value, Mapping) else str(value)
