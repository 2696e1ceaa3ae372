# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The rules that kube-proxy writes for Services in its mode nftables. Python 3.9, standard
# library only.

from __future__ import annotations

import base64
import hashlib
import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_chains import port_title
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import BaseManner, ServicePort
from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Choice, Endpoint
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

    Lines = dict[str, list[str]]

_LONGEST: t.Final = 240  # characters of a name, without what it begins with
JUMP_TO_MARK: t.Final = "jump mark-for-masquerade"


@dataclass(frozen=True)
class Manner(BaseManner):
    """How kube-proxy writes rules of nftables on a node, which its version and its flags decide.

    pods: as "ip saddr 10.42.0.0/16".
    node: the name of the node in the cluster.
    mark: the bit that what is to be masqueraded has, as nft prints it.
    has_endpoint_chains: whether each endpoint has a chain, as until 1.35. Now it has one only for session affinity.
    names_ports: whether the rules that masquerade what is for a cluster IP name its port, as until 1.33.
    """

    node: str = ""
    mark: str = ""
    has_endpoint_chains: bool = False
    names_ports: bool = False

    @property
    def ip(self) -> str:
        return "ip" if self.family == 4 else "ip6"

    @property
    def marking(self) -> str:
        """What a rule does with packets that are to be masqueraded."""
        return JUMP_TO_MARK if self.has_endpoint_chains else f"meta mark set meta mark | {self.mark}"

    @property
    def off_cluster(self) -> str:
        """What tells packets that are to be masqueraded if they are for a cluster IP, with a blank behind."""
        asked, _blank, value = self.pods.rpartition(" ")
        return "" if self.masquerades_all else f"{asked} != {value} "

    def masquerading(self, cluster_ip: str, protocol: str, port: int) -> list[str]:
        """The rules that mark what is for a cluster IP, in the chain of a Service, where it has one of its own."""
        if not self.has_endpoint_chains or not (self.pods or self.masquerades_all):
            return []
        to_port = f"{protocol} dport {port} " if self.names_ports else ""
        return [f"{self.ip} daddr {cluster_ip} {to_port}{self.off_cluster}{JUMP_TO_MARK}"]


def with_hash(title: str) -> str:
    """The name of a port of a Service, or of an endpoint of it, as chains have it after what tells their kind.

    A title is namespace/name/protocol/port name; that of an endpoint has two underlines and its address/port behind.
    """
    text = title.encode(errors="replace")
    name = f"{base64.b32encode(hashlib.sha256(text).digest()[:5]).decode()}-{title}"
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


@dataclass(frozen=True)
class _Port(ServicePort[Manner]):
    """A port of a Service with all that rules say of it."""

    @property
    def comment(self) -> str:
        return f'comment "{port_title(*self.place, self.name)}"'

    @property
    def title(self) -> str:
        return "/".join([*self.place, self.protocol, self.name])

    def chain(self, kind: str) -> str:
        return f"{kind}-{with_hash(self.title)}"

    def of_endpoint(self, endpoint: Endpoint) -> str:
        return with_hash(f"{self.title}__{endpoint.address.replace(':', '.')}/{endpoint.port}")


def predict(service: Mapping[str, t.Any], port: Mapping[str, t.Any], choice: Choice, manner: Manner) -> Lines:
    """The rules for a port of a Service, by chain, and the elements, by set or map: none if others care for it."""
    own = _Port.of(service, port, choice, manner)
    lines: Lines = {}
    if not own.fronts:
        return lines
    networks = _networks(own)
    for front in own.fronts:
        for name, element in _elements(own, front, limited=bool(networks)):
            lines.setdefault(name, []).append(element)
    masquerading = [
        rule for front in own.inside for rule in manner.masquerading(front.address, front.protocol, front.port)
    ]
    for kind, endpoints, is_inside in (
        ("service", own.cluster, not own.stays_inside),
        ("local", own.local, own.stays_inside),
    ):
        if endpoints:
            lines[own.chain(kind)] = [*(masquerading if is_inside else ()), *_balancing(own, endpoints)]
    if own.outside and choice.exist:
        lines[own.chain("external")] = list(_external(own))
    if networks:
        lines[own.chain("firewall")] = [firewall(manner.ip, networks)]
    for endpoint in dict.fromkeys([*own.cluster, *own.local]):
        if manner.has_endpoint_chains or own.affinity:
            lines[f"endpoint-{own.of_endpoint(endpoint)}"] = list(_endpoint(own, endpoint))
        if not manner.has_endpoint_chains and endpoint.node == manner.node:
            hairpin = f"{endpoint.address} . {endpoint.address} . {own.protocol} . {endpoint.port}"
            lines.setdefault("hairpin-connections", []).append(hairpin)
    return lines


