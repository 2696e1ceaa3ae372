# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where Services are reached, as the maps of the real kube-proxy say and as their objects do."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend, of_object
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_frontends import endpoints_of, of_table, pods_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table, read_ruleset
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import (
    CapturedNft,
    all_captured_nft,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import NODE, Captured

FAMILIES: t.Final = {4: "ip", 6: "ip6"}
# The others have no rules of kube-proxy.
CAPTURED: t.Final = [captured for captured in all_captured_nft() if captured.configuration != "others"]


def table_of(captured: CapturedNft, family: int = 4) -> Table:
    return captured.ruleset[FAMILIES[family], "kube-proxy"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("captured", CAPTURED, ids=str)
def test_maps_and_objects_say_the_same(captured: CapturedNft, family: int) -> None:
    objects = Captured(captured.version).services
    found = [front for one in objects for front in of_object(one, family, NODE[family])]
    by_objects = {(front.address, front.port, front.protocol): front for front in found}
    by_maps = {(f.address, f.port, f.protocol): f for f in of_table(table_of(captured, family), NODE[family])}
    assert by_maps.keys() == by_objects.keys()
    for place, frontend in by_objects.items():
        seen = by_maps[place]
        assert (seen.service, seen.port_name) == (frontend.service, frontend.port_name)
        # Of an address from outside nothing says whose it is, unless it has ranges of sources.
        assert seen.kind in (frontend.kind, "other"), place
        assert seen.kind == frontend.kind or frontend.kind in ("external_ip", "load_balancer")


def test_of_one_service_only_its_own_are_told() -> None:
    everywhere = of_table(table_of(CapturedNft()), NODE[4])
    for name in sorted({front.service for front in everywhere}):
        assert of_table(table_of(CapturedNft()), NODE[4], name) == [f for f in everywhere if f.service == name]
    assert of_table(table_of(CapturedNft()), NODE[4], "default/w") == []


def test_an_address_with_ranges_of_sources_is_that_of_a_load_balancer() -> None:
    (front,) = (f for f in of_table(table_of(CapturedNft()), NODE[4]) if f.address == "192.168.1.56")
    assert front == Frontend("load_balancer", "192.168.1.56", 80, "tcp", "default/ranges-others", "http")


@pytest.mark.parametrize(
    ("configuration", "pods"),
    [("default", "-s 10.42.0.0/16"), ("bridge", "-i cni0"), ("prefix", "-i cni+"), ("no-pods", "")],
)
def test_how_pods_are_told(configuration: str, pods: str) -> None:
    assert pods_of(table_of(CapturedNft(configuration=configuration)), 4, NODE[4]) == pods
    if configuration == "default":
        assert pods_of(table_of(CapturedNft(version="v1.31.4")), 4, NODE[4]) == pods
        assert pods_of(table_of(CapturedNft(), 6), 6, NODE[6]) == "-s fd42::/56"


@pytest.mark.parametrize("version", ["v1.31.4", "v1.36.2"])
def test_endpoints_are_those_of_slices(version: str) -> None:
    slices = [s for s in Captured(version).slices if s["addressType"] == "IPv4"]
    known = {
        (endpoint["addresses"][0], port["port"])
        for one in slices
        for endpoint in one.get("endpoints") or []
        for port in one.get("ports") or []
    }
    found = endpoints_of(table_of(CapturedNft(version)))
    assert {("10.42.0.2", 8080), ("10.42.1.3", 8080)} <= found <= known


@pytest.mark.parametrize(
    "element",
    [
        "10.43.0.10",
        [{"concat": ["10.43.0.10", "tcp", 80]}, {"accept": None}],
        [{"concat": ["10.43.0.10", "tcp", "http"]}, {"goto": {"target": "service-AAAAAAAA-a/b/tcp/c"}}],
        [{"concat": ["tcp", 80]}, {"goto": {"target": "service-AAAAAAAA-a/b/tcp/c"}}],
        [{"concat": ["10.43.0.10", "tcp", 80]}, {"goto": {"target": "elsewhere"}}],
        [{"concat": ["10.43.0.10", "tcp", 80]}, {"goto": None}],
        [{"concat": ["10.43.0.10", "tcp", 80]}, {"goto": True}],
        [{"concat": ["here", "tcp", 80]}, {"goto": {"target": "service-AAAAAAAA-a/b/tcp/c"}}],
    ],
    ids=str,
)
def test_what_kube_proxy_does_not_write_is_no_front_end(element: object) -> None:
    body = {"family": "ip", "name": "service-ips", "table": "kube-proxy", "elem": [element]}
    text = json.dumps({"nftables": [{"table": {"family": "ip", "name": "kube-proxy"}}, {"map": body}]})
    assert of_table(read_ruleset(text)["ip", "kube-proxy"], NODE[4]) == []
