# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table, read_ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_walk import walk
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import (
    ALL,
    POLICY,
    Facts,
    Outcome,
    Packet,
    Share,
    total,
)
from hypothesis import given
from hypothesis import strategies as st

PACKET: t.Final = Packet("tcp", "10.42.0.9", "10.43.0.10", 40000, 80, "cni0", None)
FACTS: t.Final = Facts(frozenset({"192.168.1.10"}))
MARK: t.Final = {"meta": {"key": "mark"}}
UNKNOWN: t.Final = {"match": {"left": {"meta": {"key": "skuid"}}, "op": "==", "right": 0}}
NEVER: t.Final = {"match": {"left": {"meta": {"key": "l4proto"}}, "op": "==", "right": "udp"}}
ACCEPT: t.Final[dict[str, t.Any]] = {"accept": None}
DROP: t.Final[dict[str, t.Any]] = {"drop": None}
THREE: t.Final = {"numgen": {"mode": "random", "mod": 3, "offset": 0}}


def jump(target: str) -> dict[str, t.Any]:
    return {"jump": {"target": target}}


def goto(target: str) -> dict[str, t.Any]:
    return {"goto": {"target": target}}


def mark(value: object) -> dict[str, t.Any]:
    return {"mangle": {"key": MARK, "value": value}}


def table(policy: str = "accept", **chains: list[list[object]]) -> Table:
    """A table with chains, of which "base" is the base chain, each with the expressions of its rules."""
    place = {"family": "ip", "table": "x"}
    base = {"type": "filter", "hook": "forward", "prio": 0, "policy": policy}
    things: list[object] = [{"table": {"family": "ip", "name": "x"}}]
    things += [{"chain": {**place, "name": name, **(base if name == "base" else {})}} for name in chains]
    things += [
        {"rule": {**place, "chain": name, "handle": number, "expr": rule}}
        for name, rules in chains.items()
        for number, rule in enumerate(rules)
    ]
    return read_ruleset(json.dumps({"nftables": things}))["ip", "x"]


def send(policy: str = "accept", **chains: list[list[object]]) -> Outcome[t.Any]:
    found = table(policy, **chains)
    return walk(found, found.chains["base"], {PACKET: ALL}, FACTS)


def hits(outcome: Outcome[t.Any]) -> list[str]:
    return [f"{hit.rule.chain}{hit.rule.number}" for hit in outcome.hits]


@pytest.mark.parametrize(
    ("chains", "visited", "end"),
    [
        ({"base": []}, [], "passed"),
        ({"base": [[ACCEPT], [DROP]]}, ["base1"], "passed"),
        ({"base": [[NEVER, ACCEPT], [DROP]]}, ["base2"], "DROP"),
        ({"base": [[{"reject": {"type": "tcp reset"}}]]}, ["base1"], "REJECT"),
        ({"base": [[{"return": None}], [DROP]]}, ["base1"], "passed"),
        ({"base": [[{"continue": None}], [DROP]]}, ["base1", "base2"], "DROP"),
        ({"base": [[{"counter": None}], [DROP]]}, ["base1", "base2"], "DROP"),
        ({"base": [[jump("a")], [DROP]], "a": [[{"return": None}], [ACCEPT]]}, ["base1", "a1", "base2"], "DROP"),
        ({"base": [[jump("a")], [DROP]], "a": [[goto("b")], [ACCEPT]], "b": []}, ["base1", "a1", "base2"], "DROP"),
        ({"base": [[goto("a")], [DROP]], "a": [[{"counter": None}]]}, ["base1", "a1"], "passed"),
        ({"base": [[jump("a")], [DROP]], "a": [[ACCEPT]]}, ["base1", "a1"], "passed"),
    ],
)  # fmt: skip
def test_verdicts(chains: dict[str, list[list[object]]], visited: list[str], end: str) -> None:
    outcome = send("accept", **chains)
    assert hits(outcome) == visited
    assert outcome.passed == ({PACKET: ALL} if end == "passed" else {})
    assert outcome.stopped == ({} if end == "passed" else {end: {PACKET: ALL}})
    assert outcome.unknown == []


