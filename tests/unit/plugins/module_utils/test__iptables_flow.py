# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import read_routes
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey, Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import ALL, Facts, Packet
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured

ROUTES: t.Final = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0"},
    {"dst": "10.42.1.0/24", "dev": "flannel.1"},
    {"dst": "192.168.1.0/24", "dev": "eth0"},
]
NODE: t.Final = Node(Facts(frozenset({"192.168.1.10"})), tuple(read_routes(ROUTES, 4)))
POD: t.Final = ("10.42.0.9", "cni0")
LAN: t.Final = ("192.168.1.77", "eth0")
SELF: t.Final = ("192.168.1.10", "")


def journey(
    source: tuple[str, str], destination: str, port: int, variant: str = "nft", rules: str | None = None
) -> Journey[t.Any]:
    text = Captured(variant=variant).text if rules is None else rules
    packet = Packet("tcp", source[0], destination, 40000, port, source[1], None)
    return follow(base_chains(read_dump(text.splitlines())), packet, NODE)


def chains(way: Journey[t.Any]) -> list[str]:
    return [f"{hit.rule.table} {hit.rule.chain}" for stage in way.stages for hit in stage.outcome.hits]


def test_the_tables_come_in_the_order_of_the_kernel() -> None:
    rules = "".join(
        f"*{table}\n" + "".join(f":{hook} ACCEPT [0:0]\n-A {hook} -j LOG\n" for hook in hooks) + "COMMIT\n"
        for table, hooks in {
            "filter": ["INPUT", "FORWARD", "OUTPUT"],
            "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            "raw": ["PREROUTING", "OUTPUT"],
        }.items()
    )
    assert chains(journey(LAN, "10.42.0.7", 80, rules=rules)) == [
        "raw PREROUTING", "mangle PREROUTING", "nat PREROUTING", "mangle FORWARD", "filter FORWARD",
        "mangle POSTROUTING", "nat POSTROUTING",
    ]  # fmt: skip
    assert chains(journey(LAN, "192.168.1.10", 22, rules=rules)) == [
        "raw PREROUTING", "mangle PREROUTING", "nat PREROUTING", "mangle INPUT", "filter INPUT", "nat INPUT",
    ]  # fmt: skip
    assert chains(journey(SELF, "10.42.0.7", 80, rules=rules)) == [
        "raw OUTPUT", "mangle OUTPUT", "nat OUTPUT", "filter OUTPUT", "mangle POSTROUTING", "nat POSTROUTING",
    ]  # fmt: skip


@pytest.mark.parametrize("source", [POD, LAN, SELF])
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_a_cluster_ip_leads_to_its_pods(source: tuple[str, str], variant: str) -> None:
    way = journey(source, "10.43.0.10", 80, variant)
    assert {packet.destination: packet.out_interface for packet in way.sent} == {
        "10.42.0.10": "cni0",
        "10.42.0.2": "cni0",
        "10.42.1.3": "flannel.1",
    }
    assert (way.stopped, way.delivered) == ({}, {})
    masquerading = [hit for stage in way.stages for hit in stage.outcome.hits if hit.rule.target == "MASQUERADE"]
    assert [hit.share.least for hit in masquerading] == ([] if source == POD else [pytest.approx(1)])


@pytest.mark.parametrize(
    ("source", "destination", "port", "target", "text"),
    [
        (POD, "10.43.0.15", 80, "REJECT", "default/none:http has no endpoints"),
        (SELF, "10.43.0.15", 80, "REJECT", "default/none:http has no endpoints"),
        (POD, "10.43.0.34", 80, "DROP", "default/inside-none:http has no local endpoints"),
        (LAN, "192.168.1.54", 80, "REJECT", "default/balancer-none:http has no endpoints"),
        (LAN, "192.168.1.10", 30115, "REJECT", "default/balancer-none:http has no endpoints"),
        (("198.51.100.7", "eth0"), "192.168.1.55", 80, "DROP", "default/ranges:http traffic not accepted"),
    ],
)
def test_what_is_refused_is_refused_by_a_rule(
    source: tuple[str, str], destination: str, port: int, target: str, text: str
) -> None:
    way = journey(source, destination, port)
    assert list(way.stopped) == [target]
    assert way.sent == way.delivered == {}
    hits = [hit for stage in way.stages for hit in stage.outcome.hits]
    assert text in hits[-1].rule.comment


