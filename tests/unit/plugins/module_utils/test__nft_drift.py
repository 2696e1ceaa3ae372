# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift that was made by hand on rules of kube-proxy in its mode nftables, and none on those as it wrote them."""

from __future__ import annotations

import copy
import json
import typing as t
from collections import Counter
from functools import cache
from itertools import product

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_drift import drift
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import with_hash
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Unreadable, read_ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import element_text, rule_text
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import (
    CapturedNft,
    all_captured_nft,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import HERE, NODE, Captured
from hypothesis import given, reject, settings
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table

    Thing = dict[str, t.Any]
    Edit = Callable[[list[Thing]], None]

# With and without the objects of the cluster.
GIVEN: t.Final = {"with objects": True, "by themselves": False}
FAMILIES: t.Final = {"ip": 4, "ip6": 6}
OF_KUBE_PROXY: t.Final = [captured for captured in all_captured_nft() if captured.configuration != "others"]
OLDER: t.Final = CapturedNft("v1.33.4")
NEWEST: t.Final = CapturedNft()
WEB: t.Final = "SUSTUHLJ-default/web/tcp/http"
STICKY: t.Final = "PKZDYJD3-default/affinity/tcp/http"
CLIENTS: t.Final = [with_hash(f"default/affinity/tcp/http__{pod}/8080") for pod in ("10.42.0.10", "10.42.0.2")]
STICKY_PODS: t.Final = [f"endpoint-{name}" for name in CLIENTS]


def found(table: Table, captured: CapturedNft, is_given: bool, only: str = "") -> list[Drift]:
    family = FAMILIES[table.family]
    objects = Captured(captured.version)
    services, slices = (objects.services, objects.slices) if is_given else (None, None)
    return drift(table, family, NODE[family], HERE, services, slices, only)


@pytest.mark.parametrize("captured", OF_KUBE_PROXY, ids=str)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_rules_of_kube_proxy_itself_are_no_drift(captured: CapturedNft, is_given: bool) -> None:
    for family in FAMILIES:
        table = captured.ruleset[family, "kube-proxy"]
        for only in ("", "default/web", "default/ranges", "default/affinity"):
            assert found(table, captured, is_given, only) == []


@pytest.mark.parametrize("captured", [OLDER, NEWEST], ids=str)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_nor_are_those_of_any_service(captured: CapturedNft, is_given: bool) -> None:
    table = captured.ruleset["ip", "kube-proxy"]
    names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in Captured().services]
    assert [one for name in names for one in found(table, captured, is_given, name)] == []


# Edits, which all are of the table for IPv4


@cache
def things_of(captured: CapturedNft) -> list[Thing]:
    things = json.loads(captured.json)["nftables"]
    return [thing for thing in things if next(iter(thing.values())).get("family") != "ip6"]


def edited(captured: CapturedNft, *edits: Edit) -> Table:
    things = copy.deepcopy(things_of(captured))
    for edit in edits:
        edit(things)
    return read_ruleset(json.dumps({"nftables": things}))["ip", "kube-proxy"]


def rules_of(things: list[Thing], chain: str) -> list[Thing]:
    return [thing for thing in things if thing.get("rule", {}).get("chain") == chain]


def all_of(*edits: Edit) -> Edit:
    def edit(things: list[Thing]) -> None:
        for one in edits:
            one(things)

    return edit


def text_of(rule: Thing) -> str:
    return rule_text(rule["rule"]["expr"], rule["rule"].get("comment", ""))


def the_rule(things: list[Thing], chain: str, part: str) -> Thing:
    (rule,) = (rule for rule in rules_of(things, chain) if part in text_of(rule))
    return rule


def without(chain: str, part: str) -> Edit:
    return lambda things: things.remove(the_rule(things, chain, part))


