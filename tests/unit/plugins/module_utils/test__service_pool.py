# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool
from ansible_collections.homecloud.k3s.plugins.module_utils._service_pool import capacity, holds
from hypothesis import given
from hypothesis import strategies as st

BASE = ipaddress.ip_address("192.168.0.0")


@given(st.integers(0, 1100), st.integers(0, 1100), st.booleans())
def test_a_pool_has_as_many_addresses_as_it_holds(one: int, other: int, avoid: bool) -> None:
    first, last = sorted((BASE + one, BASE + other))
    pool = Pool("home", [f"{first}-{last}"], avoid_buggy_ips=avoid)
    held = [number for number in range(1200) if holds(pool, Range.address(str(BASE + number)))]
    assert capacity(pool) == {"IPv4": len(held)}


def test_a_large_network_is_counted_and_what_is_none_is_not() -> None:
    pool = Pool("home", ["fd00::/64", "192.168.1.0/30", "192.168.1.9", "192.168.1.9-nowhere"])
    assert capacity(pool) == {"IPv6": 2**64, "IPv4": 4}
    assert not holds(pool, Range.address("192.168.1.9"))
