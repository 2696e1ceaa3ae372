# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_match import (
    Scope,
    found_elements,
    match_likelihood,
    values,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table, elements_of
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import NO, YES, Facts, Packet
from hypothesis import given
from hypothesis import strategies as st

PACKET: t.Final = Packet(
    "tcp", "10.42.0.9", "10.43.0.10", 40000, 80, "cni0", "eth0", mark=0x4010, states=frozenset({"NEW", "DNAT"})
)
DATAGRAM: t.Final = Packet("udp", "fd42::9", "fd43::10", 40000, 53, None, "")
SETS: t.Final = {
    "addresses": elements_of(["10.43.0.10", "10.43.0.11"]),
    "networks": elements_of([{"prefix": {"addr": "10.43.0.0", "len": 16}}, {"range": ["10.9.0.1", "10.9.0.9"]}]),
    "places": elements_of(
        [
            {"concat": ["10.43.0.10", "tcp", 80]},
            {"concat": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "udp", 53]},
        ]
    ),
    "came-before": elements_of(["10.43.0.10"], is_updated=True),
}
SCOPE: t.Final = Scope(Table("ip", "x", sets=SETS), Facts(frozenset({"192.168.1.10"})))


def payload(protocol: str, field: str) -> dict[str, t.Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> dict[str, t.Any]:
    return {"meta": {"key": key}}


def likelihood(
    left: object, operator: str, right: object, packet: Packet = PACKET, scope: Scope = SCOPE
) -> float | None:
    return match_likelihood({"left": left, "op": operator, "right": right}, packet, scope)


SADDR: t.Final = payload("ip", "saddr")
DADDR: t.Final = payload("ip", "daddr")
PLACE: t.Final = {"concat": [DADDR, meta("l4proto"), payload("th", "dport")]}
FLAGS: t.Final = {"&": [payload("tcp", "flags"), ["fin", "syn", "rst", "ack"]]}


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        (DADDR, "==", "10.43.0.10", YES),
        (DADDR, "!=", "10.43.0.10", NO),
        (DADDR, "==", "10.43.0.11", NO),
        (SADDR, "!=", {"prefix": {"addr": "10.42.0.0", "len": 16}}, NO),
        (SADDR, "==", {"prefix": {"addr": "10.42.1.0", "len": 24}}, NO),
        (SADDR, "==", {"range": ["10.42.0.1", "10.42.0.9"]}, YES),
        (SADDR, "==", {"set": ["10.1.1.1", {"prefix": {"addr": "10.42.0.0", "len": 16}}]}, YES),
        (SADDR, "!=", {"set": ["10.1.1.1", {"range": ["10.2.0.0", "10.2.0.9"]}]}, YES),
        (DADDR, "==", "@addresses", YES),
        (SADDR, "==", "@addresses", NO),
        (DADDR, "==", "@networks", YES),
        (SADDR, "!=", "@networks", YES),
        (DADDR, "==", "@nowhere", None),
        # A client is taken for one who comes for the first time.
        (DADDR, "==", "@came-before", NO),
        (PLACE, "==", "@places", YES),
        (PLACE, "==", {"concat": [{"prefix": {"addr": "10.43.0.0", "len": 16}}, "tcp", {"range": [80, 90]}]}, YES),
        (PLACE, "==", {"concat": ["10.43.0.10", "udp", 80]}, NO),
        (payload("tcp", "dport"), "==", 80, YES),
        (payload("tcp", "dport"), ">=", 81, NO),
        (payload("tcp", "sport"), "<", 40001, YES),
        (payload("th", "dport"), "==", {"set": [79, {"range": [80, 89]}]}, YES),
        # What a packet has not is neither like that nor unlike it.
        (payload("udp", "dport"), "==", 80, NO),
        (payload("udp", "dport"), "!=", 80, NO),
        (payload("ip6", "daddr"), "!=", "fd43::10", NO),
        (payload("ip", "protocol"), "==", "tcp", YES),
        (payload("ip", "ttl"), "==", 64, None),
        (meta("l4proto"), "==", {"set": ["tcp", "udp"]}, YES),
        (meta("nfproto"), "==", "ipv4", YES),
        (meta("iifname"), "==", "cni*", YES),
        (meta("iifname"), "!=", {"set": ["lo", "cni*"]}, NO),
        (meta("oifname"), "!=", "cni0", YES),
        (meta("skuid"), "==", 0, None),
        (meta("mark"), "==", 0x4010, YES),
        ({"&": [meta("mark"), 0x4000]}, "==", 0, NO),
        ({"&": [meta("mark"), 0x4000]}, "!=", 0, YES),
        ({"|": [meta("mark"), 1]}, "==", 0x4011, YES),
        ({"^": [meta("mark"), 0x4000]}, "==", 0x10, YES),
        ({">>": [meta("mark"), 4]}, "==", 0x401, YES),
        ({"<<": [meta("mark"), 4]}, "==", 0x40100, YES),
        ({"&": [SADDR, 255]}, "==", 9, None),
        ({"ct": {"key": "state"}}, "in", "new", YES),
        ({"ct": {"key": "state"}}, "in", ["established", "related"], NO),
        ({"ct": {"key": "state"}}, "==", {"set": ["new", "related"]}, YES),
        ({"ct": {"key": "status"}}, "in", "dnat", YES),
        ({"ct": {"key": "status"}}, "in", ["snat", "assured"], NO),
        ({"ct": {"key": "direction"}}, "==", "original", YES),
        ({"ct": {"key": "daddr", "dir": "original"}}, "==", "10.43.0.10", None),
        (FLAGS, "==", "syn", YES),
        (FLAGS, "!=", "syn", NO),
        (FLAGS, "==", {"|": ["syn", "ack"]}, NO),
        (payload("tcp", "flags"), "in", ["ack", "syn"], YES),
        ({"fib": {"result": "type", "flags": ["daddr"]}}, "==", "local", NO),
        ({"fib": {"result": "type", "flags": ["daddr"]}}, "!=", {"set": ["local", "multicast"]}, YES),
        ({"fib": {"result": "type", "flags": ["daddr"]}}, "==", "unicast", None),
        ({"fib": {"result": "type", "flags": ["daddr", "iif"]}}, "==", "local", None),
        ({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "==", False, None),
        ({"numgen": {"mode": "random", "mod": 4, "offset": 0}}, "<", 1, 0.25),
        ({"numgen": {"mode": "inc", "mod": 4, "offset": 2}}, "==", {"set": [2, 5]}, 0.5),
        ({"map": {"key": payload("tcp", "dport"), "data": {"set": [[80, 7], [81, 8]]}}}, "==", 7, YES),
        ({"jhash": {"mod": 2, "expr": SADDR}}, "==", 0, None),
        (DADDR, "~", "10.43.0.10", None),
        (DADDR, "==", {"something": "else"}, None),
    ],
)  # fmt: skip
def test_a_packet_is_as_asked_or_not(left: object, operator: str, right: object, expected: float | None) -> None:
    assert likelihood(left, operator, right) == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (payload("ip6", "saddr"), {"prefix": {"addr": "fd42::", "len": 56}}, YES),
        (SADDR, {"prefix": {"addr": "0.0.0.0", "len": 0}}, NO),
        (payload("th", "dport"), 53, YES),
        (FLAGS, "syn", NO),
        (meta("iifname"), "eth0", None),
        (meta("oifname"), "", YES),
    ],
)
def test_a_packet_of_another_kind(left: object, right: object, expected: float | None) -> None:
    assert likelihood(left, "==", right, DATAGRAM) == expected


