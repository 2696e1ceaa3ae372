# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift that was made by hand on rules of the real kube-proxy, and none on those as it wrote them."""

from __future__ import annotations

import json
import re
import typing as t
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _chain_drift
from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import read_rule
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_chains import endpoint_hash, service_hash
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_drift import drift
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import (
    HERE,
    NODE,
    Captured,
    everything,
)
from hypothesis import given, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

    Objects = dict[str, list[dict[str, t.Any]]]
    Edit = tuple[str, str]  # what is replaced, and by what

WEB: t.Final = "KUBE-SVC-" + service_hash("default", "web", "http", "TCP")
GIVEN: t.Final = {"with objects": True, "by themselves": False}


CAPTURED: t.Final = Captured()
TEXT: t.Final = CAPTURED.text
OBJECTS: t.Final = {"Services": CAPTURED.services, "Slices": CAPTURED.slices}
NAMES: t.Final = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in CAPTURED.services]


def found(text: str, only: str = "", given: Objects | None = None, family: int = 4) -> list[Drift]:
    dump = read_dump(text.splitlines())
    services, slices = (given["Services"], given["Slices"]) if given else (None, None)
    return drift(dump, family, NODE[family], HERE, services, slices, only)


def codes(text: str, is_given: bool) -> dict[str, int]:
    return dict(Counter(drift.code for drift in found(text, given=OBJECTS if is_given else None)))


def line_with(*words: str) -> str:
    """The one rule that has all of these."""
    (line,) = (line for line in TEXT.splitlines() if line.startswith("-A") and all(word in line for word in words))
    return line


def without(line: str) -> Edit:
    return line + "\n", ""


def after(line: str, *added: str) -> Edit:
    return line + "\n", "\n".join([line, *added, ""])


def edited(*edits: Edit) -> str:
    text = TEXT
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("captured", everything(), ids=str)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_rules_of_kube_proxy_itself_are_no_drift(captured: Captured, is_given: bool) -> None:
    given = {"Services": captured.services, "Slices": captured.slices} if is_given else None
    for only in ("", "default/web", "default/ranges"):
        assert found(captured.text, only, given, captured.family) == []


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_nor_are_those_of_any_service(is_given: bool) -> None:
    assert [one for name in NAMES for one in found(TEXT, name, OBJECTS if is_given else None)] == []


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_neither_is_the_order_of_services_nor_what_others_do(is_given: bool) -> None:
    others, nat = TEXT.split("*nat")
    fronts = [line for line in nat.splitlines() if line.startswith("-A KUBE-SERVICES -d")]
    turned = nat.replace("\n".join(fronts), "\n".join(reversed(fronts)))
    assert turned != nat
    foreign = turned.replace("-A POSTROUTING ", "-A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\n-A POSTROUTING ", 1)
    assert codes(f"{others}*nat{foreign}", is_given) == {}


JUMP: t.Final = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
FRONT: t.Final = line_with("-A KUBE-SERVICES", '"default/web:http cluster IP"')
OFF_CLUSTER: t.Final = line_with(f"-A {WEB} ! -s")
FIRST, SECOND, THIRD = (line for line in TEXT.splitlines() if line.startswith(f"-A {WEB} -m comment"))
ENDPOINT: t.Final = SECOND.rpartition(" ")[2]
HAIRPIN: t.Final = line_with(f"-A {ENDPOINT} -s")
DNAT: t.Final = line_with(f"-A {ENDPOINT} -p")
LAST: t.Final = line_with("-A KUBE-SERVICES", "must be the last rule")
MARKED: t.Final = line_with("-A KUBE-FORWARD", "-m mark")
REFUSED: t.Final = line_with("-A KUBE-SERVICES", '"default/none:http has no endpoints"')
NODE_PORT: t.Final = line_with("-A KUBE-EXT-", '"masquerade traffic for default/node-port:http')


@dataclass(frozen=True)
class Case:
    """What was done to the rules, and what is said of it: with the objects, and by the rules alone."""

    edits: tuple[Edit, ...]
    given: dict[str, int]
    alone: dict[str, int]


