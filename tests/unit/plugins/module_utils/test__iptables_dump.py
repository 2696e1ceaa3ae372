# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from hypothesis import given
from hypothesis import strategies as st

DATA = Path(__file__).parents[1] / "data/iptables"
DUMPS = sorted(path.stem for path in DATA.glob("*.txt"))


def captured(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


def read(text: str) -> Dump:
    return read_dump(text.splitlines())


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_is_read_without_a_loss(name: str) -> None:
    text = captured(name)
    dump = read(text)
    assert dump.misread == []
    assert dump.whole == set(dump.tables) == {"mangle", "filter", "nat"}
    chains = [chain for table in dump.tables.values() for chain in table.values()]
    lines = [line for chain in chains for line in chain.lines]
    assert sorted(lines) == sorted(line for line in text.splitlines() if line.startswith("-A "))
    assert sum(len(chain.rules) for chain in chains) == len(lines)
    assert [chain for chain in chains if chain.malformed] == []


def test_chains_know_their_place_and_policy() -> None:
    dump = read(
        "*filter\n:FORWARD DROP [1:2]\n:X - [0:0]\n-A FORWARD -j X\n-A X -j ACCEPT\n-A FORWARD -j DROP\nCOMMIT\n"
    )
    forward, chain = dump.chain("filter", "FORWARD"), dump.chain("filter", "X")
    assert forward
    assert chain
    assert (forward.policy, chain.policy) == ("DROP", "")
    assert [(rule.table, rule.chain, rule.number, rule.target) for rule in forward.rules] == [
        ("filter", "FORWARD", 1, "X"),
        ("filter", "FORWARD", 2, "DROP"),
    ]
    assert dump.chain("filter", "Y") is None
    assert dump.chain("nat", "X") is None


def test_rules_for_other_addresses_are_not_looked_at() -> None:
    lines = [
        "-A X -d 10.43.0.1/32 -p tcp -j A",
        "-A X -d 10.43.0.2/32 -p tcp -j A",
        "-A X ! -d 10.43.0.2/32 -j A",
        "-A X -s 10.0.0.1/32 -d 10.43.0.2/32 -j A",
        "-A X -d 10.43.0.0/16 -j A",
        "-A X -d fd43::1/128 -j A",
        "-A X -j A",
    ]
    chain = read("\n".join(["*nat", ":X - [0:0]", *lines, "COMMIT"])).chain("nat", "X")
    assert chain
    assert [rule.number for rule in chain.rules_to({"10.43.0.1"})] == [1, 3, 4, 5, 7]
    assert [rule.number for rule in chain.rules_to({"fd43::1"})] == [3, 4, 5, 6, 7]


def test_counters_are_left_out() -> None:
    dump = read("*nat\n:X - [0:0]\n[12:3456] -A X -j RETURN\nCOMMIT")
    chain = dump.chain("nat", "X")
    assert chain
    assert chain.lines == ["-A X -j RETURN"]
    assert dump.misread == []


def test_tables_come_in_any_order_and_parts() -> None:
    dump = read("*nat\n:A - [0:0]\nCOMMIT\n*filter\n:B - [0:0]\nCOMMIT\n*nat\n:C - [0:0]\nCOMMIT")
    assert {table: list(chains) for table, chains in dump.tables.items()} == {"nat": ["A", "C"], "filter": ["B"]}


def test_a_dump_that_is_cut_off_is_not_whole() -> None:
    text = captured("v4.nft")
    dump = read(text[: text.rindex("COMMIT")])
    assert dump.whole == {"mangle", "filter"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-A Y -j DROP", "not declared"),
        ("[1:2] -A Y -j DROP", "not declared"),
        (":Y", "declares no chain"),
        ("iptables-save: command not found", "no line of iptables-save"),
        ("[1:2]", "no line of iptables-save"),
    ],
)
def test_what_cannot_be_read_is_told(line: str, why: str) -> None:
    (misread,) = read(f"*nat\n:X - [0:0]\n{line}\nCOMMIT").misread
    assert (misread.number, misread.line) == (3, line)
    assert why in misread.why


@given(st.text())
def test_nothing_is_raised(text: str) -> None:
    for beginning in ("", "*nat\n:X - [0:0]\n-A X "):
        dump = read(beginning + text)
        for table in dump.tables.values():
            for chain in table.values():
                assert len(chain.rules) + len(chain.malformed) == len(chain.lines)
        assert len(dump.misread) <= 20
