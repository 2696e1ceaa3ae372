# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_network import (
    DefaultRoute,
    Interface,
    Port,
    default_route,
    interfaces,
    ports,
    resolve,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

NODES = Path(__file__).parent.parent / "data" / "nodes"
BULLSEYE = Tree(NODES / "raspberrypi-os-bullseye")
HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
EMPTY = Tree(Path("/nonexistent"))

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]


def test_interfaces() -> None:
    assert interfaces(BULLSEYE, BULLSEYE.text("/output/ip-address")) == [
        Interface("lo", "loopback", "00:00:00:00:00:00", True, ["127.0.0.1/8", "::1/128"]),
        Interface("eth0", "ethernet", "dc:a6:32:00:00:01", True, ["192.168.1.101/24", "fe80::dea6:32ff:fe00:1/64"]),
        Interface("wlan0", "wifi", "dc:a6:32:00:01:01", False, []),
    ]


@pytest.mark.parametrize(
    ("link", "kind"),
    [
        ({"link_type": "ether"}, "ethernet"),
        ({"link_type": "ether", "linkinfo": {"info_kind": "vlan"}}, "vlan"),
        ({"link_type": "ether", "linkinfo": {"info_kind": "bond"}}, "bond"),
        ({"link_type": "ether", "linkinfo": {"info_slave_kind": "bond"}}, "ethernet"),
        ({"link_type": "none", "linkinfo": {"info_kind": "wireguard"}}, "tunnel"),
        ({"link_type": "ether", "linkinfo": {"info_kind": "dummy"}}, "virtual"),
        ({"link_type": "can"}, "other"),
        ({}, "other"),
    ],
)
def test_kinds_of_interfaces(link: dict[str, t.Any], kind: str) -> None:
    assert interfaces(EMPTY, json.dumps([{}, {"ifname": "a", **link}])) == [Interface("a", kind, "", False, [])]


@pytest.mark.parametrize("text", ["", "[]", "[{}]", "no JSON"])
def test_nothing_printed(text: str) -> None:
    assert interfaces(EMPTY, text) == []
    assert default_route([text, text], []) is None


LINKS = [
    Interface("wg0", "tunnel", "", True, ["192.168.1.9/24"]),
    Interface("eth0", "ethernet", "", True, ["10.0.0.1/8", "192.168.1.101/24", "fe80::1/64", "2001:db8::5/64"]),
]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{"gateway": "192.168.1.1", "dev": "eth0"}], DefaultRoute("eth0", "192.168.1.1", "192.168.1.101")),
        (
            [{"gateway": "192.168.1.1", "dev": "eth0", "prefsrc": "10.0.0.1"}],
            DefaultRoute("eth0", "192.168.1.1", "10.0.0.1"),
        ),
        (
            [
                {"gateway": "192.168.1.2", "dev": "wlan0", "metric": 600},
                {"gateway": "192.168.1.1", "dev": "eth0", "metric": 100},
            ],
            DefaultRoute("eth0", "192.168.1.1", "192.168.1.101"),
        ),
        ([{"dev": "ppp0", "scope": "link"}], DefaultRoute("ppp0", "", "")),
        ([{"gateway": "172.16.0.1", "dev": "eth0"}], DefaultRoute("eth0", "172.16.0.1", "10.0.0.1")),
        ([{"gateway": "192.168.1.1", "dev": "eth7"}], DefaultRoute("eth7", "192.168.1.1", "")),
        (
            [{"metric": 1, "nexthops": [{"gateway": "192.168.1.1", "dev": "eth0"}, {"gateway": "b", "dev": "c"}]}],
            DefaultRoute("eth0", "192.168.1.1", "192.168.1.101"),
        ),
        ([{"dst": "default", "type": "unreachable"}], DefaultRoute("", "", "")),
    ],
)
def test_default_route(routes: list[dict[str, t.Any]], expected: DefaultRoute) -> None:
    assert default_route([json.dumps(routes), '[{"dev": "other"}]'], LINKS) == expected


def test_default_route_by_ipv6() -> None:
    routes = json.dumps([{"dst": "default", "gateway": "fe80::ff", "dev": "eth0", "metric": 1024}])
    assert default_route(["[]", routes], LINKS) == DefaultRoute("eth0", "fe80::ff", "2001:db8::5")


def test_ports() -> None:
    assert ports(BULLSEYE) == [
        Port("tcp", "0.0.0.0", 22, ""),
        Port("tcp", "127.0.0.1", 631, ""),
        Port("tcp", "::", 22, ""),
        Port("tcp", "::1", 631, ""),
        Port("udp", "0.0.0.0", 5353, ""),
        Port("udp", "0.0.0.0", 68, ""),
        Port("udp", "::", 5353, ""),
        Port("udp", "fe80::dea6:32ff:fe00:1", 546, ""),
    ]


def test_holders_of_ports(make_tree: MakeTree) -> None:
    line = "   0: 0100007F:1A0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0\n"
    files: Files = {"/proc/net/tcp": HEADING + line + line.replace(" 77 ", " 0 ")}
    for process, name, target in [
        ("12", "k3s-server", "socket:[77]"),
        ("9", "other", "socket:[7]"),
        ("40", "child", "socket:[77]"),
    ]:
        files[f"/proc/{process}/comm"] = f"{name}\n"
        files[f"/proc/{process}/fd/3"] = Path(target)
        files[f"/proc/{process}/fd/4"] = Path("/dev/null")
    files["/proc/50/comm"] = "without descriptors\n"
    assert [port.process for port in ports(make_tree(files))] == ["k3s-server", ""]


def test_ports_of_this_host() -> None:
    with socket.socket() as listening, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        bound.bind(("::1", 0))
        process = Path("/proc/self/comm").read_text().strip()
        found = ports(Tree(Path("/")))
        assert Port("tcp", "127.0.0.1", listening.getsockname()[1], process) in found
        assert Port("udp", "::1", bound.getsockname()[1], process) in found


def test_resolve() -> None:
    assert resolve("127.0.0.1") == ["127.0.0.1"]
    assert "127.0.0.1" in resolve("localhost")
    assert resolve("not a name") == resolve("a" * 64) == resolve("..") == []
