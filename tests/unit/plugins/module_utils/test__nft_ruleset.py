# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from contextlib import suppress

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import (
    Rule,
    Unreadable,
    elements_of,
    read_ruleset,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft, all_captured_nft
from hypothesis import given
from hypothesis import strategies as st

TABLE: t.Final = {"table": {"family": "ip", "name": "x"}}
CHAIN: t.Final = {"chain": {"family": "ip", "table": "x", "name": "c"}}
PLACE: t.Final = {"family": "ip", "table": "x", "chain": "c", "handle": 7}


def ruleset(*things: object) -> str:
    return json.dumps({"nftables": [{"metainfo": {"json_schema_version": 1}}, *things]})


@pytest.mark.parametrize("captured", all_captured_nft(), ids=str)
def test_a_ruleset_is_read_without_a_loss(captured: CapturedNft) -> None:
    tables = captured.ruleset
    things = json.loads(captured.json)["nftables"]
    count = {kind: sum(kind in thing for thing in things) for kind in ("table", "chain", "rule", "set", "map")}
    assert len(tables) == count["table"] == 2
    assert sum(len(table.chains) for table in tables.values()) == count["chain"]
    assert sum(len(chain.rules) for table in tables.values() for chain in table.chains.values()) == count["rule"]
    assert sum(len(table.sets) for table in tables.values()) == count["set"] + count["map"]


def test_chains_know_their_place_and_policy() -> None:
    hooked = {"hook": "input", "type": "filter", "prio": -5, "policy": "drop"}
    rule = {**PLACE, "expr": [{"accept": None}], "comment": "all"}
    text = ruleset(TABLE, CHAIN, {"chain": {**CHAIN["chain"], "name": "b", **hooked}}, {"rule": rule})
    table = read_ruleset(text)["ip", "x"]
    base, chain = table.chains["b"], table.chains["c"]
    assert (base.kind, base.hook, base.priority, base.policy) == ("filter", "input", -5, "drop")
    assert (chain.hook, chain.policy) == ("", "accept")
    (read,) = chain.rules
    assert (read.table, read.chain, read.number, read.handle, read.comment) == ("ip x", "c", 1, 7, "all")


def test_elements_are_found_by_their_value_or_by_what_they_cover() -> None:
    network = {"prefix": {"addr": "10.0.0.0", "len": 8}}
    entries = ["10.1.0.1", {"elem": {"val": "10.1.0.2", "comment": "two"}}, network, {"concat": ["tcp", 80]}, "cni*"]
    elements = elements_of(entries)
    assert list(elements.exact) == ["10.1.0.1", "10.1.0.2", ("tcp", 80)]
    assert elements.exact["10.1.0.2"].comment == "two"
    assert [element.key for element in elements.wide] == [network, "cni*"]


def test_sets_that_rules_add_to_are_known() -> None:
    sets = [{"set": {"family": "ip", "table": "x", "name": name, "elem": ["10.1.0.1"]}} for name in ("a", "b")]
    rule = {**PLACE, "expr": [{"set": {"op": "update", "elem": {"meta": {"key": "mark"}}, "set": "@b"}}]}
    table = read_ruleset(ruleset(TABLE, *sets, CHAIN, {"rule": rule}))["ip", "x"]
    assert {name: elements.is_updated for name, elements in table.sets.items()} == {"a": False, "b": True}


def test_what_is_not_for_packets_is_passed_over() -> None:
    counter = {"counter": {"family": "ip", "table": "x", "name": "n", "packets": 1, "bytes": 2}}
    assert list(read_ruleset(ruleset(TABLE, counter, "word", 7))) == [("ip", "x")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "This is no JSON"),
        ("table ip x {\n}\n", "This is no JSON"),
        (ruleset(TABLE)[:-5], "This is no JSON"),
        ("[]", 'no list "nftables"'),
        ('{"nftables": {}}', 'no list "nftables"'),
        (ruleset(CHAIN), "Entry 2 of \"nftables\" is no chain"),
        (ruleset(TABLE, {"rule": {**PLACE, "expr": []}}), "Entry 3 of \"nftables\" is no rule"),
        (ruleset(TABLE, CHAIN, {"rule": {**PLACE, "expr": "accept"}}), "expr is 'accept'"),
        (ruleset(TABLE, CHAIN, {"rule": {**PLACE, "expr": [{"set": 1}]}}), "is no rule"),
        (ruleset(TABLE, {"set": {"family": "ip", "table": "x", "name": None}}), "name is None"),
        (ruleset(TABLE, {"map": {"family": "ip", "table": "y", "name": "m"}}), "is no map"),
        (ruleset(TABLE, {"chain": {**CHAIN["chain"], "hook": "input", "type": "nat", "prio": "x"}}), "is no chain"),
    ],
)  # fmt: skip
def test_what_is_no_ruleset_is_refused_with_its_place(text: str, says: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_ruleset(text)
    assert says in str(refused.value)


JSON: t.Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES: t.Final = st.sampled_from(["family", "table", "name", "chain", "handle", "expr", "elem", "hook", "type", "prio"])
KINDS: t.Final = st.sampled_from(["table", "chain", "rule", "set", "map"])


@given(st.lists(st.dictionaries(KINDS, st.dictionaries(NAMES, JSON) | JSON, max_size=1)))
def test_wrong_types_are_refused_or_left_unknown(things: list[object]) -> None:
    with suppress(Unreadable):  # anything else that is raised fails
        read_ruleset(ruleset(TABLE, CHAIN, *things))


@given(st.integers(0, 20_000))
def test_a_ruleset_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(Unreadable, match="This is no JSON"):
        read_ruleset(CapturedNft().json[:length])


@given(JSON)
def test_any_expression_has_a_text(expression: object) -> None:
    assert isinstance(Rule("ip x", "c", 1, 7, (expression,)).text, str)