def test_a_destination_may_be_of_the_node_if_not_all_its_addresses_are_known() -> None:
    known = Scope(SCOPE.table, Facts(frozenset({"192.168.1.10"}), knows_all=False))
    kinds = {"fib": {"result": "type", "flags": ["daddr"]}}
    own = Packet("tcp", "10.42.0.9", "192.168.1.10")
    assert likelihood(kinds, "==", "local", scope=known) is None
    assert likelihood(kinds, "==", "local", own, known) == YES
    masqueraded = Packet("tcp", "", "10.42.0.2")
    assert likelihood({"fib": {"result": "type", "flags": ["saddr"]}}, "==", "local", masqueraded) == YES


def test_of_a_map_all_elements_are_found_that_it_may_be() -> None:
    lots = values({"numgen": {"mode": "random", "mod": 4, "offset": 0}}, PACKET, SCOPE)
    assert lots
    found = found_elements({"set": [[0, "a"], [{"range": [1, 2]}, "b"], [7, "c"]]}, lots, SCOPE)
    assert found
    assert {element.value: likely for element, likely in found.items()} == {"a": 0.25, "b": 0.5}
    assert found_elements("@nowhere", lots, SCOPE) is None
    assert found_elements({"set": None}, lots, SCOPE) is None


def test_what_an_element_asks_and_nobody_knows_makes_it_possible() -> None:
    found = found_elements({"set": [[{"strange": 1}, "a"], ["*", "b"]]}, {"x": YES}, SCOPE)
    assert found
    assert {element.value: likely for element, likely in found.items()} == {"a": None, "b": None}


NAMES: t.Final = (
    "payload", "meta", "ct", "fib", "concat", "map", "&", "prefix", "set", "range", "elem", "key", "data", "flags",
    "result", "addr", "len",
)  # fmt: skip
JSON: t.Final = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["10.43.0.10", "tcp", "@networks", "mark", "*"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["==", "!=", "in", "<"]), JSON)
def test_whatever_is_asked_there_is_an_answer(left: object, operator: str, right: object) -> None:
    assert likelihood(left, operator, right) in (None, NO, YES)