def test_of_a_match_of_iptables_only_the_name_is_known() -> None:
    foreign = {"xt": {"type": "match", "name": "statistic"}}
    assert send(base=[[foreign, DROP]]).stopped == {"DROP": {PACKET: MAYBE}}
    # What only people read always matches.
    comment = {"xt": {"type": "match", "name": "comment"}}
    assert send(base=[[comment, DROP]]).stopped == {"DROP": {PACKET: ALL}}
    outcome = send(base=[[{"xt": {"type": "target", "name": "DNAT"}}]])
    assert (outcome.passed, len(outcome.unknown)) == ({PACKET: MAYBE}, 1)


def test_a_policy_is_for_what_comes_to_the_end() -> None:
    assert send("drop", base=[[NEVER, ACCEPT]]).stopped == {POLICY: {PACKET: ALL}}
    assert send("drop", base=[[ACCEPT]]).stopped == {}


def test_a_rule_that_is_left_has_done_what_stands_before() -> None:
    outcome = send(base=[[mark({"|": [MARK, 0x4000]}), NEVER, DROP]])
    assert hits(outcome) == []
    assert [packet.mark for packet in outcome.passed] == [0x4000]


def test_lots_part_packets_and_the_elements_are_told() -> None:
    choices = {"set": [[0, jump("a")], [1, DROP]]}
    outcome = send(base=[[{"vmap": {"key": THREE, "data": choices}}], [ACCEPT]], a=[[{"counter": None}]])
    assert [hit.element for hit in outcome.hits] == ["0 : jump a", "", "1 : drop", ""]
    assert hits(outcome) == ["base1", "a1", "base1", "base2"]
    assert total(outcome.passed.values()).least == pytest.approx(2 / 3)
    assert total(outcome.stopped["DROP"].values()).most == pytest.approx(1 / 3)


def test_packets_are_sent_where_a_map_says() -> None:
    ends = {"set": [[0, {"concat": ["10.42.0.2", 8080]}], [{"range": [1, 2]}, {"concat": ["10.42.0.3", 8081]}]]}
    outcome = send(base=[[{"dnat": {"family": "ip", "addr": {"map": {"key": THREE, "data": ends}}}}], [DROP]])
    found = {(packet.destination, packet.destination_port): share.least for packet, share in outcome.passed.items()}
    assert found == {("10.42.0.2", 8080): pytest.approx(1 / 3), ("10.42.0.3", 8081): pytest.approx(2 / 3)}
    assert all("DNAT" in packet.states for packet in outcome.passed)
    assert [hit.element for hit in outcome.hits] == ["0 : 10.42.0.2 . 8080", "1-2 : 10.42.0.3 . 8081"]


def test_what_a_map_has_not_goes_on() -> None:
    ports = {"map": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[81, "10.42.0.2"]]}}}
    outcome = send(base=[[{"dnat": {"addr": ports}}], [DROP]])
    assert hits(outcome) == ["base2"]
    assert outcome.stopped == {"DROP": {PACKET: ALL}}


def test_other_translations() -> None:
    sent = next(iter(send(base=[[{"dnat": {"addr": "10.42.0.2", "port": 8080}}]]).passed))
    assert (sent.destination, sent.destination_port) == ("10.42.0.2", 8080)
    from_elsewhere = next(iter(send(base=[[{"snat": {"addr": "192.0.2.1"}}]]).passed))
    assert (from_elsewhere.source, from_elsewhere.source_port) == ("192.0.2.1", 40000)
    assert "SNAT" in from_elsewhere.states
    masqueraded = next(iter(send(base=[[{"masquerade": None}]]).passed))
    assert masqueraded.masqueraded
    assert "SNAT" in masqueraded.states


MAYBE: t.Final = Share(0.0, 1.0)


