# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other programs write around the rules of kube-proxy, and what an administrator may."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Packet
from network import NODE_ADDRESS
from nodes import MakeNode
from proxy import NFTABLES, VARIANTS, restore
from tracing import FIRST_PORT
from traffic import Client
from witness import ASKERS, Request, observing

RULES: t.Final = Path(__file__).with_name("rules")
# What is there together, as files of rules; sets of addresses have the name of the rules that ask for them.
TOGETHER: t.Final = (
    ("flannel",), ("policy-drop",), ("network-policy",), ("flannel", "network-policy"), ("host-port",), ("oddities",),
)  # fmt: skip
# A cluster address, node ports, one for local pods only, the node as an endpoint, load balancers, other ports.
ASKED: t.Final = (
    ("10.43.0.10", 80), ("10.43.0.14", 80), ("192.168.1.10", 30106), ("192.168.1.10", 30108), ("10.43.0.26", 443),
    ("192.168.1.50", 80), ("192.168.1.51", 80), ("192.168.1.55", 80), ("192.168.1.10", 30107), ("192.168.1.10", 22),
    ("192.168.1.10", 8081),
)  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("names", TOGETHER, ids="+".join)
def test_the_kernel_does_what_is_explained(make_node: MakeNode, names: tuple[str, ...], variant: str) -> None:
    with make_node("default", variant) as net:
        for name in names:
            for sets in RULES.glob(f"{name}.ipset"):
                net.node.run("ipset", "restore", stdin=sets.read_text(encoding="utf-8"))
            restore(net.node, variant, 4, (RULES / f"{name}.txt").read_text(encoding="utf-8"))
        with observing(net, variant, 4) as observer:
            for address, port in ASKED:
                for asker in ASKERS:
                    observer.check(Request(asker, 4, "tcp", address, port))


def test_the_kernel_does_what_is_explained_of_tables_of_others(make_node: MakeNode) -> None:
    with make_node("default", NFTABLES) as net:
        net.node.run("nft", "--file", str(RULES / "others.nft"))
        with observing(net, NFTABLES, 4) as observer:
            for address, port in ASKED:
                for asker in ASKERS:
                    observer.check(Request(asker, 4, "tcp", address, port))


@pytest.mark.parametrize("family", NODE_ADDRESS)
def test_nothing_is_sent_where_the_node_knows_no_way(make_node: MakeNode, family: int) -> None:
    address = {4: "10.43.0.10", 6: "fd43::10"}[family]
    with make_node("default", "nft") as net:
        net.node.run("ip", f"-{family}", "route", "delete", "default")
        with observing(net, "nft", family) as observer:
            assert Client(net.node).ask(family, "tcp", address, 80, patience=3) is None
            assert observer.traced() == []
            packet = Packet("tcp", NODE_ADDRESS[family], address, FIRST_PORT, 80, "", None)
            way = observer.follow(packet)
    assert (list(way.stopped), way.stages, way.sent) == (["no route"], [], {})
