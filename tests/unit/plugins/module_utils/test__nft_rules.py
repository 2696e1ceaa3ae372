# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that kube-proxy should write in its mode nftables, and those that the real one has written."""

from __future__ import annotations

import typing as t
from collections import defaultdict
from dataclasses import replace

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import choose, read_endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import manner_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import Manner, firewall, predict, with_hash
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import (
    CapturedNft,
    all_captured_nft,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import HERE, NODE, Captured

OF_KUBE_PROXY: t.Final = [captured for captured in all_captured_nft() if captured.configuration != "others"]
FAMILIES: t.Final = {4: ("ip", "ip saddr 10.42.0.0/16"), 6: ("ip6", "ip6 saddr fd42::/56")}
# What a configuration makes different from the usual manner, and what a version does.
MANNERS: t.Final[dict[str, dict[str, t.Any]]] = {
    "bridge": {"pods": 'iifname "cni0"'},
    "prefix": {"pods": 'iifname "cni*"'},
    "no-pods": {"pods": ""},
    "masquerade-all": {"masquerades_all": True},
    "other-bit": {"mark": "0x00008000"},
    "v1.31.4": {"has_endpoint_chains": True, "names_ports": True},
    "v1.33.4": {"has_endpoint_chains": True, "names_ports": True},
    "v1.35.0": {"has_endpoint_chains": True},
}


def manner(captured: CapturedNft, family: int) -> Manner:
    usual = Manner(family, NODE[family], FAMILIES[family][1], node=HERE.node, mark="0x00004000")
    return replace(usual, **MANNERS.get(captured.configuration, {}), **MANNERS.get(captured.version, {}))


@pytest.mark.parametrize("captured", OF_KUBE_PROXY, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_predicted_is_what_was_written(captured: CapturedNft, family: int) -> None:
    objects = Captured(captured.version)
    predicted: dict[str, list[str]] = defaultdict(list)
    for service in objects.services:
        for port in service["spec"]["ports"]:
            endpoints = read_endpoints(service, objects.slices, port.get("name") or "", family)
            for name, lines in predict(service, port, choose(endpoints, HERE), manner(captured, family)).items():
                predicted[name] += lines
    table = captured.ruleset[FAMILIES[family][0], "kube-proxy"]
    chains = {name: [rule.text for rule in chain.rules] for name, chain in table.chains.items() if "/" in name}
    assert {name: lines for name, lines in predicted.items() if "/" in name} == chains
    # The endpoints that each client stays with, and the addresses of the node, are not made of Services.
    others = {name: one for name, one in table.sets.items() if "/" not in name and name != "nodeport-ips"}
    for name, elements in others.items():
        assert set(predicted[name]) == {element.text for element in elements.all}


@pytest.mark.parametrize("captured", OF_KUBE_PROXY, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_manner_is_seen_in_the_rules(captured: CapturedNft, family: int) -> None:
    expected = manner(captured, family)
    found = manner_of(captured.ruleset[FAMILIES[family][0], "kube-proxy"], family, HERE.node, NODE[family])
    assert found == expected


def test_addresses_are_the_same_however_they_are_written() -> None:
    port = {"name": "http", "protocol": "TCP", "port": 80}
    spec = {"clusterIPs": ["fd43::1"], "externalIPs": ["FD00:0::60"], "ports": [port]}
    service = {"metadata": {"namespace": "default", "name": "own"}, "spec": spec}
    lines = predict(service, port, choose([], HERE), manner(CapturedNft(), 6))
    assert lines["no-endpoint-services"] == [
        'fd43::1 . tcp . 80 comment "default/own:http" : goto reject-chain',
        'fd00::60 . tcp . 80 comment "default/own:http" : goto reject-chain',
    ]


@pytest.mark.parametrize(
    ("sources", "who"),
    [
        (["192.168.1.0/24"], "10.9.9.9/32, 192.168.1.0/24"),
        (["203.0.113.0/25"], "203.0.113.0/25"),
        (["203.0.113.0/25", "fd00::/64"], "203.0.113.0/25"),
    ],
)
def test_a_node_that_may_use_a_load_balancer_asks_from_its_address(sources: list[str], who: str) -> None:
    port = {"name": "http", "protocol": "TCP", "port": 80}
    spec = {"clusterIPs": ["10.43.0.1"], "loadBalancerSourceRanges": sources, "ports": [port]}
    status = {"loadBalancer": {"ingress": [{"ip": "10.9.9.9"}]}}
    service = {"metadata": {"namespace": "default", "name": "own"}, "spec": spec, "status": status}
    lines = predict(service, port, choose([], HERE), manner(CapturedNft(), 4))
    name = f"firewall-{with_hash('default/own/tcp/http')}"
    assert lines[name] == [f"ip saddr != {{ {who} }} drop"]
    assert lines["firewall-ips"] == [f"10.9.9.9 . tcp . 80 : goto {name}"]


def test_names_are_those_of_kube_proxys_own_tests() -> None:
    assert with_hash("ns1/svc1/tcp/p80") == "ULMVA6XW-ns1/svc1/tcp/p80"
    assert with_hash("ns1/svc1/tcp/p80__10.180.0.1/80") == "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"


@pytest.mark.parametrize(
    ("networks", "merged"),
    [
        (["10.0.0.0/8"], "10.0.0.0/8"),
        (["192.168.1.55", "192.168.1.0/24", "10.0.0.0/8"], "10.0.0.0/8, 192.168.1.0/24"),
        (["10.0.0.0-10.0.2.255"], "10.0.0.0/23, 10.0.2.0/24"),
        (["10.0.1.0/24", "10.0.0.0/24", "10.0.2.0/24"], "10.0.0.0/23, 10.0.2.0/24"),
    ],
)
def test_networks_are_merged(networks: list[str], merged: str) -> None:
    assert firewall("ip", networks) == f"ip saddr != {{ {merged} }} drop"


def test_of_newer_addresses_too() -> None:
    assert firewall("ip6", ["fd00::-fd00::1:ffff"]) == "ip6 saddr != { fd00::/111 } drop"
