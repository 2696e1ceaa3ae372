# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The endpoints that should be reached, and those that are by the rules of the real kube-proxy."""

from __future__ import annotations

import typing as t
from ipaddress import ip_address, ip_network

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explain
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import (
    Choice,
    Endpoint,
    Place,
    choose,
    read_endpoints,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend, of_object
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import (
    HERE,
    NEWEST,
    NODE,
    Captured,
    Thing,
    everything,
)

# Who asks, and where it comes from: a pod, a neighbour on the LAN, the node itself.
SOURCES: t.Final = {
    4: {"pod": ("10.42.0.9", "cni0"), "lan": ("192.168.1.77", "eth0"), "node": ("192.168.1.10", "")},
    6: {"pod": ("fd42::9", "cni0"), "lan": ("fd00::77", "eth0"), "node": ("fd00::10", "")},
}


DUMPS: t.Final = {
    captured: read_dump(captured.text.splitlines())
    for captured in everything()
    if (captured.version, captured.configuration) == (NEWEST, "default")
}
CASES: t.Final = [
    pytest.param(captured, service, frontend, who, id=f"{captured}-{frontend.service}-{frontend.kind}-{number}-{who}")
    for captured in DUMPS
    for service in captured.services
    for number, frontend in enumerate(of_object(service, captured.family, NODE[captured.family]))
    for who in SOURCES[captured.family]
]


def chosen(captured: Captured, service: Thing, port_name: str) -> Choice:
    return choose(read_endpoints(service, captured.slices, port_name, captured.family), HERE)


def expected(captured: Captured, service: Thing, frontend: Frontend, who: str) -> set[str]:
    """The endpoints that this one should reach."""
    choice = chosen(captured, service, frontend.port_name)
    policy = "internalTrafficPolicy" if frontend.kind == "cluster_ip" else "externalTrafficPolicy"
    local = service["spec"].get(policy) == "Local"
    if frontend.kind != "cluster_ip" and who != "lan":
        local = False  # what comes from the cluster itself may go everywhere
    if frontend.kind == "load_balancer" and not may_come(service, SOURCES[captured.family][who][0]):
        return set()
    return {endpoint.text for endpoint in (choice.local if local else choice.cluster)}


def may_come(service: Thing, source: str) -> bool:
    """Whether an address is one of those from which a load balancer may be used."""
    ranges = [ip_network(text) for text in service["spec"].get("loadBalancerSourceRanges") or []]
    return not ranges or any(ip_address(source) in network for network in ranges)


def end(captured: Captured, service: Thing, frontend: Frontend, who: str) -> str:
    """How it ends that nothing is reached."""
    if frontend.kind == "load_balancer" and not may_come(service, SOURCES[captured.family][who][0]):
        return "drop"
    if frontend.kind in ("load_balancer", "external_ip") and who == "node":
        return "none"  # of what the node itself sends kube-proxy refuses only what goes to cluster IPs
    return "drop" if chosen(captured, service, frontend.port_name).exist else "reject"


@pytest.mark.parametrize(("captured", "service", "frontend", "who"), CASES)
def test_what_should_be_reached_is_reached(captured: Captured, service: Thing, frontend: Frontend, who: str) -> None:
    family = captured.family
    source, interface = SOURCES[family][who]
    packet = Packet(frontend.protocol, source, frontend.address, 40000, frontend.port, interface, None)
    way = follow(base_chains(DUMPS[captured]), packet, Node(Facts(frozenset({NODE[family]}))))
    shares = explain.verdict_shares(way)
    reached = explain.endpoints(way, {})
    should = expected(captured, service, frontend, who)
    found = {f"[{e.address}]:{e.port}" if family == 6 else f"{e.address}:{e.port}" for e in reached}
    assert found == should
    if should:
        assert shares == {"dnat": pytest.approx(1)}
        assert [endpoint.share for endpoint in reached] == pytest.approx([1 / len(should)] * len(should))
    else:
        assert list(shares) == [end(captured, service, frontend, who)]


# How kube-proxy chooses


def endpoint(
    address: str, node: str = "node1", zones: tuple[str, ...] = (), nodes: tuple[str, ...] = (), **conditions: bool
) -> Endpoint:
    given = {"ready": True, "serving": True, "terminating": False, **conditions}
    return Endpoint(address, 80, node, **given, zones=zones, nodes=nodes)


SERVICE: t.Final[Thing] = {"metadata": {"namespace": "default", "name": "web"}, "spec": {}}


def test_those_that_end_serve_only_where_there_are_no_others() -> None:
    ready, ending = endpoint("a"), endpoint("b", "node2", ready=False, terminating=True)
    gone = endpoint("c", ready=False, serving=False, terminating=True)
    assert choose([ready, ending, gone], HERE) == Choice((ready,), (ready,), True)
    assert choose([ending, gone], HERE) == Choice((ending,), (), True)
    assert choose([gone], HERE) == Choice((), (), False)


def test_hints_count_if_all_have_some_and_one_is_for_here() -> None:
    place = Place("node1", "zone1")
    near, far = endpoint("a", zones=("zone1",)), endpoint("b", "node2", zones=("zone2",))
    assert choose([near, far], place).cluster == (near,)
    assert choose([near, far], Place("node1", "zone3")).cluster == (near, far)
    assert choose([near, far], Place("node1")).cluster == (near, far)
    assert choose([near, endpoint("c")], place).cluster == (near, endpoint("c"))


def test_hints_for_nodes_come_first() -> None:
    one = endpoint("a", nodes=("node1",), zones=("zone2",))
    other = endpoint("b", nodes=("node2",), zones=("zone1",))
    assert choose([one, other], Place("node1", "zone1")).cluster == (one,)


def test_an_endpoint_that_says_nothing_of_itself_is_ready() -> None:
    metadata = {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}
    thing = {
        "metadata": metadata,
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["a"]}],
    }
    assert read_endpoints(SERVICE, [thing, thing], "", 4) == [Endpoint("a", 8080, "", True, True, False)]
    assert read_endpoints(SERVICE, [thing], "http", 4) == []
    assert read_endpoints(SERVICE, [thing], "", 6) == []
    assert read_endpoints(SERVICE, [{**thing, "ports": [{"name": "", "port": None}]}], "", 4) == []
