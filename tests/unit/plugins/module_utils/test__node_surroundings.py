# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _node_surroundings
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given, read_node

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

    MakeTree = t.Callable[[dict[str, t.Union[str, Path]]], Tree]

ROUTES: t.Final = [
    {"dst": "default", "gateway": "192.168.1.1", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0", "prefsrc": "10.42.0.1"},
    {"dst": "192.168.1.0/24", "dev": "eth0", "prefsrc": "192.168.1.10"},
]


def test_what_is_told_of_a_node() -> None:
    around = given(4, ["192.168.1.11", "fd00::11"], ROUTES, "create a hash:ip family inet\nadd a 10.42.0.9", "udp x")
    assert around.addresses == (("", "192.168.1.11"), ("cni0", "10.42.0.1"), ("eth0", "192.168.1.10"))
    assert around.main_address == "192.168.1.10"
    assert around.sets == {"a": ["10.42.0.9/32"]}
    assert around.connections == ("udp x",)
    assert around.node.facts.knows_all


def test_the_best_way_out_is_that_by_which_a_node_is_reached() -> None:
    ways = [{"dst": "default", "dev": "wlan0", "metric": 600}, {"dst": "default", "dev": "eth0", "metric": 100}]
    own = [
        {"dst": "192.168.2.0/24", "dev": "wlan0", "prefsrc": "192.168.2.10"},
        {"dst": "192.168.1.0/24", "dev": "eth0", "prefsrc": "192.168.1.10"},
        {"dst": "192.168.3.0/24", "dev": "eth0", "prefsrc": "192.168.3.10"},
    ]
    around = given(4, [], [*ways, *own], "", "")
    assert around.main_address == "192.168.1.10"
    assert around.by_interface == {"wlan0": "192.168.2.10", "eth0": "192.168.1.10"}


def test_a_node_of_which_nothing_is_told() -> None:
    around = given(6, [], [], "", "")
    assert around.main_address == "::"
    assert not around.node.facts.knows_all
    assert "::" in around.node.facts.local_addresses


def test_addresses_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="not-one"):
        given(4, ["not-one"], [], "", "")


LINKS: t.Final = [
    {"ifname": "lo", "addr_info": [{"family": "inet6", "local": "::1", "scope": "host"}]},
    {},
    {
        "ifname": "eth0",
        "addr_info": [
            {"family": "inet6", "local": "fe80::1", "scope": "link"},
            {"family": "inet6", "local": "fd00::10", "scope": "global"},
        ],
    },
    {"ifname": "down0"},
]


def test_a_node_is_read(make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        ("ip", "-json", "-6", "address"): json.dumps(LINKS),
        ("ip", "-json", "-6", "route"): json.dumps([{"dst": "default", "gateway": "fe80::2", "dev": "eth0"}]),
    }
    monkeypatch.setattr(_node_surroundings, "run", lambda *command: answers.get(command, ""))
    tree = make_tree(
        {
            "/proc/net/nf_conntrack": "ipv6 10 tcp\nipv4 2 tcp\n",
            "/proc/net/xt_recent/KUBE-SEP-A": "src=1\nsrc=2\n",
            "/sys/module/xt_recent/parameters/ip_list_tot": "100\n",
        }
    )
    around = read_node(tree, 6)
    assert around.main_address == "fd00::10"  # not that of the link alone, which MASQUERADE does not take either
    assert around.node.facts.local_addresses == {"::1", "fe80::1", "fd00::10", "::"}
    assert around.connections == ("ipv6 10 tcp", "ipv4 2 tcp")
    assert (dict(around.remembered), around.most_remembered) == ({"KUBE-SEP-A": 2}, 100)


def test_without_programs_nothing_is_known(make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_node_surroundings, "run", lambda *_command: "")
    assert read_node(make_tree({}), 4) == given(4, [], [], "", "")
