# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What people read.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable


def table(*rows: Iterable[str]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell."""
    cells = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def listed(texts: Iterable[str], separator: str = ", ") -> str:
    """The first few of them, and how many more there are."""
    texts = list(texts)
    more = [f"{len(texts) - 3} more"] if len(texts) > 4 else []
    return separator.join([*(texts[:3] if more else texts), *more])


def host_port(host: str, port: int | None) -> str:
    """A host and a port in one, as in a URL."""
    where = f"[{host}]" if ":" in host else host
    return where if port is None else f"{where}:{port}"