def case(*edits: Edit, alone: dict[str, int] | None = None, **given: int) -> Case:
    return Case(edits, given, given if alone is None else alone)


CASES: t.Final = {
    "a call of the kernel is gone": case(without(JUMP), missing_jump=1),
    "a call has a condition": case((JUMP, JUMP.replace("-m comment", "-s 10.0.0.0/8 -m comment")), missing_jump=1),
    "a call is there twice": case(after(JUMP, JUMP), duplicate_rule=1),
    "a chain is gone": case((":KUBE-MARK-MASQ - [0:0]\n", ""), dangling_jump=1),
    "a chain is gone with all calls of it": case(
        (":KUBE-FORWARD - [0:0]\n", ""), without(line_with("-A FORWARD", "-j KUBE-FORWARD")), missing_rule=1
    ),
    "a chain is empty": case(without(line_with("-A KUBE-MARK-MASQ")), missing_rule=1),
    "a front is gone": case(without(FRONT), missing_rule=1),
    "a front is there twice": case(after(FRONT, FRONT), duplicate_rule=1),
    # Its own chain is left without a call, and the call leads nowhere.
    "a front leads elsewhere": case(
        (FRONT, FRONT.replace(WEB, "KUBE-SVC-AAAAAAAAAAAAAAAA")), extra_rule=1, missing_rule=1, dangling_jump=1
    ),
    "packets from elsewhere keep their source": case(without(OFF_CLUSTER), missing_rule=1),
    "packets of some pods have another source": case(
        (OFF_CLUSTER, OFF_CLUSTER.replace("10.42.0.0/16", "10.42.0.0/24")),
        missing_rule=1,
        extra_rule=1,
        alone={"missing_rule": 1},
    ),
    "a pod's own packets keep their source": case(without(HAIRPIN), missing_rule=1),
    "packets to a node port keep their source": case(without(NODE_PORT), missing_rule=1),
    "what marks comes too late": case((f"{HAIRPIN}\n{DNAT}", f"{DNAT}\n{HAIRPIN}"), missing_rule=1),
    "the mark is not taken off": case(without(line_with("-A KUBE-POSTROUTING", "--set-xmark")), missing_rule=1),
    "what is marked is not let through": case(without(line_with("-A KUBE-FORWARD", "-m mark")), missing_rule=1),
    "another mark is let through": case(
        (MARKED, MARKED.replace("0x4000/0x4000", "0x8000/0x8000")), missing_rule=1, extra_rule=1
    ),
    "there are no node ports": case(without(LAST), missing_rule=1),
    "node ports are not the last": case(without(FRONT), after(LAST, FRONT), missing_rule=1),
    "someone returns": case(after(OFF_CLUSTER, f"-A {WEB} -s 192.168.1.66/32 -j RETURN"), extra_rule=1),
    "a line is none": case(after(OFF_CLUSTER, f"-A {WEB} what"), extra_rule=1),
    "someone refuses": case(
        after(REFUSED, REFUSED.replace('-m comment --comment "default/none:http has no endpoints" ', "")), extra_rule=1
    ),
    "someone lets all through": case(after(MARKED, "-A KUBE-FORWARD -j ACCEPT"), extra_rule=1),
    "an endpoint has another address": case(
        (DNAT, DNAT.replace("--to-destination 10.42.0.2", "--to-destination 10.42.0.99")),
        stale_endpoint=1,
        missing_rule=1,
        alone={"stale_endpoint": 1},
    ),
    "an endpoint is there twice": case(after(SECOND, SECOND), duplicate_rule=1),
    "an endpoint gets too much": case((SECOND, SECOND.replace("0.50000000000", "0.90000000000")), skewed_share=1),
    "some packets go nowhere": case(
        without(THIRD),
        skewed_share=1,
        missing_rule=1,
    ),
    # Three of four get 1/4 each, as the rules alone show it to be.
    "an endpoint is gone": case(
        (f"{FIRST}\n", ""),
        missing_rule=1,
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_each_drift_has_its_code(name: str, is_given: bool) -> None:
    one = CASES[name]
    assert codes(edited(*one.edits), is_given) == (one.given if is_given else one.alone)


# No two of these touch the same line.
APART: t.Final = (
    "a call of the kernel is gone",
    "a front is there twice",
    "packets to a node port keep their source",
    "the mark is not taken off",
    "another mark is let through",
    "someone returns",
    "an endpoint has another address",
    "an endpoint gets too much",
)


@pytest.mark.parametrize("names", [*combinations(APART, 2), APART], ids=" and ".join)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_drifts_do_not_hide_each_other(names: tuple[str, ...], is_given: bool) -> None:
    each = [CASES[name] for name in names]
    together = edited(*(edit for one in each for edit in one.edits))
    expected: Counter[str] = Counter()
    for one in each:
        expected.update(one.given if is_given else one.alone)
    assert codes(together, is_given) == expected


def with_endpoint(address: str) -> str:
    """The rules with one more endpoint of default/web, as kube-proxy would have written them."""
    chain = "KUBE-SEP-" + endpoint_hash("default", "web", "http", "TCP", f"{address}:8080")
    own = [HAIRPIN, DNAT, SECOND.replace("0.50000000000", "0.25000000000")]
    hairpin, dnat, share = (line.replace(ENDPOINT, chain).replace("10.42.0.2", address) for line in own)
    return edited((f":{WEB} ", f":{chain} - [0:0]\n:{WEB} "), after(OFF_CLUSTER, share), after(DNAT, hairpin, dnat))


def test_an_endpoint_that_is_gone_is_stale() -> None:
    text = with_endpoint("10.42.0.99")
    assert codes(text, is_given=False) == {}
    (stale,) = found(text, given=OBJECTS)
    assert (stale.code, stale.chain) == ("stale_endpoint", WEB)
    assert "-> 10.42.0.99:8080" in stale.rule


def of_web(thing: Mapping[str, t.Any]) -> bool:
    """Whether it is the Service default/web, or one of its EndpointSlices."""
    metadata = thing["metadata"]
    name = (metadata.get("labels") or {}).get("kubernetes.io/service-name", metadata["name"])
    return (metadata["namespace"], name) == ("default", "web")


def test_so_is_the_last_one() -> None:
    """Rules that kube-proxy has not touched since the endpoints went."""
    drifts = found(TEXT, given={**OBJECTS, "Slices": [one for one in OBJECTS["Slices"] if not of_web(one)]})
    assert Counter((one.code, one.table) for one in drifts) == {
        ("missing_rule", "filter"): 1,  # the one that refuses
        ("extra_rule", "nat"): 2,  # in KUBE-SERVICES, and the chain that it calls
        ("stale_endpoint", "nat"): 3,
    }


def test_what_is_there_of_a_service_that_is_gone_is_told_once_for_each_chain() -> None:
    drifts = found(TEXT, given={**OBJECTS, "Services": [one for one in OBJECTS["Services"] if not of_web(one)]})
    assert {one.code for one in drifts} == {"extra_rule"}
    chains = Counter(one.chain for one in drifts)
    assert chains.keys() == {"KUBE-SERVICES", WEB, *(line.rpartition(" ")[2] for line in (FIRST, SECOND, THIRD))}
    assert set(chains.values()) == {1}


def test_what_is_not_there_of_a_service_that_is_new_is_told_once_for_each_chain() -> None:
    text = json.dumps({name: [one for one in things if of_web(one)] for name, things in OBJECTS.items()})
    new = json.loads(text.replace('"web', '"new').replace("10.43.0.10", "10.43.0.241"))
    drifts = found(TEXT, given={name: [*OBJECTS[name], *new[name]] for name in OBJECTS})
    assert {one.code for one in drifts} == {"missing_rule"}
    assert Counter(one.chain for one in drifts if one.rule) == {"KUBE-SERVICES": 1}
    assert len(drifts) == 1 + 1 + 3


def uncommented(text: str) -> str:
    """As kube-proxy writes it with more than 1,000 endpoints."""
    return re.sub(
        r'^(-A (?:KUBE-SEP-\S+|\S+(?= -m comment --comment "[^"]* -> )).*?) -m comment --comment "[^"]*"',
        r"\1",
        text,
        flags=re.M,
    )


def test_with_many_endpoints_chains_without_a_call_are_left_for_later() -> None:
    """Of a Service that is gone."""
    services = {**OBJECTS, "Services": [one for one in OBJECTS["Services"] if not of_web(one)]}
    text = uncommented(edited(without(FRONT)))
    assert "-> 10.42" not in text
    assert found(text) == []
    assert found(text, given=services) == []
    # Those of one that is there are not.
    (gone,) = found(text, given=OBJECTS)
    assert (gone.code, gone.rule) == ("missing_rule", FRONT)
    # If something leads to them they are in use.
    assert {one.code for one in found(uncommented(TEXT), given=services)} == {"extra_rule"}


# Not all Services call the chain that is gone in one of the cases.
@pytest.mark.parametrize("name", [name for name in CASES if name != "a chain is gone"])
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_of_one_service_the_same_is_said_as_among_all(name: str, is_given: bool) -> None:
    text, given = edited(*CASES[name].edits), OBJECTS if is_given else None
    each = [one for name in NAMES for one in found(text, name, given)]
    assert {place(one) for one in each} == {place(one) for one in found(text, given=given)}


def place(one: Drift) -> tuple[str, ...]:
    """Of the calls of a chain that is not there only one is told."""
    return (
        (one.code, one.table, one.detail) if one.code == "dangling_jump" else (one.code, one.table, one.chain, one.rule)
    )


def test_what_is_wrong_elsewhere_is_not_told_of_a_service() -> None:
    text = edited(*CASES["an endpoint gets too much"].edits)
    assert [one.code for one in found(text, only="default/web")] == ["skewed_share"]
    assert found(text, only="default/node-port") == []


def test_a_table_that_is_cut_off_is_not_judged() -> None:
    filtering, nat = TEXT.split("*nat")
    assert found(filtering + "*nat" + nat[: len(nat) // 2], given=OBJECTS) == []
    assert found(filtering.replace("COMMIT", "") + "*nat" + nat, given=OBJECTS) == []
    assert found(filtering, given=OBJECTS) == []


def test_rules_of_others_alone_are_no_drift() -> None:
    assert (
        found("*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT", given=OBJECTS) == []
    )


def test_matches_may_come_in_another_order() -> None:
    """As other versions of iptables print them."""
    moved = re.sub(r'( -m comment --comment "[^"]*")(.*?)(?= -j |$)', r"\2\1", TEXT, flags=re.MULTILINE)
    assert moved != TEXT
    assert found(moved) == []
    assert found(moved, given=OBJECTS) == []


def test_rules_to_the_letter_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work on healthy rules of Services is to compare them."""
    read: list[str] = []

    def counted(table: str, number: int, line: str) -> Rule:
        read.append(line)
        return read_rule(table, number, line)

    monkeypatch.setattr(_chain_drift, "read_rule", counted)
    assert found(TEXT, given=OBJECTS) == []
    assert [line for line in read if re.match(r"-A KUBE-(SVC|SVL|SEP|EXT|FW|SERVICES|NODEPORTS)", line)] == []


lines = st.sampled_from(TEXT.splitlines())
numbers = st.integers(0, len(TEXT.splitlines()) - 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(numbers, st.integers(0, 60), st.text(max_size=5) | lines), min_size=1, max_size=5))
def test_whatever_was_done_nothing_is_raised(edits: list[tuple[int, int, str]]) -> None:
    changing = TEXT.splitlines()
    for number, place, text in edits:
        changing[number] = changing[number][:place] + text + changing[number][place + len(text) :]
    for given_objects in (OBJECTS, None):
        for only in ("", "default/web"):
            found("\n".join(changing), only=only, given=given_objects)
