# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explain
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey, Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft

NODE: t.Final = Node(Facts(frozenset({"192.168.1.10", "10.42.0.1", "fd00::10"})))
VERSIONS: t.Final = ("v1.31.4", "v1.33.4", "v1.36.2")
WEB: t.Final = {("10.42.0.10", 8080), ("10.42.0.2", 8080), ("10.42.1.3", 8080)}


def send(captured: CapturedNft, source: str, address: str, port: int, interface: str = "eth0") -> Journey[t.Any]:
    return follow(
        base_chains(captured.ruleset, 6 if ":" in address else 4),
        Packet("tcp", source, address, 40000, port, interface, None),
        NODE,
    )


def ends(journey: Journey[t.Any]) -> set[tuple[str, int | None]]:
    return {(end.address, end.port) for end in explain.endpoints(journey, {})}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("source", "address", "port", "masquerade"),
    [
        ("10.42.0.9", "10.43.0.10", 80, "never"),
        ("192.168.1.77", "10.43.0.10", 80, "always"),
        ("10.42.0.2", "10.43.0.10", 80, "depends"),
        ("192.168.1.77", "192.168.1.10", 30106, "always"),
        ("198.51.100.7", "192.168.1.50", 80, "always"),
    ],
)
def test_a_service_is_reached(version: str, source: str, address: str, port: int, masquerade: str) -> None:
    journey = send(CapturedNft(version), source, address, port)
    assert explain.verdict_shares(journey) == {"dnat": 1.0}
    assert (ends(journey), explain.masquerade(journey)) == (WEB, masquerade)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("source", "address", "port", "verdict"),
    [
        ("10.42.0.9", "10.43.0.15", 80, "reject"),
        ("10.42.0.9", "10.43.0.34", 80, "drop"),
        ("192.168.1.77", "192.168.1.10", 30107, "reject"),
        ("192.168.1.77", "192.168.1.10", 30109, "drop"),
        ("198.51.100.7", "192.168.1.55", 80, "drop"),
        # What the mode iptables does not do: other ports of a Service are rejected.
        ("10.42.0.9", "10.43.0.10", 81, "reject"),
    ],
)
def test_a_service_is_not_reached(version: str, source: str, address: str, port: int, verdict: str) -> None:
    assert explain.verdict_shares(send(CapturedNft(version), source, address, port)) == {verdict: 1.0}


@pytest.mark.parametrize(("version", "verdict"), [("v1.31.4", "none"), ("v1.33.4", "drop"), ("v1.36.2", "drop")])
def test_addresses_of_no_service_are_dropped_since_their_networks_are_known(version: str, verdict: str) -> None:
    assert explain.verdict_shares(send(CapturedNft(version), "10.42.0.9", "10.43.0.250", 80)) == {verdict: 1.0}


@pytest.mark.parametrize("configuration", ["default", "every-address"])
def test_the_node_serves_no_node_ports_at_its_loopback_interface(configuration: str) -> None:
    captured = CapturedNft(configuration=configuration)
    assert explain.verdict_shares(send(captured, "127.0.0.1", "127.0.0.1", 30106, "")) == {"none": 1.0}
    assert explain.verdict_shares(send(captured, "192.168.1.10", "192.168.1.10", 30106, "")) == {"dnat": 1.0}


def test_node_ports_are_served_at_the_addresses_that_are_configured() -> None:
    at_a_pod_network = ("192.168.1.77", "10.42.0.1", 30106)
    assert explain.verdict_shares(send(CapturedNft(), *at_a_pod_network)) == {"none": 1.0}
    assert explain.verdict_shares(send(CapturedNft(configuration="every-address"), *at_a_pod_network)) == {"dnat": 1.0}


def test_the_same_by_ipv6() -> None:
    journey = send(CapturedNft(), "fd42::9", "fd43::10", 80)
    assert ends(journey) == {("fd42::10", 8080), ("fd42::2", 8080), ("fd42:0:0:1::3", 8080)}
    assert {stage.table for stage in journey.stages} == {"ip6 kube-proxy"}


def test_steps_are_the_rules_and_the_elements_of_maps() -> None:
    journey = send(CapturedNft(), "10.42.0.9", "10.43.0.14", 80)
    hits = [hit for stage in journey.stages for hit in stage.outcome.hits]
    assert [(hit.rule.chain, hit.element) for hit in hits] == [
        ("filter-prerouting-pre-dnat", ""),
        ("nat-prerouting", ""),
        ("services", "10.43.0.14 . tcp . 80 : goto service-UZ3H46DQ-default/remote/tcp/http"),
        ("service-UZ3H46DQ-default/remote/tcp/http", "0 : 10.42.1.3 . 8080"),
        ("filter-forward", ""),
        ("filter-forward", ""),
        ("nat-postrouting", ""),
    ]


def test_chains_are_asked_in_the_order_of_the_kernel() -> None:
    tables = {**CapturedNft().ruleset, **CapturedNft(configuration="others").ruleset}
    found = [(chain.table, chain.priority) for chain in base_chains(tables, 4) if chain.hook == "PREROUTING"]
    assert found == [
        ("inet filter", -150),
        ("ip kube-proxy", -110),
        # Of those that translate the one with the lower priority of its own, but where all do.
        ("ip hostport", -100),
        ("ip kube-proxy", -100),
    ]


def test_what_is_translated_is_not_translated_again() -> None:
    tables = {**CapturedNft().ruleset, **CapturedNft(configuration="others").ruleset}
    journey = follow(
        base_chains(tables, 4), Packet("tcp", "192.168.1.77", "192.168.1.50", 40000, 80, "eth0", None), NODE
    )
    assert ends(journey) == {("10.42.0.2", 8080), ("10.42.0.3", 8080)}
    asked = [stage.table for stage in journey.stages if stage.hook == "PREROUTING"]
    assert asked == ["inet filter", "ip kube-proxy", "ip hostport"]