def without_rules(chain: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        for rule in rules_of(things, chain):
            things.remove(rule)

    return edit


def body_of(things: list[Thing], kind: str, name: str) -> Thing:
    (body,) = (thing[kind] for thing in things if thing.get(kind, {}).get("name") == name)
    return t.cast("Thing", body)


def without_thing(kind: str, name: str) -> Edit:
    return lambda things: things.remove({kind: body_of(things, kind, name)})


def without_chain(name: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        without_rules(name)(things)
        without_thing("chain", name)(things)

    return edit


def changed(kind: str, which: str, /, **members: object) -> Edit:
    return lambda things: body_of(things, kind, which).update(members)


def doubled(chain: str, part: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        rule = the_rule(things, chain, part)
        things.insert(things.index(rule), copy.deepcopy(rule))

    return edit


def moved_to_end(chain: str, part: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        rule = the_rule(things, chain, part)
        things.remove(rule)
        things.append(rule)

    return edit


FROM_ONE: t.Final = {
    "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "1.1.1.1"}
}
FOREIGN: t.Final = [FROM_ONE, {"drop": None}]


def rule(chain: str, *expressions: object, comment: str = "") -> Thing:
    place = {"family": "ip", "table": "kube-proxy", "chain": chain, "handle": 9999}
    return {"rule": {**place, "expr": list(expressions), **({"comment": comment} if comment else {})}}


def added(*things: Thing) -> Edit:
    return lambda there: there.extend(things)


def chain_of(name: str, **base: object) -> Thing:
    return {"chain": {"family": "ip", "table": "kube-proxy", "name": name, "handle": 9998, **base}}


def first_in(chain: str) -> Edit:
    """What somebody has put before all rules of a chain."""

    def edit(things: list[Thing]) -> None:
        first = rules_of(things, chain)[0]
        things.insert(things.index(first), rule(chain, *FOREIGN))

    return edit


def replaced(chain: str, part: str, old: str, new: str) -> Edit:
    """What the JSON of a rule has once, replaced."""

    def edit(things: list[Thing]) -> None:
        one = the_rule(things, chain, part)
        text = json.dumps(one)
        assert text.count(old) == 1
        things[things.index(one)] = json.loads(text.replace(old, new))

    return edit


def element_in(things: list[Thing], place: str, part: str) -> tuple[list[t.Any], t.Any]:
    (elements,) = (
        body["elem"] for thing in things for body in thing.values() if body.get("name") == place and "elem" in body
    )

    pairs = [entry if isinstance(entry, list) else (entry, None) for entry in elements]
    (element,) = (entry for entry, (key, value) in zip(elements, pairs) if part in element_text(key, value, ""))
    return elements, element


def without_element(place: str, part: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        elements, element = element_in(things, place, part)
        elements.remove(element)

    return edit


def element_replaced(place: str, part: str, old: str, new: str) -> Edit:
    def edit(things: list[Thing]) -> None:
        elements, element = element_in(things, place, part)
        text = json.dumps(element)
        assert text.count(old) == 1
        elements[elements.index(element)] = json.loads(text.replace(old, new))

    return edit


def element_added(place: str, element: object) -> Edit:
    def edit(things: list[Thing]) -> None:
        (elements,) = (body["elem"] for thing in things for body in thing.values() if body.get("name") == place)
        elements.append(element)

    return edit


# By kube-proxy's version: what was done, and what is found with the objects and without.
Damage = tuple[CapturedNft, "Edit", dict[str, int], dict[str, int]]


def same(captured: CapturedNft, edit: Edit, **codes: int) -> Damage:
    return captured, edit, codes, codes


THIRD: t.Final = '[2, {"concat": ["10.42.1.3", 8080]}]'
OF_ALL: t.Final[dict[str, Damage]] = {
    "a base chain does not call": same(NEWEST, without("nat-prerouting", "jump services"), missing_jump=1),
    "a base chain calls twice": same(NEWEST, doubled("nat-output", "jump services"), duplicate_rule=1),
    "a base chain is gone": same(NEWEST, without_chain("filter-forward"), missing_jump=2),
    "another rule in a base chain": same(NEWEST, first_in("filter-input"), extra_rule=1),
    "a base chain comes later": same(NEWEST, changed("chain", "nat-prerouting", prio=0), missing_rule=1),
    "a base chain at another hook": same(OLDER, changed("chain", "filter-output", hook="input"), missing_rule=1),
    "a base chain of another type": same(OLDER, changed("chain", "nat-output", type="filter"), missing_rule=1),
    "a base chain drops": same(NEWEST, changed("chain", "filter-forward", policy="drop"), missing_rule=1),
    "an older base chain does not call": same(OLDER, without("filter-output-post-dnat", "jump"), missing_jump=1),
    "a dormant table": same(NEWEST, changed("table", "kube-proxy", flags=["dormant"]), missing_rule=1),
    "a fixed chain is gone": same(
        NEWEST, all_of(without_chain("firewall-check")), missing_rule=1, dangling_jump=1
    ),
    "a fixed chain is empty": same(NEWEST, without_rules("service-endpoints-check"), missing_rule=1),
    "nothing is masqueraded": same(NEWEST, without("masquerading", "@hairpin"), missing_rule=1),
    "in the older way": same(OLDER, without("masquerading", "return"), missing_rule=1),
    "the mark is another one": same(NEWEST, replaced("masquerading", "^", '"^": [{"meta": {"key": "mark"}}, 16384]',
                                                     '"^": [{"meta": {"key": "mark"}}, 4096]'),
                                    missing_rule=1, extra_rule=1),
    "packets from outside are not marked": same(NEWEST, without("services", "@cluster-ips"), missing_rule=1),
    "no node ports": same(NEWEST, without("services", "@service-nodeports"), missing_rule=1),
    "node ports of other addresses": same(
        NEWEST, replaced("services", "@nodeport-ips", "@nodeport-ips", "@cluster-ips"), missing_rule=1, extra_rule=1
    ),
    "somebody's rule first": same(NEWEST, first_in("services"), extra_rule=1),
    "another order": same(NEWEST, moved_to_end("services", "@service-ips"), missing_rule=1),
    "twice": same(NEWEST, doubled("services", "@service-ips"), duplicate_rule=1),
    "no rejection": same(NEWEST, without("cluster-ips-check", "reject"), missing_rule=1),
    "a rule with a comment that is no call": same(
        NEWEST, added(rule("services", *FOREIGN, comment="goto nowhere")), extra_rule=1),
    "a rule in a chain of somebody's": same(NEWEST, added(chain_of("own"), rule("own", *FOREIGN)), extra_rule=1),
    "a chain with another's hash": same(
        NEWEST, added(chain_of(f"service-{WEB}s"), rule(f"service-{WEB}s", *FOREIGN)), extra_rule=1
    ),
    "a set is gone": same(NEWEST, without_thing("set", "hairpin-connections"), missing_rule=1),
}  # fmt: skip
OF_SERVICES: t.Final[dict[str, Damage]] = {
    "some packets go nowhere": same(NEWEST, replaced(f"service-{WEB}", "", '"mod": 3', '"mod": 4'), skewed_share=1),
    "an endpoint gets nothing": same(NEWEST, replaced(f"service-{WEB}", "", '"mod": 3', '"mod": 2'), skewed_share=1),
    "an endpoint gets more": (
        NEWEST, replaced(f"service-{WEB}", "", "10.42.1.3", "10.42.0.2"), {"skewed_share": 1, "missing_rule": 1},
        {"skewed_share": 1}),
    "a gap in the numbers": same(NEWEST, replaced(f"service-{WEB}", "", "[2, {", "[5, {"), skewed_share=1),
    "an endpoint less": (
        NEWEST, all_of(
            replaced(f"service-{WEB}", "", ", " + THIRD, ""),
            replaced(f"service-{WEB}", "", '"mod": 3', '"mod": 2')),
        {"missing_rule": 1}, {}),
    "another endpoint": (
        NEWEST, replaced(f"service-{WEB}", "", "10.42.1.3", "10.42.1.9"), {"stale_endpoint": 1, "missing_rule": 1}, {}),
    "another protocol": (
        NEWEST, replaced(f"service-{WEB}", "", '"tcp"', '"udp"'), {"extra_rule": 1, "missing_rule": 1},
        {"extra_rule": 1, "missing_rule": 1}),
    "somebody's rule before the endpoints": same(NEWEST, first_in(f"service-{WEB}"), extra_rule=1),
    "the endpoints twice": same(NEWEST, doubled(f"service-{WEB}", "numgen"), duplicate_rule=1),
    "no endpoints": same(NEWEST, without_rules(f"service-{WEB}"), missing_rule=1),
    "no chain of the Service": same(NEWEST, without_chain(f"service-{WEB}"), dangling_jump=1),
    "nor a call of it": (
        NEWEST, all_of(without_chain(f"service-{WEB}"), without_element("service-ips", WEB)),
        {"missing_rule": 2}, {}),
    "no call of it": same(NEWEST, without_element("service-ips", WEB), missing_rule=1),
    "no call of it, and it is empty": (
        NEWEST, all_of(without_rules(f"service-{WEB}"), without_element("service-ips", WEB)),
        {"missing_rule": 2}, {}),
    "a call of another Service": (
        NEWEST, element_replaced("service-ips", WEB, WEB, "KHN6ECMT-shop/web/tcp/http"),
        {"missing_rule": 1, "extra_rule": 1}, {"missing_rule": 1}),
    "for another protocol": (
        NEWEST, element_replaced("service-ips", WEB, '"tcp"', '"udp"'), {"missing_rule": 1, "extra_rule": 1},
        {"extra_rule": 1}),
    "a Service that is none": (
        NEWEST, element_added(
            "service-ips", [{"concat": ["10.43.0.99", "tcp", 80]}, {"goto": {"target": f"service-{WEB}"}}]),
        {"extra_rule": 1}, {"missing_rule": 1}),
    "a drop for nobody": (
        NEWEST, element_added("no-endpoint-nodeports", [{"concat": ["tcp", 32000]}, {"drop": None}]),
        {"extra_rule": 1}, {"extra_rule": 1}),
    "what leads to a node port is gone": (
        NEWEST, without_element("service-nodeports", "30106 : goto external-G52DPNUD"), {"missing_rule": 1},
        {"missing_rule": 1}),
    "no rejection where nobody is": (
        NEWEST, without_element("no-endpoint-services", "10.43.0.15"), {"missing_rule": 1}, {}),
    "a drop instead of it": (
        NEWEST, element_replaced("no-endpoint-services", "10.43.0.15", '{"goto": {"target": "reject-chain"}}',
                                 '{"drop": null}'), {"missing_rule": 1, "extra_rule": 1}, {}),
    "a cluster IP that is not known": same(NEWEST, without_element("cluster-ips", "10.43.0.10"), missing_rule=1),
    "one that is none": (NEWEST, element_added("cluster-ips", "10.43.0.99"), {"extra_rule": 1}, {}),
    "a pod that cannot reach itself": (
        NEWEST, without_element("hairpin-connections", "10.42.0.11"), {"missing_rule": 1}, {}),
    "a load balancer for all": (
        NEWEST, without_element("firewall-ips", "192.168.1.55"), {"missing_rule": 1}, {"missing_rule": 1}),
    "for too many": (
        NEWEST, replaced("firewall-QLGWVR2T-default/ranges/tcp/http", "", '"len": 25', '"len": 24'),
        {"extra_rule": 1, "missing_rule": 1}, {}),
    "nobody is kept out": same(NEWEST, without("firewall-QLGWVR2T-default/ranges/tcp/http", "drop"), missing_rule=1),
    "what is from outside is not marked": same(
        NEWEST, without("external-G52DPNUD-default/node-port/tcp/http", "masquerade"), missing_rule=1),
    "pods are taken for others": same(
        NEWEST, without("external-6B32DOFQ-default/outside/tcp/http", "pod traffic"), missing_rule=1),
    "too late": same(
        NEWEST, moved_to_end("external-6B32DOFQ-default/outside/tcp/http", "pod traffic"), missing_rule=1),
    "nobody stays with an endpoint": same(
        NEWEST, without(f"service-{STICKY}", f"saddr @affinity-{CLIENTS[0]}"), missing_rule=1),
    "nobody stays with any": (
        NEWEST, all_of(*(without(f"service-{STICKY}", f"saddr @affinity-{name}") for name in CLIENTS)),
        {"missing_rule": 2}, {"missing_rule": 1}),
    "who stays with one goes to another": (
        NEWEST, replaced(f"service-{STICKY}", f"{CLIENTS[0]} goto", f'"{STICKY_PODS[0]}"', f'"{STICKY_PODS[1]}"'),
        {"stale_endpoint": 1, "missing_rule": 1}, {"extra_rule": 1, "missing_rule": 1}),
    "an endpoint without a share": (
        NEWEST, all_of(
            replaced(f"service-{STICKY}", "numgen", f', [1, {{"goto": {{"target": "{STICKY_PODS[1]}"}}}}]', ""),
            replaced(f"service-{STICKY}", "numgen", '"mod": 2', '"mod": 1')),
        {"missing_rule": 1}, {"stale_endpoint": 1}),
    "clients are not remembered": same(NEWEST, without(STICKY_PODS[0], "update"), missing_rule=1),
    "the chain of an endpoint leads to another": (
        NEWEST, replaced(STICKY_PODS[0], "dnat", '"10.42.0.10"', '"10.42.0.9"'),
        {"stale_endpoint": 1, "missing_rule": 1}, {"stale_endpoint": 1}),
    "one calls the chain of another": (
        NEWEST, replaced(f"service-{STICKY}", "numgen", f'"{STICKY_PODS[0]}"', f'"{STICKY_PODS[1]}"'),
        {"skewed_share": 1, "missing_rule": 1}, {"skewed_share": 1, "stale_endpoint": 1}),
    "in an older version": (
        OLDER, replaced(f"service-{WEB}", "numgen", "10.42.1.3", "10.42.1.9"),
        {"stale_endpoint": 1, "missing_rule": 1, "dangling_jump": 1},
        {"dangling_jump": 1, "missing_rule": 1}),
    "packets from outside are not marked there": same(OLDER, without(f"service-{WEB}", "mark-for"), missing_rule=1),
    "nor those of the pod itself": same(
        OLDER, without("endpoint-XAMS6DAQ-default/web/tcp/http__10.42.0.10/8080", "mark-for"), missing_rule=1),
    "another mark there": same(
        OLDER, without("external-G52DPNUD-default/node-port/tcp/http", "mark-for"), missing_rule=1),
}  # fmt: skip
DAMAGE: t.Final = {**OF_ALL, **OF_SERVICES}


def codes(drifts: list[Drift]) -> dict[str, int]:
    return dict(Counter(one.code for one in drifts))


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_what_was_done_is_found(name: str, is_given: bool) -> None:
    captured, edit, with_objects, by_themselves = DAMAGE[name]
    drifts = found(edited(captured, edit), captured, is_given)
    assert codes(drifts) == (with_objects if is_given else by_themselves)
    assert {one.table for one in drifts} <= {"ip kube-proxy"}


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_several_at_once_are_all_found(is_given: bool) -> None:
    of_all, of_services = (
        [name for name, damage in some.items() if damage[0] is NEWEST and name != "a set is gone"]
        for some in (OF_ALL, OF_SERVICES)
    )
    for one, other in list(product(of_all, of_services))[::17]:
        (_captured, first, *first_codes), (_captured, second, *second_codes) = DAMAGE[one], DAMAGE[other]
        place = 0 if is_given else 1
        expected = Counter(first_codes[place]) + Counter(second_codes[place])
        assert (one, other, codes(found(edited(NEWEST, first, second), NEWEST, is_given))) == (one, other, expected)


def only_one(edit: Edit, captured: CapturedNft = NEWEST, is_given: bool = True, code: str = "") -> Drift:
    drifts = found(edited(captured, edit), captured, is_given)
    (one,) = (drift for drift in drifts if code in ("", drift.code))
    return one


def test_it_is_told_where_and_what() -> None:
    one = only_one(without("nat-prerouting", "jump services"))
    assert (one.chain, one.rule, one.detail) == ("nat-prerouting", "jump services", "services")
    one = only_one(without_chain("nat-output"))
    assert (one.chain, one.rule, one.detail) == ("nat-output", "jump services", "services, as it is not there itself")
    one = only_one(changed("chain", "nat-output", prio=5))
    wanted = "type nat hook output priority -100 policy accept"
    assert one.detail == f"it is type nat hook output priority 5 policy accept, not {wanted}"
    one = only_one(without_element("service-ips", WEB))
    assert (one.chain, one.rule) == ("service-ips", f"10.43.0.10 . tcp . 80 : goto service-{WEB}")
    one = only_one(first_in(f"service-{WEB}"))
    assert (one.chain, one.rule) == (f"service-{WEB}", "ip saddr 1.1.1.1 drop")


def test_a_base_chain_that_is_none_is_told() -> None:
    def edit(things: list[Thing]) -> None:
        for word in ("type", "hook", "prio", "policy"):
            del body_of(things, "chain", "nat-output")[word]

    assert only_one(edit).detail.startswith("it is no base chain, not type nat ")


def test_endpoints_are_told_one_by_one() -> None:
    edit = replaced(f"service-{WEB}", "", "10.42.1.3", "10.42.1.9")
    stale, missing = only_one(edit, code="stale_endpoint"), only_one(edit, code="missing_rule")
    assert (stale.detail, missing.detail) == ("10.42.1.9 . 8080", "no share for 10.42.1.3 . 8080")
    assert stale.rule == missing.rule
    assert "numgen random mod 3 map { 0 : 10.42.0.10 . 8080, " in stale.rule


def test_shares_are_told() -> None:
    one = only_one(replaced(f"service-{WEB}", "", '"mod": 3', '"mod": 4'))
    assert one.detail == "of 3 endpoints each gets 25.0% to 25.0% of the packets, not 33.3%"
    one = only_one(replaced(f"service-{WEB}", "", "10.42.1.3", "10.42.0.2"), code="skewed_share")
    assert one.detail == "of 2 endpoints each gets 33.3% to 66.7% of the packets, not 50.0%"


def test_the_order_of_endpoints_makes_no_difference() -> None:
    table = edited(
        NEWEST,
        replaced(f"service-{WEB}", "", "10.42.1.3", "10.42.9.9"),
        replaced(f"service-{WEB}", "", "10.42.0.2", "10.42.1.3"),
        replaced(f"service-{WEB}", "", "10.42.9.9", "10.42.0.2"),
    )
    assert found(table, NEWEST, is_given=True) == []


@pytest.mark.parametrize(
    "networks",
    [
        [{"range": ["192.168.1.0", "192.168.1.255"]}, {"prefix": {"addr": "203.0.113.0", "len": 25}}],
        [
            {"prefix": {"addr": "203.0.113.0", "len": 25}},
            {"prefix": {"addr": "192.168.1.0", "len": 25}},
            {"prefix": {"addr": "192.168.1.128", "len": 25}},
        ],
    ],
)
def test_networks_are_the_same_however_they_are_written(networks: list[object]) -> None:
    def edit(things: list[Thing]) -> None:
        match = the_rule(things, "firewall-QLGWVR2T-default/ranges/tcp/http", "")["rule"]["expr"][0]["match"]
        match["right"] = {"set": networks}

    assert found(edited(NEWEST, edit), NEWEST, is_given=True) == []


def test_a_network_without_braces_is_read() -> None:
    objects = Captured(NEWEST.version)
    (service,) = (copy.deepcopy(one) for one in objects.services if one["metadata"]["name"] == "ranges")
    service["spec"]["loadBalancerSourceRanges"] = ["203.0.113.0/25"]

    def edit(things: list[Thing]) -> None:
        match = the_rule(things, "firewall-QLGWVR2T-default/ranges/tcp/http", "")["rule"]["expr"][0]["match"]
        match["right"] = {"prefix": {"addr": "203.0.113.0", "len": 25}}

    arguments = (4, NODE[4], HERE, [service], objects.slices, "default/ranges")
    assert drift(edited(NEWEST, edit), *arguments) == []
    assert codes(drift(edited(NEWEST), *arguments)) == {"extra_rule": 1, "missing_rule": 1}


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_what_has_come_out_of_use_is_no_drift(is_given: bool) -> None:
    old = chain_of(f"service-{with_hash('default/old/tcp/http')}")
    assert found(edited(NEWEST, added(old)), NEWEST, is_given) == []


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_what_a_version_has_left_is_no_drift(is_given: bool) -> None:
    marking = the_rule(things_of(OLDER), "mark-for-masquerade", "")
    left = [
        {"chain": body_of(things_of(OLDER), "chain", name)}
        for name in ("filter-prerouting", "filter-output-post-dnat", "mark-for-masquerade")
    ]
    calls = [the_rule(things_of(OLDER), name, "") for name in ("filter-prerouting", "filter-output-post-dnat")]
    assert found(edited(NEWEST, added(*left, marking, *calls)), NEWEST, is_given) == []
    left_with_another = added(*left, marking, *calls, rule("filter-prerouting", *FOREIGN))
    assert codes(found(edited(NEWEST, left_with_another), NEWEST, is_given)) == {"extra_rule": 1}


def as_in_1_34(things: list[Thing]) -> None:
    """The rules of an older version with base chains as of 1.34, and without the ports that it names no more."""
    all_of(
        without_chain("filter-output-post-dnat"),
        without("filter-output", "firewall-check"),
        added(
            rule("filter-output", {"match": CT_NEW}, {"jump": {"target": "cluster-ips-check"}}),
            chain_of("filter-output-pre-dnat", type="filter", hook="output", prio=-110, policy="accept"),
            rule("filter-output-pre-dnat", {"match": CT_NEW}, {"jump": {"target": "firewall-check"}}),
        ),
        changed("chain", "filter-prerouting", name="filter-prerouting-pre-dnat"),
        *(changed("chain", name, prio=0) for name in ("filter-input", "filter-forward", "filter-output")),
    )(things)
    the_rule(things, "filter-prerouting", "")["rule"]["chain"] = "filter-prerouting-pre-dnat"
    for thing in things:
        body = thing.get("rule", {"chain": ""})
        if "/" in body["chain"]:
            body["expr"] = [one for one in body["expr"] if '"dport"' not in json.dumps(one)]


CT_NEW: t.Final = {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_the_form_of_1_34_is_known(is_given: bool) -> None:
    assert found(edited(OLDER, as_in_1_34), OLDER, is_given) == []
    unmarked = edited(OLDER, as_in_1_34, without(f"service-{WEB}", "mark-for"))
    (one,) = found(unmarked, OLDER, is_given)
    assert one.rule == "ip daddr 10.43.0.10 ip saddr != 10.42.0.0/16 jump mark-for-masquerade"


@pytest.mark.parametrize("is_given", GIVEN.values(), ids=GIVEN)
def test_of_one_service_only_what_matters_for_it_is_told(is_given: bool) -> None:
    of_two = "LVF7ROSX-default/two/tcp/http"
    table = edited(
        NEWEST,
        replaced(f"service-{WEB}", "", '"mod": 3', '"mod": 4'),
        without("nat-output", "jump services"),
        without_element("service-ips", of_two),
        without_element("no-endpoint-services", "10.43.0.15"),
    )
    both = {"skewed_share": 1, "missing_jump": 1}
    assert codes(found(table, NEWEST, is_given, "default/web")) == both
    assert codes(found(table, NEWEST, is_given, "shop/web")) == {"missing_jump": 1}
    assert codes(found(table, NEWEST, is_given, "default/two")) == {"missing_jump": 1, "missing_rule": 1}
    of_none = {"missing_rule": 1} if is_given else {}
    assert codes(found(table, NEWEST, is_given, "default/none")) == {"missing_jump": 1, **of_none}


def test_of_two_services_with_an_address_one_has_it() -> None:
    objects = Captured(NEWEST.version)
    services = objects.services
    external, two = (next(one for one in services if one["metadata"]["name"] == name) for name in ("external", "two"))
    two["spec"]["externalIPs"] = external["spec"]["externalIPs"]
    drifts = drift(NEWEST.ruleset["ip", "kube-proxy"], 4, NODE[4], HERE, services, objects.slices)
    # Its chain for what comes from outside is not there, but the address may be the other's.
    assert [(one.code, one.chain) for one in drifts] == [
        ("missing_rule", f"external-{with_hash('default/two/tcp/http')}")
    ]


def test_a_service_that_is_gone_leaves_what_led_to_it() -> None:
    objects = Captured(NEWEST.version)
    services = [one for one in objects.services if one["metadata"]["name"] != "unnamed"]
    drifts = drift(NEWEST.ruleset["ip", "kube-proxy"], 4, NODE[4], HERE, services, objects.slices)
    assert [(one.code, one.chain) for one in drifts] == [("extra_rule", "cluster-ips"), ("extra_rule", "service-ips")]


def test_chains_that_nobody_asked_for_and_nothing_leads_to() -> None:
    name = f"service-{with_hash('default/old/tcp/http')}"
    one = only_one(added(chain_of(name), rule(name, *FOREIGN)))
    assert (one.code, one.chain, one.detail) == ("extra_rule", name, "no Service asks for this chain")
    one = only_one(added(chain_of(name), rule(name, *FOREIGN)), is_given=False)
    assert (one.code, one.detail) == ("missing_rule", "no rule leads to this chain")


def test_a_chain_that_should_be_there_is_told() -> None:
    (one,) = found(edited(NEWEST, without_chain(f"service-{WEB}"), without_element("service-ips", WEB)), NEWEST, True)[
        1:
    ]
    assert (one.code, one.chain) == ("missing_rule", f"service-{WEB}")
    assert one.detail == "the chain is not there, nor are its 1 rules"


def test_a_long_name_is_cut() -> None:
    long = "n" * 63
    name = with_hash(f"{long}/{long}/tcp/{long}__{'.'.join(['fd42'] * 8)}/65535")
    assert len(name) == 240
    assert name.endswith("...")
    chain = f"endpoint-{name}"
    table = edited(
        NEWEST,
        added(
            chain_of(chain),
            rule(chain, {"set": {"op": "update", "elem": FROM_ONE["match"]["left"], "set": f"@affinity-{name}"}}),
            rule(
                chain,
                {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}},
                {"dnat": {"addr": "10.42.0.2", "port": 8080}},
            ),
            chain_of(f"service-{with_hash(f'{long}/{long}/tcp/{long}')}"),
        ),
    )
    # Nothing leads there, but it is a name and a form of kube-proxy's.
    assert [one.detail for one in found(table, NEWEST, is_given=False)] == ["no rule leads to this chain"]


scalars = (
    st.none() | st.integers(-1, 5) | st.text(max_size=5) | st.sampled_from(["tcp", "@cluster-ips", f"service-{WEB}"])
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["goto", "map", "set"]), scalars)


def places(thing: object) -> list[tuple[t.Any, t.Any]]:
    """Where a value is in some JSON: what it is in, and its name or number there."""
    members = list(thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ())
    return [place for key, value in members for place in ((thing, key), *places(value))]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2**32), values), min_size=1, max_size=5))
def test_whatever_was_done_nothing_is_raised(edits: list[tuple[int, object]]) -> None:
    def edit(things: list[Thing]) -> None:
        bodies = [body for thing in things for body in thing.values() if body.get("expr") or body.get("elem")]
        for number, value in edits:
            body = bodies[number % len(bodies)]
            spots = places(body.get("expr") or body["elem"])
            if spots:
                place, key = spots[number // len(bodies) % len(spots)]
                place[key] = value

    try:
        table = edited(NEWEST, edit)
    except Unreadable:
        reject()
    for is_given in (True, False):
        for only in ("", "default/web"):
            found(table, NEWEST, is_given, only)
