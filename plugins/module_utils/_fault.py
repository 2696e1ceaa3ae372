# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The one record for anything that is wrong.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Fault:
    """What is wrong, by what it was seen, and what to do.

    host is a name of the inventory, or empty where the fault is not one host's.
    """

    code: str
    severity: t.Literal["error", "warning"]
    message: str
    evidence: str
    advice: str
    host: str = ""


def fault_lines(faults: Iterable[Mapping[str, str]]) -> list[str]:
    """Faults as lines of text."""
    lines = []
    for fault in faults:
        where = f" on {fault['host']}" if fault["host"] else ""
        lines += [
            f"{fault['severity'].upper()} {fault['code']}{where}: {fault['message']}",
            f"  seen: {fault['evidence']}",
            f"  to do: {fault['advice']}",
        ]
    return lines
