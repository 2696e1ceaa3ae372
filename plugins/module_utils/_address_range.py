# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Ranges of addresses, as the pools of MetalLB have them.

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Addresses of one family, from first to last."""

    text: str
    family: int
    first: int
    last: int

    @classmethod
    def address(cls, text: str) -> Range:
        address = ipaddress.ip_address(text)
        return cls(text, address.version, int(address), int(address))

    @classmethod
    def network(cls, text: str) -> Range:
        """The network, also by the address of a host in it."""
        network = ipaddress.ip_interface(text).network
        return cls(str(network), network.version, int(network.network_address), int(network.broadcast_address))

    @classmethod
    def pool(cls, text: str) -> Range:
        """A range as MetalLB takes it: from one address to another, or a network."""
        if "/" in text:
            return cls.network(text)
        first, dash, last = (part.strip() for part in text.partition("-"))
        if not dash:
            raise ValueError("it is neither a range FIRST-LAST nor a network ADDRESS/LENGTH")
        low, high = cls.address(first), cls.address(last)
        if low.family != high.family:
            raise ValueError("it begins with an address of one family and ends with one of the other")
        if low.first > high.first:
            raise ValueError("its first address is higher than its last")
        return cls(text, low.family, low.first, high.last)

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    def overlaps(self, other: Range) -> bool:
        return self.family == other.family and self.first <= other.last and other.first <= self.last

    def holds(self, other: Range) -> bool:
        return self.family == other.family and self.first <= other.first and other.last <= self.last
