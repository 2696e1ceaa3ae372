# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import interface_to, read_routes
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts

NODE: t.Final = Facts(frozenset({"192.168.1.10"}))
# As iproute2 6.1 prints them on a node of k3s.
ENTRIES: t.Final[list[dict[str, t.Any]]] = [
    {"dst": "default", "gateway": "192.168.1.1", "dev": "eth0", "protocol": "dhcp", "metric": 100, "flags": []},
    {"dst": "default", "gateway": "192.168.1.1", "dev": "wlan0", "protocol": "dhcp", "metric": 600, "flags": []},
    {"dst": "10.42.0.0/24", "dev": "cni0", "protocol": "kernel", "scope": "link", "prefsrc": "10.42.0.1", "flags": []},
    {"dst": "10.42.1.0/24", "gateway": "10.42.1.0", "dev": "flannel.1", "flags": ["onlink"]},
    {"dst": "192.168.1.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "metric": 100, "flags": []},
    {"dst": "192.168.1.1", "dev": "eth0", "flags": []},
    {"type": "unreachable", "dst": "10.43.0.0/16", "metric": 4278198272, "flags": []},
    {"dst": "203.0.113.0/24", "nexthops": [{"dev": "eth1", "weight": 1}, {"dev": "eth2", "weight": 1}], "flags": []},
    {"dst": "what is this"},
    {"dst": "fd00::/64", "dev": "eth0"},
]


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.42.0.7", "cni0"),
        ("10.42.1.7", "flannel.1"),
        ("192.168.1.77", "eth0"),
        ("192.168.1.10", "lo"),
        ("127.0.0.1", "lo"),
        ("8.8.8.8", "eth0"),
        ("10.43.0.41", ""),
        ("203.0.113.7", "eth1"),
    ],
)
def test_the_narrowest_route_leads_the_way(address: str, interface: str) -> None:
    assert interface_to(address, read_routes(ENTRIES, 4), NODE) == interface


def test_each_family_has_its_routes() -> None:
    routes = read_routes(ENTRIES, 6)
    assert interface_to("fd00::7", routes, NODE) == "eth0"
    assert interface_to("fd01::7", routes, NODE) == ""


def test_without_routes_nothing_is_known() -> None:
    assert interface_to("8.8.8.8", [], NODE) is None
    assert interface_to("192.168.1.10", [], NODE) == "lo"
