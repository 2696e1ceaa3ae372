# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import typing as t
from random import Random

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _iptables_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import read_rule
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured, everything
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

TEXT: t.Final = Captured().text


def read(text: str) -> Dump:
    return read_dump(text.splitlines())


@pytest.mark.parametrize("captured", everything(), ids=str)
def test_a_dump_is_read_without_a_loss(captured: Captured) -> None:
    text = captured.text
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
    dump = read(TEXT[: TEXT.rindex("COMMIT")])
    assert dump.whole == {"mangle", "filter"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-A Y -j DROP", "not declared"),
        ("[1:2] -A Y -j DROP", "not declared"),
        (":Y", "declares no chain"),
        ("iptables-save: command not found", "no line of iptables-save"),
        ("[1:2]", "no line of iptables-save"),
        ("*** what", "no line of iptables-save"),
    ],
)
def test_what_cannot_be_read_is_told(line: str, why: str) -> None:
    (misread,) = read(f"*nat\n:X - [0:0]\n{line}\nCOMMIT").misread
    assert (misread.number, misread.line) == (3, line)
    assert why in misread.why


def test_only_rules_with_a_text_are_looked_at() -> None:
    chain = read('*nat\n:X - [0:0]\n-A X -m comment --comment "a/b:c d" -j A\n-A X -j B\n-A X "a/b"\nCOMMIT').chain(
        "nat", "X"
    )
    assert chain
    assert [rule.target for rule in chain.rules_with('"a/b')] == ["A"]
    assert chain.malformed == {3: '-A X "a/b"'}


# A dump with one Service.
SMALL: t.Final = """\
*nat
:PREROUTING ACCEPT [12:3456]
:KUBE-SERVICES - [0:0]
[7:420] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[0:0] -A KUBE-SERVICES -d 10.43.0.10/32 -p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j X
COMMIT
"""


@pytest.mark.parametrize("end", range(len(SMALL)))
def test_wherever_a_dump_is_cut_off_it_is_no_error(end: int) -> None:
    dump = read(SMALL[:end])
    assert dump.whole == ({"nat"} if SMALL[:end].endswith("COMMIT") else set())
    # What is left of a line may be a line of its own.
    assert len(dump.misread) <= 1
    chains = [chain for chains in dump.tables.values() for chain in chains.values()]
    assert sum(len(chain.lines) for chain in chains) + len(dump.misread) <= 5
    for chain in chains:
        assert len(chain.rules) + len(chain.malformed) == len(chain.lines)


@pytest.mark.parametrize(
    "lines",
    [
        [Random(1).randbytes(10_000_000).decode("latin1")],
        Random(2).randbytes(10_000_000).decode("latin1").splitlines(),
        ["*nat\n", ":X - [0:0]\n", "-A Y " + "x" * 10_000_000],
        ["*nat\n", ":" + "X" * 10_000_000],
        ["-A X -j Y\n"] * 500_000,
    ],
    ids=["one line", "lines", "a rule", "a chain", "rules without a chain"],
)
def test_of_garbage_only_a_little_is_kept(lines: list[str]) -> None:
    dump = read_dump(iter(lines))
    assert 0 < len(dump.misread) <= 20
    assert max(len(misread.line) for misread in dump.misread) <= 200
    assert not any(chain.lines for chains in dump.tables.values() for chain in chains.values())


def test_a_line_of_any_length_is_a_rule() -> None:
    line = "-A X -m comment --comment " + '"' + "x y " * 2_500_000 + '" -j Y'
    chain = read_dump(["*nat", ":X - [0:0]", line]).chain("nat", "X")
    assert chain
    assert chain.lines == [line]
    assert [rule.target for rule in chain.rules] == ["Y"]


def test_chains_that_nobody_looks_at_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 100_000
    read_lines: list[str] = []

    def counted(table: str, number: int, line: str) -> Rule:
        read_lines.append(line)
        return read_rule(table, number, line)

    monkeypatch.setattr(_iptables_dump, "read_rule", counted)
    chains = (f":X{number} - [0:0]\n" for number in range(count))
    rules = (f"-A X{number} -j X{number + 1}\n" for number in range(count))
    dump = read_dump(itertools.chain(["*nat\n"], chains, rules, ["COMMIT\n"]))
    assert (len(dump.tables["nat"]), dump.misread, read_lines) == (count, [], [])
    last = dump.chain("nat", f"X{count - 1}")
    assert last
    assert [rule.target for rule in [*last.rules, *last.rules]] == [f"X{count}"] * 2
    assert len(read_lines) == 1


@given(st.binary(max_size=2000))
def test_bytes_of_any_kind_are_no_error(data: bytes) -> None:
    for beginning in ("", "*nat\n:X - [0:0]\n-A X "):
        dump = read(beginning + data.decode("utf-8", "replace"))
        assert len(dump.misread) <= 20


@given(st.text())
def test_nothing_is_raised(text: str) -> None:
    for beginning in ("", "*nat\n:X - [0:0]\n-A X "):
        dump = read(beginning + text)
        for table in dump.tables.values():
            for chain in table.values():
                assert len(chain.rules) + len(chain.malformed) == len(chain.lines)
        assert len(dump.misread) <= 20