def test_what_no_rule_knows_goes_its_way() -> None:
    way = journey(LAN, "192.168.1.10", 22)
    assert [packet.destination for packet in way.delivered] == ["192.168.1.10"]
    assert way.sent == {}


NOWHERE: t.Final = Node(NODE.facts, tuple(read_routes(ROUTES[1:], 4)))


def test_what_has_no_way_is_told() -> None:
    packet = Packet("tcp", *("10.42.0.9", "10.43.0.99"), 40000, 80, "cni0", None)
    way = follow(base_chains(read_dump([])), packet, NOWHERE)
    assert list(way.stopped) == ["no route"]
    assert way.sent == {}


def test_the_node_sends_nothing_to_where_it_knows_no_way_though_rules_would() -> None:
    packet = Packet("tcp", *("192.168.1.10", "10.43.0.10"), 40000, 80, "", None)
    way = follow(base_chains(read_dump(Captured().text.splitlines())), packet, NOWHERE)
    assert (list(way.stopped), way.sent, chains(way)) == (["no route"], {}, [])


def test_what_the_node_sends_to_itself_comes_by_its_loopback_interface() -> None:
    rules = "".join(
        f"*{table}\n" + "".join(f":{hook} DROP [0:0]\n-A {hook} {match} -j ACCEPT\n" for hook, match in hooks.items())
        for table, hooks in {
            "filter": {"INPUT": "-i lo", "OUTPUT": "-o lo"},
            # Its connection is known by the time that it comes back.
            "nat": {"PREROUTING": "", "INPUT": "", "OUTPUT": "-o lo", "POSTROUTING": "-o lo"},
            "mangle": {"PREROUTING": "-i lo", "INPUT": "-i lo", "OUTPUT": "-o lo", "POSTROUTING": "-o lo"},
            "raw": {"PREROUTING": "-i lo", "OUTPUT": "-o lo"},
        }.items()
    )
    way = journey(SELF, "192.168.1.10", 22, rules=rules)
    assert chains(way) == [
        "raw OUTPUT", "mangle OUTPUT", "nat OUTPUT", "filter OUTPUT", "mangle POSTROUTING", "nat POSTROUTING",
        "raw PREROUTING", "mangle PREROUTING", "mangle INPUT", "filter INPUT",
    ]  # fmt: skip
    assert (list(way.delivered.values()), way.sent, way.stopped) == ([ALL], {}, {})


def test_the_node_may_be_an_endpoint_of_its_own() -> None:
    way = journey(SELF, "10.43.0.26", 443)
    assert [(packet.destination, packet.destination_port) for packet in way.delivered] == [("192.168.1.10", 6443)]
    assert chains(way)[-7:] == ["nat POSTROUTING", *["nat KUBE-POSTROUTING"] * 2, *["filter INPUT"] * 4]


@pytest.mark.parametrize(("addresses", "seen"), [({"lo": "127.0.0.1", "cni0": "10.42.0.1"}, "10.42.0.1"), ({}, "")])
def test_rules_see_what_the_node_masquerades_to_itself(addresses: dict[str, str], seen: str) -> None:
    dump = read_dump(Captured().text.splitlines())
    packet = Packet("tcp", "192.168.1.10", "10.43.0.26", 40000, 443, "", None)
    way = follow(base_chains(dump), packet, Node(NODE.facts, NODE.routes, addresses))
    assert [(packet.source, packet.masqueraded) for packet in way.delivered] == [(seen, True)]