@pytest.mark.parametrize(
    "rule",
    [
        [UNKNOWN, DROP],
        [{"limit": {"rate": 100, "per": "second"}}, DROP],
        [{"xt": {"type": "match", "name": "statistic"}}, DROP],
    ],
)
def test_what_may_match_has_a_share_in_both(rule: list[object]) -> None:
    outcome = send(base=[rule])
    assert outcome.passed == {PACKET: MAYBE}
    assert outcome.stopped == {"DROP": {PACKET: MAYBE}}


@pytest.mark.parametrize(
    "expression",
    [
        {"tproxy": {"port": 8080}},
        {"queue": {"num": 1}},
        {"xt": {"type": "target", "name": "MASQUERADE"}},
        {"redirect": {"port": 8080}},
        {"dnat": {"addr": {"range": ["10.42.0.2", "10.42.0.9"]}}},
        {"dnat": {"addr": "10.42.0.2", "port": {"range": [1, 2]}}},
        {"dnat": {"addr": {"map": {"key": {"jhash": {"mod": 2}}, "data": {"set": []}}}}},
        {"dnat": None},
        {"vmap": {"key": {"jhash": {"mod": 2}}, "data": {"set": [[0, DROP]]}}},
        {"vmap": {"key": THREE, "data": "@nowhere"}},
        {"vmap": {"key": THREE, "data": {"set": [[{"range": [0, 2]}, {"strange": 1}]]}}},
        {"vmap": None},
        mark({"ct": {"key": "mark"}}),
        {"mangle": {"key": {"payload": {"protocol": "ip", "field": "daddr"}}, "value": "10.42.0.2"}},
        {"mangle": None},
        jump("nowhere"),
        {"jump": None},
        "word",
        7,
    ],
    ids=str,
)
def test_after_what_nobody_knows_anything_may_be(expression: object) -> None:
    outcome = send(base=[[expression], [DROP]])
    assert [rule.number for rule in outcome.unknown] == [1]
    assert outcome.stopped["unknown"] == {PACKET: MAYBE}
    assert total(outcome.stopped["DROP"].values()).least == 0


def test_statements_that_change_nothing_that_is_known() -> None:
    size = {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": {"rt": {"key": "mtu"}}}}
    remember = {"mangle": {"key": {"ct": {"key": "mark"}}, "value": MARK}}
    add = {"set": {"op": "update", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@seen"}}
    outcome = send(base=[[size, remember, add, {"log": None}, {"notrack": None}, ACCEPT]])
    assert (outcome.passed, outcome.unknown) == ({PACKET: ALL}, [])


def test_a_loop_ends() -> None:
    outcome = send(base=[[jump("a")]], a=[[jump("a")], [jump("a")]])
    assert outcome.passed == {PACKET: MAYBE}
    assert [rule.number for rule in outcome.unknown] == [1, 2]


RULES: t.Final = st.lists(
    st.lists(
        st.sampled_from([UNKNOWN, NEVER, ACCEPT, DROP, mark(1), mark({"^": [MARK, 3]}), jump("b"), goto("c"),
                         {"vmap": {"key": THREE, "data": {"set": [[0, jump("c")], [2, goto("b")]]}}},
                         {"match": {"left": THREE, "op": "<", "right": 1}}]),
        max_size=3,
    ),
    max_size=4,
)  # fmt: skip


@given(RULES, RULES, st.sampled_from(["accept", "drop"]))
def test_no_packet_is_lost_and_none_is_made(base: list[list[object]], other: list[list[object]], policy: str) -> None:
    outcome = send(policy, base=base, b=other, c=[[{"counter": None}]])
    ends = [outcome.passed, *outcome.stopped.values()]
    shares = [share for packets in ends for share in packets.values()]
    assert sum(share.least for share in shares) <= 1 + 1e-9
    assert sum(share.most for share in shares) >= 1 - 1e-9
    if not outcome.unknown and UNKNOWN not in [expression for rule in (*base, *other) for expression in rule]:
        assert sum(share.least for share in shares) == pytest.approx(1)
