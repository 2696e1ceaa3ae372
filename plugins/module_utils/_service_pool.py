# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Which addresses a pool of MetalLB has.

from __future__ import annotations

import typing as t
from contextlib import suppress

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool

FAMILIES: t.Final = {4: "IPv4", 6: "IPv6"}
"""What Kubernetes calls the families of addresses, by their versions."""


def holds(pool: Pool, address: Range) -> bool:
    avoided = pool.avoid_buggy_ips and address.family == 4 and address.first % 256 in (0, 255)
    return not avoided and any(part.holds(address) for part in _ranges(pool))


def capacity(pool: Pool) -> dict[str, int]:
    """How many addresses of each family a pool has."""
    sizes: dict[str, int] = {}
    for part in _ranges(pool):
        avoided = _buggy(part) if pool.avoid_buggy_ips and part.family == 4 else 0
        sizes[FAMILIES[part.family]] = sizes.get(FAMILIES[part.family], 0) + part.size - avoided
    return sizes


def _ranges(pool: Pool) -> Iterator[Range]:
    for text in pool.addresses:
        # One that is none has no addresses; MetalLB refuses it.
        with suppress(ValueError):
            yield Range.pool(text)


def _buggy(part: Range) -> int:
    """How many addresses of a range end with .0 or .255."""
    return sum((part.last - end) // 256 - (part.first - 1 - end) // 256 for end in (0, 255))
