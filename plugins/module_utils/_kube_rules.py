# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The rules that kube-proxy writes for a port of a Service, as iptables-save prints them.
# Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_chains import endpoint_hash, port_title, service_hash
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import BaseManner, ServicePort

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Choice, Endpoint
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

    Lines = dict[tuple[str, str], list[str]]


@dataclass(frozen=True)
class Manner(BaseManner):
    """How kube-proxy writes rules of iptables on a node, which its flags and the kernel decide.

    pods: as "-s 10.42.0.0/16".
    counts_localhost: whether node ports of 127.0.0.1 have a rule of their own, which counts.
    is_large: whether there are so many endpoints that rules for them have no comments.
    """

    counts_localhost: bool = False
    is_large: bool = False

    @property
    def full_mask(self) -> str:
        return "255.255.255.255" if self.family == 4 else "ffff:" * 7 + "ffff"

    def host(self, address: str) -> str:
        return f"{ipaddress.ip_address(address)}/{32 if self.family == 4 else 128}"


@dataclass(frozen=True)
class _Port(ServicePort[Manner]):
    """A port of a Service with all that rules say of it."""

    @property
    def title(self) -> str:
        return port_title(*self.place, self.name)

    def chain(self, prefix: str) -> str:
        return f"KUBE-{prefix}-" + service_hash(*self.place, self.name, self.protocol)

    def endpoint_chain(self, endpoint: Endpoint) -> str:
        return "KUBE-SEP-" + endpoint_hash(*self.place, self.name, self.protocol, endpoint.text)

    @property
    def is_limited(self) -> bool:
        """Whether only some networks may use its load balancer."""
        return bool(self.spec.get("loadBalancerSourceRanges"))

    def to(self, frontend: Frontend, comment: str) -> str:
        """The matches of a packet to a front end."""
        destination = "" if frontend.kind == "node_port" else f"-d {self.manner.host(frontend.address)} "
        return f"{destination}-p {self.protocol} {_comment(comment)} -m {self.protocol} --dport {frontend.port}"

    def remark(self, text: str) -> str:
        """The comment of a rule that there is for each endpoint, and what parts it from the rest."""
        return "" if self.manner.is_large else f"{_comment(text)} "


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def predict(service: Mapping[str, t.Any], port: Mapping[str, t.Any], choice: Choice, manner: Manner) -> Lines:
    """The rules for a port of a Service, by table and chain, without "-A CHAIN": none if others care for it.

    All of its own chains, and its own ones of those that Services share, in which they have no order.
    """
    own = _Port.of(service, port, choice, manner)
    lines: Lines = {}
    if not own.fronts:
        return lines

    def add(table: str, chain: str, texts: Iterable[str]) -> None:
        for text in texts:
            lines.setdefault((table, chain), []).append(text)

    for front in own.fronts:
        for table, chain, text in _front(own, front):
            add(table, chain, [text])
    for prefix, endpoints, is_inside in (
        ("SVC", own.cluster, not own.stays_inside),
        ("SVL", own.local, own.stays_inside),
    ):
        if endpoints:
            masquerading = _masquerading(own) if is_inside else ()
            add("nat", own.chain(prefix), [*masquerading, *_balancing(own, endpoints)])
    if own.outside and choice.exist:
        add("nat", own.chain("EXT"), _external(own))
    if choice.exist and own.is_limited and own.balancers:
        add("nat", own.chain("FW"), _firewall(own))
    for endpoint in dict.fromkeys([*own.cluster, *own.local]):
        add("nat", own.endpoint_chain(endpoint), _endpoint(own, endpoint))
    if own.stays_outside and own.spec.get("healthCheckNodePort"):
        asked = f"-m tcp --dport {own.spec['healthCheckNodePort']}"
        health = f"-p tcp {_comment(f'{own.title} health check node port')} {asked} -j ACCEPT"
        add("filter", "KUBE-NODEPORTS", [health])
    return lines


