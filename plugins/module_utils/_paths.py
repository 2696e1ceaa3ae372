# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The ways of packets to front ends of Services on a node. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explanation
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import interface_to
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Packet

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import AnyRule
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import Route
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Ruleset
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import Surroundings
    from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import BaseChain, Journey
    from ansible_collections.homecloud.k3s.plugins.module_utils._proxiers import Proxier

    Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# Addresses of which nobody is anywhere: those for documentation (RFC 5737, RFC 3849).
_OUTSIDE: t.Final = {4: "203.0.113.1", 6: "2001:db8::1"}
_A_PORT: t.Final = 40000  # a client's own, of which no rule of kube-proxy asks
# How the interfaces are called behind which a node has pods, with k3s and with other networks of pods.
_POD_INTERFACES: t.Final = ("cni", "cbr", "flannel", "cali", "veth", "weave", "lxc")


@dataclass(frozen=True)
class View:
    """What is known of a node by one family of addresses. pods are the networks of the cluster's pods."""

    ruleset: Ruleset
    proxier: Proxier
    around: Surroundings
    pods: tuple[Network, ...] = ()

    @cached_property
    def chains(self) -> list[BaseChain[AnyRule]]:
        return base_chains(self.ruleset)

    def follow(self, packet: Packet) -> Journey[AnyRule]:
        """The way of a packet through all rules of the node."""
        return follow(self.chains, packet, self.around.node)


@dataclass(frozen=True)
class Source:
    """Who asks: a pod, the node itself, or someone outside.

    interface is where it arrives; empty for the node, and if it is not known.
    """

    address: str
    kind: str
    interface: str


@dataclass(frozen=True)
class Path:
    """The way from a source to a front end, see the module kube_path_info."""

    frontend: Frontend
    source: Source
    verdict: str
    verdict_shares: dict[str, float]
    masquerade: str
    reason: str
    endpoints: list[explanation.Endpoint]
    steps: list[explanation.Step]
    table: list[str]


def networks(texts: Iterable[str], family: int) -> list[Network]:
    """Those of a family. Raises ValueError for what is none."""
    return [network for network in map(ipaddress.ip_network, texts) if network.version == family]


def pod_networks(detector: str, around: Surroundings) -> tuple[Network, ...]:
    """The networks of pods, by the way in which kube-proxy tells pods, as "-s 10.42.0.0/16", and by the routes."""
    option, _blank, value = detector.partition(" ")
    try:
        told = networks([value], around.family) if option == "-s" else []
    except ValueError:  # as in rules that somebody has edited
        told = []
    return (*told, *(route.network for route in around.routes if _is_to_pods(route, detector)))


def _is_to_pods(route: Route, detector: str) -> bool:
    known = route.interface.startswith(_POD_INTERFACES) or detector == f"-i {route.interface}"
    return known and route.network.prefixlen > 0


def source_of(address: str, interface: str, view: View) -> Source:
    """Who has an address, on this node or elsewhere; by default someone outside."""
    address = str(ipaddress.ip_address(address)) if address else _OUTSIDE[view.around.family]
    node = view.around.node
    if interface_to(address, (), node.facts) == "lo":
        return Source(address, "node", "")
    is_pod = any(ipaddress.ip_address(address) in network for network in view.pods)
    arrives = interface or interface_to(address, node.routes, node.facts) or ""
    return Source(address, "pod" if is_pod else "external", arrives)


def packet_to(frontend: Frontend, source: Source) -> Packet:
    # Of the node itself is known that it arrives nowhere, of others where only if there are routes.
    interface = source.interface if source.interface or source.kind == "node" else None
    ends = (source.address, frontend.address, _A_PORT, frontend.port)
    return Packet(frontend.protocol, *ends, in_interface=interface)


def path_to(frontend: Frontend, source: Source, view: View) -> tuple[Path, Journey[AnyRule]]:
    """The way of the first packet of a connection, explained, and as it is."""
    packet = packet_to(frontend, source)
    journey = view.follow(packet)
    shares = explanation.verdict_shares(journey)
    steps = explanation.steps(journey)
    path = Path(
        frontend=frontend,
        source=source,
        verdict=explanation.verdict(shares),
        verdict_shares=shares,
        masquerade=explanation.masquerade(journey),
        reason=explanation.reason(packet, journey, shares),
        endpoints=explanation.endpoints(journey, view.around.by_interface),
        steps=steps,
        table=explanation.table_lines(steps),
    )
    return path, journey


def unnamed(address: str, port: int, protocol: str, view: View, source: Source) -> Frontend:
    """A front end that is no Service's: one of a port of a node that leads to a pod, or any other."""
    asked = Frontend("other", address, port, protocol, "", "")
    journey = view.follow(packet_to(asked, source))
    hits = [hit.rule for stage in journey.stages for hit in stage.outcome.hits]
    # The plugin "portmap" of CNI makes a chain of such a name for each pod with host ports.
    is_host_port = any(rule.chain.startswith("CNI-DN-") for rule in hits)
    return Frontend("host_port", address, port, protocol, "", "") if is_host_port else asked
