# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The sets of addresses that rules of a node ask for. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

# Types whose entries are single addresses or networks. Of others, with ports or interfaces, nothing is concluded.
_KNOWN: t.Final = ("hash:ip", "hash:net", "bitmap:ip")


def read_sets(lines: Iterable[str]) -> dict[str, list[str]]:
    """The sets of addresses and networks by their names, as "ipset save" prints them.

    A set is left out if any of it is not understood: that of other types, with a timeout or "nomatch", or with entries
    that are none.
    """
    found: dict[str, list[str]] = {}
    left_out = set()
    for line in lines:
        words = line.split()
        if words[:1] == ["create"] and len(words) > 2 and words[2] in _KNOWN:
            found[words[1]] = []
        elif words[:1] == ["add"] and len(words) > 2 and words[1] in found:
            networks = _networks(words[2]) if len(words) == 3 or words[3] == "timeout" else []
            found[words[1]] += networks
            left_out |= set() if networks else {words[1]}
    return {name: entries for name, entries in found.items() if name not in left_out}


def _networks(entry: str) -> list[str]:
    """An entry as networks: an address, a network, or the range of two addresses; none if it is none of these."""
    first, dash, last = entry.partition("-")
    try:
        if not dash:
            return [str(ipaddress.ip_network(entry, strict=False))]
        ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
        return [str(network) for network in ipaddress.summarize_address_range(*ends)]
    except (ValueError, TypeError):
        return []