def _front(own: _Port, front: Frontend) -> Iterator[tuple[str, str, str]]:
    """The rules of a front end in the chains that Services share: table, chain, text."""
    inside = front.kind == "cluster_ip"
    chain = "KUBE-SERVICES" if inside else "KUBE-EXTERNAL-SERVICES"
    local = own.is_local("internalTrafficPolicy" if inside else "externalTrafficPolicy")
    if not own.choice.exist:
        yield "filter", chain, _nowhere(own, front, "has no endpoints")
        return
    if local and not own.choice.local:
        yield "filter", chain, _nowhere(own, front, "has no local endpoints")
        if inside:
            return
    if inside:
        target = own.chain("SVL" if local else "SVC")
        yield "nat", "KUBE-SERVICES", f"{own.to(front, own.title + ' cluster IP')} -j {target}"
    elif front.kind == "node_port":
        plain = own.to(front, own.title)
        if own.manner.counts_localhost:
            counting = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts"
            yield "nat", "KUBE-NODEPORTS", f"-d 127.0.0.0/8 {plain} {counting} -j {own.chain('EXT')}"
        yield "nat", "KUBE-NODEPORTS", f"{plain} -j {own.chain('EXT')}"
    else:
        about = "external IP" if front.kind == "external_ip" else "loadbalancer IP"
        limited = front.kind == "load_balancer" and own.is_limited
        yield (
            "nat",
            "KUBE-SERVICES",
            f"{own.to(front, f'{own.title} {about}')} -j {own.chain('FW' if limited else 'EXT')}",
        )
        if limited:
            not_accepted = f"{own.title} traffic not accepted by {own.chain('FW')}"
            yield "filter", "KUBE-PROXY-FIREWALL", f"{own.to(front, not_accepted)} -j DROP"


def _nowhere(own: _Port, front: Frontend, why: str) -> str:
    reject = "icmp-port-unreachable" if own.manner.family == 4 else "icmp6-port-unreachable"
    end = f"REJECT --reject-with {reject}" if why == "has no endpoints" else "DROP"
    text = own.to(front, f"{own.title} {why}")
    if front.kind == "node_port":
        text = text.replace(f" -m {own.protocol} --dport", f" -m addrtype --dst-type LOCAL -m {own.protocol} --dport")
    return f"{text} -j {end}"


def _masquerading(own: _Port) -> Iterator[str]:
    """What is not of a pod, and comes for the cluster IP, leaves with the address of the node."""
    pods, everyone = own.manner.pods, own.manner.masquerades_all
    for front in own.inside if pods or everyone else ():
        text = own.to(front, own.title + " cluster IP")
        if not everyone:
            # The interface that packets come by is printed after their destination, their source before it.
            text = text.replace(" -p ", f" ! {pods} -p ", 1) if pods.startswith("-i") else f"! {pods} {text}"
        yield f"{text} -j KUBE-MARK-MASQ"


def _balancing(own: _Port, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.text)
    leading = [(own.remark(f"{own.title} -> {endpoint.text}"), own.endpoint_chain(endpoint)) for endpoint in ordered]
    for comment, chain in leading if own.affinity else ():
        recent = (
            f"-m recent --rcheck --seconds {own.affinity} --reap --name {chain} --mask {own.manner.full_mask} --rsource"
        )
        yield f"{comment}{recent} -j {chain}"
    for left, (comment, chain) in zip(range(len(leading), 0, -1), leading):
        chance = f"-m statistic --mode random --probability {printed(1 / left)} " if left > 1 else ""
        yield f"{comment}{chance}-j {chain}"


def printed(probability: float) -> str:
    """A probability as iptables-save prints it: kube-proxy writes ten digits, the kernel keeps 31 bits of them."""
    return f"{round(float(f'{probability:.10f}') * 2**31) / 2**31:.11f}"


def _external(own: _Port) -> Iterator[str]:
    title = f"{own.title} external destinations"
    if not own.stays_outside:
        yield f"{_comment(f'masquerade traffic for {title}')} -j KUBE-MARK-MASQ"
        yield f"-j {own.chain('SVC')}"
        return
    if own.manner.pods:
        yield f"{own.manner.pods} {_comment(f'pod traffic for {title}')} -j {own.chain('SVC')}"
    yield f"{_comment(f'masquerade LOCAL traffic for {title}')} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ"
    yield f"{_comment(f'route LOCAL traffic for {title}')} -m addrtype --src-type LOCAL -j {own.chain('SVC')}"
    if own.choice.local:
        yield f"-j {own.chain('SVL')}"


def _firewall(own: _Port) -> Iterator[str]:
    end = f"{_comment(f'{own.title} loadbalancer IP')} -j {own.chain('EXT')}"
    for network in own.sources:
        yield f"-s {network} {end}"
    for front in own.balancers if own.is_for_node else ():
        yield f"-s {own.manner.host(front.address)} {end}"
    yield _comment(f"other traffic to {own.title} will be dropped by KUBE-PROXY-FIREWALL")


def _endpoint(own: _Port, endpoint: Endpoint) -> Iterator[str]:
    comment = own.remark(own.title)
    chain = own.endpoint_chain(endpoint)
    recent = f"-m recent --set --name {chain} --mask {own.manner.full_mask} --rsource " if own.affinity else ""
    yield f"-s {own.manner.host(endpoint.address)} {comment}-j KUBE-MARK-MASQ"
    yield f"-p {own.protocol} {comment}{recent}-m {own.protocol} -j DNAT --to-destination {endpoint.text}"