def _elements(own: _Port, front: Frontend, limited: bool) -> Iterator[tuple[str, str]]:
    """What there is of a front end in the sets and maps that Services share: the name of one, and the element."""
    is_inside, is_node_port = front.kind == "cluster_ip", front.kind == "node_port"
    is_local = own.is_local("internalTrafficPolicy" if is_inside else "externalTrafficPolicy")
    address = str(ipaddress.ip_address(front.address))  # an external one is as somebody has written it
    key = f"{own.protocol} . {front.port}" if is_node_port else f"{address} . {own.protocol} . {front.port}"
    some_answer = own.choice.exist and not (is_local and not own.choice.local)
    if is_inside:
        yield "cluster-ips", address
    # What pods and the node send to an outer address finds its way even if nobody answers others here.
    if some_answer or (own.choice.exist and not is_inside):
        chain = own.chain("external" if not is_inside else "local" if is_local else "service")
        yield "service-nodeports" if is_node_port else "service-ips", f"{key} : goto {chain}"
    if not some_answer:
        verdict = "drop" if own.choice.exist else "goto reject-chain"
        yield f"no-endpoint-{'nodeports' if is_node_port else 'services'}", f"{key} {own.comment} : {verdict}"
    if limited and front.kind == "load_balancer":
        yield "firewall-ips", f"{key} : goto {own.chain('firewall')}"


def _networks(own: _Port) -> list[str]:
    """The networks that may use the load balancer; none if all may, or there is none."""
    if not own.balancers or not own.sources:
        return []
    return [*map(str, own.sources), *(front.address for front in own.balancers if own.is_for_node)]


def firewall(ip: str, networks: Iterable[str]) -> str:
    """The rule that drops what is from none of some networks, or ranges of addresses, however these are written."""
    merged = ipaddress.collapse_addresses(network for text in networks for network in _as_networks(text))
    return f"{ip} saddr != {{ {', '.join(map(str, merged))} }} drop"


def _as_networks(text: str) -> Iterator[ipaddress.IPv4Network]:
    """A network, or those that a range is made of. That they are of IPv4 is for the type checker: all are of one."""
    first, dash, last = text.partition("-")
    ends = [t.cast("ipaddress.IPv4Address", ipaddress.ip_address(end)) for end in (first, last) if dash]
    if ends:
        yield from ipaddress.summarize_address_range(*ends)
    else:
        yield t.cast("ipaddress.IPv4Network", ipaddress.ip_network(text))


def sharing(protocol: str, targets: Sequence[str], manner: Manner) -> str:
    """The rule that shares out packets to endpoints: to their addresses, or to their chains."""
    entries = ", ".join(f"{number} : {target}" for number, target in enumerate(targets))
    if targets[0].startswith("goto "):
        return f"numgen random mod {len(targets)} vmap {{ {entries} }}"
    return f"meta l4proto {protocol} dnat {manner.ip} to numgen random mod {len(targets)} map {{ {entries} }}"


def _balancing(own: _Port, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.text)
    if not own.affinity and not own.manner.has_endpoint_chains:
        yield sharing(own.protocol, [f"{one.address} . {one.port}" for one in ordered], own.manner)
        return
    names = [own.of_endpoint(endpoint) for endpoint in ordered]
    for name in names if own.affinity else ():
        yield f"{own.manner.ip} saddr @affinity-{name} goto endpoint-{name}"
    yield sharing(own.protocol, [f"goto endpoint-{name}" for name in names], own.manner)


def _external(own: _Port) -> Iterator[str]:
    to_all, marking = f"goto {own.chain('service')}", own.manner.marking
    if not own.stays_outside:
        yield marking if own.manner.has_endpoint_chains else f'{marking} comment "masquerade"'
        yield to_all
        return
    if own.manner.pods:
        yield f'{own.manner.pods} {to_all} comment "short-circuit pod traffic"'
    yield f'fib saddr type local {marking} comment "masquerade local traffic"'
    yield f'fib saddr type local {to_all} comment "short-circuit local traffic"'
    if own.choice.local:
        yield f"goto {own.chain('local')}"


def _endpoint(own: _Port, endpoint: Endpoint) -> Iterator[str]:
    if own.manner.has_endpoint_chains:
        yield f"{own.manner.ip} saddr {endpoint.address} {JUMP_TO_MARK}"
    if own.affinity:
        yield f"update @affinity-{own.of_endpoint(endpoint)} {{ {own.manner.ip} saddr }}"
    yield f"meta l4proto {own.protocol} dnat to {host_port(endpoint.address, endpoint.port)}"
