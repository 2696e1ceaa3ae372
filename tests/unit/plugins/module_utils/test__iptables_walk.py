# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_walk import walk
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import (
    ALL,
    POLICY,
    Facts,
    Outcome,
    Packet,
    Share,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured
from hypothesis import given
from hypothesis import strategies as st

NODE: t.Final = Facts(frozenset({"192.168.1.10"}))
CLIENT: t.Final = Packet("tcp", "192.168.1.77", "10.9.9.9", 40000, 80, "eth0", "")


def go(rules: str, packet: Packet = CLIENT, chains: str = "A B C") -> Outcome[t.Any]:
    """Send a packet through the chain PREROUTING of these rules; a rule stands on a line, without -A."""
    declared = [":PREROUTING ACCEPT [0:0]", *(f":{name} - [0:0]" for name in chains.split())]
    lines = [f"-A {rule.strip()}" for rule in rules.strip().splitlines()]
    dump = read_dump(["*nat", *declared, *lines, "COMMIT"])
    assert dump.misread == []
    return walk(dump.tables["nat"], "PREROUTING", {packet: ALL}, NODE)


def hit(outcome: Outcome[t.Any]) -> list[str]:
    return [hit.rule.text.removeprefix("-A ") for hit in outcome.hits]


def reached(outcome: Outcome[t.Any]) -> dict[tuple[str, int | None], float]:
    return {(packet.destination, packet.destination_port): share.least for packet, share in outcome.passed.items()}


def test_a_packet_goes_on_after_a_jump_that_returns() -> None:
    outcome = go("""
        PREROUTING -j A
        PREROUTING -j DROP
        A -s 10.0.0.0/8 -j ACCEPT
        A -p tcp
        A -j RETURN
        A -j ACCEPT
    """)
    assert hit(outcome) == ["PREROUTING -j A", "A -p tcp", "A -j RETURN", "PREROUTING -j DROP"]
    assert outcome.stopped == {"DROP": {CLIENT: ALL}}
    assert outcome.passed == {}


def test_the_return_of_a_goto_skips_the_caller() -> None:
    outcome = go("""
        PREROUTING -j A
        PREROUTING -j LOG
        A -g B
        A -j DROP
        B -j RETURN
    """)
    assert hit(outcome) == ["PREROUTING -j A", "A -g B", "B -j RETURN", "PREROUTING -j LOG"]
    assert outcome.passed == {CLIENT: ALL}


def test_a_return_from_a_built_in_chain_is_up_to_its_policy() -> None:
    dump = read_dump("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j RETURN\n-A FORWARD -j ACCEPT\nCOMMIT".splitlines())
    outcome = walk(dump.tables["filter"], "FORWARD", {CLIENT: ALL}, NODE)
    assert outcome.stopped == {POLICY: {CLIENT: ALL}}


def test_a_table_without_the_chain_lets_all_pass() -> None:
    assert walk({}, "PREROUTING", {CLIENT: ALL}, NODE).passed == {CLIENT: ALL}


def test_marks_are_set_and_taken_away() -> None:
    outcome = go("""
        PREROUTING -j MARK --set-xmark 0x4000/0x4000
        PREROUTING -j MARK --set-xmark 0x1/0x0
        PREROUTING -m mark --mark 0x4001 -j MARK --set-xmark 0x4000/0x0
        PREROUTING -m mark --mark 0x1 -j MARK --set-xmark 0x7/0xffffffff
        PREROUTING -m mark --mark 0x7 -j DROP
    """)
    assert list(outcome.stopped) == ["DROP"]


@pytest.mark.parametrize(
    ("to", "address", "port"),
    [
        ("10.42.0.2:8080", "10.42.0.2", 8080),
        ("10.42.0.2", "10.42.0.2", 80),
        (":8080", "10.9.9.9", 8080),
        ("[fd42::2]:8080", "fd42::2", 8080),
        ("fd42::2", "fd42::2", 80),
    ],
)
def test_a_translation_ends_the_table(to: str, address: str, port: int) -> None:
    outcome = go(f"PREROUTING -p tcp -m tcp -j DNAT --to-destination {to}\nPREROUTING -j DROP")
    assert [(packet.destination, packet.destination_port) for packet in outcome.passed] == [(address, port)]
    assert all("DNAT" in packet.states for packet in outcome.passed)
    assert outcome.stopped == {}


def test_masquerading_is_told() -> None:
    outcome = go("PREROUTING -j MASQUERADE --random-fully\nPREROUTING -j DROP")
    assert outcome.passed == {replace(CLIENT, masqueraded=True, states=frozenset({"NEW", "SNAT"})): ALL}


def test_chance_is_shared() -> None:
    outcome = go("""
        PREROUTING -m statistic --mode random --probability 0.33333333349 -j A
        PREROUTING -m statistic --mode random --probability 0.50000000000 -j B
        PREROUTING -j C
        A -j DNAT --to-destination 10.42.0.1
        B -j DNAT --to-destination 10.42.0.2
        C -j DNAT --to-destination 10.42.0.3
    """)
    shares = reached(outcome)
    assert list(shares) == [("10.42.0.1", 80), ("10.42.0.2", 80), ("10.42.0.3", 80)]
    assert all(share == pytest.approx(1 / 3, abs=1e-9) for share in shares.values())


def test_ways_that_meet_are_one_again() -> None:
    outcome = go("PREROUTING -m statistic --mode random --probability 0.5 -j A\nPREROUTING -j LOG\nA -j RETURN")
    assert outcome.passed == {CLIENT: ALL}
    assert [hit.share for hit in outcome.hits][-1] == ALL


def test_what_is_not_known_is_not_guessed() -> None:
    outcome = go("PREROUTING -m future --maybe -j DROP\nPREROUTING -j DNAT --to-destination 10.42.0.1")
    assert outcome.stopped["DROP"] == {CLIENT: Share(0.0, 1.0)}
    assert list(outcome.passed.values()) == [Share(0.0, 1.0)]


def test_a_target_that_nobody_knows_may_do_anything() -> None:
    outcome = go("PREROUTING -j NEWEST --deep 1")
    assert [rule.target for rule in outcome.unknown] == ["NEWEST"]
    assert outcome.stopped["unknown"] == outcome.passed == {CLIENT: Share(0.0, 1.0)}


@pytest.mark.parametrize(
    "target",
    [
        "MARK --set-xmark much",
        "MARK",
        "DNAT --to-destination nowhere:80",
        "DNAT --to-destination 10.42.0.2:http",
        "SNAT --to-source nobody",
        "REDIRECT --to-ports 8080",
    ],
)
def test_a_target_that_cannot_be_followed_is_not_guessed(target: str) -> None:
    outcome = go(f"PREROUTING -j {target}")
    assert [rule.target for rule in outcome.unknown] == [target.split()[0]]
    assert outcome.passed == {CLIENT: Share(0.0, 1.0)}


def test_a_source_may_be_another_then() -> None:
    passed = go("PREROUTING -j SNAT --to-source 192.168.1.9:4000").passed
    assert [(packet.source, packet.source_port) for packet in passed] == [("192.168.1.9", 4000)]


def test_a_loop_is_not_gone_around() -> None:
    outcome = go("PREROUTING -j A\nPREROUTING -j ACCEPT\nA -j B\nA -j B\nB -j A\nB -j A")
    assert len(outcome.hits) < 20
    assert {rule.text for rule in outcome.unknown} == {"-A B -j A"}


def test_many_ways_come_to_an_end() -> None:
    names = [f"C{number}" for number in range(40)]
    calls = [f"{one} -j {other}" for one, other in zip(names, names[1:]) for _twice in range(2)]
    outcome = go("\n".join(["PREROUTING -j C0", *calls]), chains=" ".join(names))
    assert 100_000 < len(outcome.hits) < 300_000


@pytest.mark.parametrize(
    ("source", "destination", "port", "expected", "mark"),
    [
        ("10.42.0.9", "10.43.0.10", 80, ["10.42.0.10", "10.42.0.2", "10.42.1.3"], 0),
        ("192.168.1.77", "10.43.0.10", 80, ["10.42.0.10", "10.42.0.2", "10.42.1.3"], 0x4000),
        ("192.168.1.77", "192.168.1.10", 30106, ["10.42.0.10", "10.42.0.2", "10.42.1.3"], 0x4000),
        # with the policy Local only pods of the node, and they see who has sent it
        ("192.168.1.77", "192.168.1.51", 80, ["10.42.0.10", "10.42.0.2"], 0),
    ],
)
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_rules_of_kube_proxy(
    variant: str, source: str, destination: str, port: int, expected: list[str], mark: int
) -> None:
    dump = read_dump(Captured(variant=variant).text.splitlines())
    packet = Packet("tcp", source, destination, 40000, port, "eth0", "")
    outcome = walk(dump.tables["nat"], "PREROUTING", {packet: ALL}, NODE)
    assert sorted(packet.destination for packet in outcome.passed) == expected
    assert {(packet.destination_port, packet.mark) for packet in outcome.passed} == {(8080, mark)}
    assert [share.least for share in outcome.passed.values()] == pytest.approx([1 / len(expected)] * len(expected))
    assert outcome.stopped == {}


rules = st.lists(
    st.builds(
        "{} {} -{} {}".format,
        st.sampled_from(["PREROUTING", "A", "B", "C"]),
        st.sampled_from(["", "-p udp", "-m statistic --mode random --probability 0.3", "-m mark --mark 0x1"]),
        st.sampled_from("jg"),
        st.sampled_from(
            ["A", "B", "C", "RETURN", "ACCEPT", "DROP", "MARK --set-xmark 0x1/0x1", "DNAT --to-destination 1.1.1.1"]
        ),
    ).filter(lambda rule: "-g" not in rule or rule[-1] in "ABC"),
    max_size=12,
)


@given(rules)
def test_no_packet_gets_lost(lines: list[str]) -> None:
    # Only forwards, so that no chain calls itself.
    order = ["PREROUTING", "A", "B", "C"]
    forwards = [line for line in lines if line[-1] not in "ABC" or order.index(line.split()[0]) < order.index(line[-1])]
    outcome = go("\n".join(forwards) or "PREROUTING -j LOG")
    ends = [outcome.passed, *outcome.stopped.values()]
    assert sum(share.least for packets in ends for share in packets.values()) == pytest.approx(1)
    assert all(share.least == share.most for packets in ends for share in packets.values())
