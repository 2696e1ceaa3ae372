# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services with their endpoints: each kind of what kube-proxy makes rules of, and of what it makes none."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from api import Thing
from network import LOCAL, LOCAL_NETWORK, NODE_ADDRESS, REMOTE, REMOTE_NETWORK

NODE: t.Final[Thing] = {
    "metadata": {"name": "node1", "labels": {"topology.kubernetes.io/zone": "zone1"}},
    "status": {"addresses": [{"type": "InternalIP", "address": address} for address in NODE_ADDRESS.values()]},
}
# The networks of cluster addresses. kube-proxy asks for them since 1.33, in the mode nftables.
CIDRS: t.Final[Thing] = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.43.0.0/16", "fd43::/112"]}}
_ASKED_FOR_CIDRS: t.Final = 33
# What endpoints listen on.
PORTS: t.Final = (8080, 8443, 6443)


class Conditions(t.NamedTuple):
    """Those of an endpoint."""

    ready: bool
    serving: bool
    terminating: bool


READY: t.Final = Conditions(ready=True, serving=True, terminating=False)
NOT_READY: t.Final = Conditions(ready=False, serving=False, terminating=False)
ENDING: t.Final = Conditions(ready=False, serving=True, terminating=True)
GONE: t.Final = Conditions(ready=False, serving=False, terminating=True)
# With publishNotReadyAddresses all are told to be ready.
PUBLISHED: t.Final = Conditions(ready=True, serving=False, terminating=False)
PUBLISHED_ENDING: t.Final = Conditions(ready=True, serving=True, terminating=True)


@dataclass(frozen=True)
class End:
    """An endpoint, by the last part of its addresses; "node" is the node itself."""

    last: str
    is_local: bool = True
    conditions: Conditions = READY
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def addresses(self, family: int) -> str:
        if self.last == "node":
            return NODE_ADDRESS[family]
        return (LOCAL_NETWORK if self.is_local else REMOTE_NETWORK)[family] + self.last

    def thing(self, family: int) -> Thing:
        hints = {
            **({"forZones": [{"name": zone} for zone in self.zones]} if self.zones else {}),
            **({"forNodes": [{"name": node} for node in self.nodes]} if self.nodes else {}),
        }
        return {
            "addresses": [self.addresses(family)],
            "nodeName": "node1" if self.is_local else "node2",
            "conditions": self.conditions._asdict(),
            **({"hints": hints} if hints else {}),
        }


def here(last: str, conditions: Conditions = READY) -> End:
    return End(last, conditions=conditions)


def there(last: str, conditions: Conditions = READY) -> End:
    return End(last, False, conditions)


HTTP: t.Final = {"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}
THREE: t.Final = (here("2"), here("10"), there("3"))
AFFINITY: t.Final = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}
LOCAL_INSIDE: t.Final = {"internalTrafficPolicy": "Local"}
LOCAL_OUTSIDE: t.Final = {"externalTrafficPolicy": "Local"}
# The first has the node's own address in it.
RANGES: t.Final = ["192.168.1.0/24", "203.0.113.0/25", "fd00::/64", "2001:db8::/33"]
OTHER_RANGES: t.Final = ["203.0.113.0/25", "10.42.1.0/24", "2001:db8::/33", "fd42:0:0:1::/64"]


@dataclass(frozen=True)
class Case:
    """A Service. vips are the last parts of its load balancer's addresses, external those of its external ones."""

    name: str
    ends: tuple[End, ...] = THREE
    ports: tuple[Thing, ...] = (HTTP,)
    node_port: int = 0
    vips: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    spec: Mapping[str, t.Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ingress: tuple[Thing, ...] = ()
    namespace: str = "default"
    since: int = 0  # the first minor version of Kubernetes that has such

    def service(self, number: int) -> Thing:
        """The Service with a number, of which its addresses are made."""
        addresses = [f"10.43.0.{number}", f"fd43::{number}"]
        kind = "LoadBalancer" if self.vips or self.ingress else "NodePort" if self.node_port else "ClusterIP"
        ports = [
            {**port, **({"nodePort": self.node_port + index} if self.node_port else {})}
            for index, port in enumerate(self.ports)
        ]
        spec = {
            "type": kind,
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": ports,
        }
        if kind != "ClusterIP" or self.external:
            spec["externalTrafficPolicy"] = "Cluster"
        if self.external:
            spec["externalIPs"] = _on_the_lan(self.external)
        ingress = [{"ip": address, "ipMode": "VIP"} for address in _on_the_lan(self.vips)]
        status = {"loadBalancer": {"ingress": [*ingress, *self.ingress]}} if kind == "LoadBalancer" else {}
        return {"metadata": self._metadata(self.name, self.labels), "spec": {**spec, **self.spec}, "status": status}

    def slices(self) -> list[Thing]:
        """One for each family."""
        ports = [
            {"name": port.get("name", ""), "protocol": port["protocol"], "port": port["targetPort"]}
            for port in self.ports
        ]
        own = {"kubernetes.io/service-name": self.name}
        if self.spec.get("clusterIP") == "None":
            own["service.kubernetes.io/headless"] = ""
        return [
            {
                "metadata": self._metadata(f"{self.name}-{family}", own),
                "addressType": f"IPv{family}",
                "ports": ports,
                "endpoints": [end.thing(family) for end in self.ends],
            }
            for family in (4, 6)
        ]

    def _metadata(self, name: str, labels: Mapping[str, str]) -> Thing:
        return {"name": name, "namespace": self.namespace, **({"labels": dict(labels)} if labels else {})}


def _on_the_lan(lasts: Iterable[str]) -> list[str]:
    return [prefix + last for prefix in ("192.168.1.", "fd00::") for last in lasts]


def _port(name: str, protocol: str, port: int, target: int = 8080) -> Thing:
    return {"name": name, "protocol": protocol, "port": port, "targetPort": target}


CASES: t.Final = (
    # by endpoints
    Case("web"),
    Case("unnamed", (here("2"),), ({"protocol": "TCP", "port": 80, "targetPort": 8080},)),
    Case("two", (here("2"), there("3"))),
    Case("seven", tuple(here(last) for last in LOCAL) + tuple(there(last) for last in REMOTE)),
    Case("remote", (there("3"),)),
    Case("none", ()),
    Case("not-ready", (here("2", NOT_READY),)),
    Case("one-not-ready", (here("2", NOT_READY), here("10"), there("3"))),
    Case("published", (here("2", PUBLISHED), there("3", PUBLISHED_ENDING))),
    Case("ending", (here("2", ENDING), there("3"))),
    Case("all-ending", (here("2", ENDING), here("3", GONE), there("3", ENDING))),
    Case("all-gone", (here("2", GONE), there("3", GONE))),
    Case("zones", (End("2", zones=("zone1",)), End("10", zones=("zone2",)), End("3", False, zones=("zone1",)))),
    Case("zones-elsewhere", (End("2", zones=("zone2",)), End("3", False, zones=("zone2",)))),
    Case("zones-missing", (End("2", zones=("zone1",)), there("3"))),
    Case("nodes", (End("2", nodes=("node1",), zones=("zone2",)), End("3", False, nodes=("node2",), zones=("zone2",))),
         since=35),
    # as the API server's own one
    Case("kubernetes", (here("node"),), (_port("https", "TCP", 443, 6443),)),
    # by ports
    Case("dns", (here("2"), there("3")), (_port("dns", "UDP", 53), _port("dns-tcp", "TCP", 53))),
    Case("ports", THREE, (HTTP, _port("https", "TCP", 443, 8443)), node_port=30100),
    Case("sctp", (here("2"),), (_port("s1ap", "SCTP", 36412),), node_port=30102),
    Case("web", (here("3"), there("4")), namespace="shop"),
    # by who stays where
    Case("affinity", (here("2"), here("10")), spec=AFFINITY),
    Case("affinity-minute", THREE, node_port=30103, spec={
        "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}),
    Case("inside", THREE, spec=LOCAL_INSIDE),
    Case("inside-none", (there("3"),), spec=LOCAL_INSIDE),
    Case("inside-ending", (here("2", ENDING), there("3")), spec=LOCAL_INSIDE),
    Case("inside-node-port", THREE, node_port=30104, spec=LOCAL_INSIDE),
    Case("both-sides", THREE, node_port=30105, spec={**LOCAL_INSIDE, **LOCAL_OUTSIDE, **AFFINITY}),
    # by the way in
    Case("node-port", THREE, node_port=30106),
    Case("node-port-udp", (here("2"),), (_port("dns", "UDP", 53),), node_port=30106),
    Case("node-port-none", (), node_port=30107),
    Case("outside", THREE, node_port=30108, spec=LOCAL_OUTSIDE),
    Case("outside-none", (there("3"),), node_port=30109, spec=LOCAL_OUTSIDE),
    Case("outside-ending", (here("2", ENDING), there("3")), node_port=30110, spec=LOCAL_OUTSIDE),
    Case("outside-zones", (End("2", zones=("zone2",)), End("3", False, zones=("zone1",))), node_port=30111,
         spec=LOCAL_OUTSIDE),
    Case("external", THREE, external=("60",)),
    Case("external-local", THREE, external=("61", "62"), spec=LOCAL_OUTSIDE),
    Case("external-none", (), external=("63",)),
    Case("balancer", THREE, node_port=30112, vips=("50",)),
    Case("balancer-local", THREE, node_port=30113, vips=("51", "52"),
         spec={**LOCAL_OUTSIDE, "healthCheckNodePort": 30999}),
    Case("balancer-local-none", (there("3"),), node_port=30114, vips=("53",),
         spec={**LOCAL_OUTSIDE, "healthCheckNodePort": 30998}),
    Case("balancer-none", (), node_port=30115, vips=("54",)),
    Case("ranges", THREE, node_port=30116, vips=("55",), spec={**AFFINITY, "loadBalancerSourceRanges": RANGES}),
    Case("ranges-others", THREE, node_port=30117, vips=("56", "57"), spec={"loadBalancerSourceRanges": OTHER_RANGES}),
    Case("ranges-local", (there("3"),), node_port=30118, vips=("58",),
         spec={**LOCAL_OUTSIDE, "loadBalancerSourceRanges": RANGES, "healthCheckNodePort": 30997}),
    # as k3s' own load balancer has it: the node's address
    Case("balancer-node", THREE, ({**HTTP, "port": 8888},), node_port=30119, vips=("10",)),
    Case("no-node-port", THREE, vips=("59",), spec={"allocateLoadBalancerNodePorts": False}),
    Case("proxied", THREE, node_port=30120, ingress=({"ip": "192.168.1.64", "ipMode": "Proxy"},)),
    Case("named", THREE, node_port=30121, ingress=({"hostname": "lb.example.org"},)),
    # what has no rules
    Case("headless", THREE, spec={"clusterIP": "None", "clusterIPs": ["None"]}),
    Case("external-name", (), spec={
        "type": "ExternalName", "externalName": "example.org", "clusterIP": "", "clusterIPs": [], "ports": []}),
    Case("others", THREE, labels={"service.kubernetes.io/service-proxy-name": "another"}),
)  # fmt: skip

# So many endpoints that kube-proxy saves on comments.
MANY: t.Final = 1200


def objects(version: str, cases: Sequence[Case] = CASES) -> dict[str, list[Thing]]:
    """What the API of a version of Kubernetes has."""
    minor = int(version.split(".")[1])
    known = {number: case for number, case in enumerate(cases, 10) if minor >= case.since}
    return {
        "nodes": [NODE],
        "cidrs": [CIDRS] if minor >= _ASKED_FOR_CIDRS else [],
        "services": [case.service(number) for number, case in known.items()],
        "slices": [thing for case in known.values() for thing in case.slices()],
    }


def many_objects(version: str) -> dict[str, list[Thing]]:
    """What the API of a large cluster has: in a slice there may be a thousand endpoints at most."""
    large = Case("many", ())
    found = objects(version, [large, Case("node-port", THREE, node_port=30106)])
    for family, network in ((4, "10.42.{}.{}"), (6, "fd42:0:0:{:x}::{:x}")):
        (own,) = (s for s in found["slices"] if s["metadata"]["name"] == f"many-{family}")
        ends = [
            {"addresses": [network.format(2 + number // 200, 1 + number % 200)], "nodeName": "node3"}
            for number in range(MANY)
        ]
        found["slices"].remove(own)
        found["slices"] += [
            {**own, "metadata": {**own["metadata"], "name": f"many-{family}-{at}"}, "endpoints": ends[at : at + 1000]}
            for at in range(0, MANY, 1000)
        ]
    return found


# How kube-proxy may be configured, by the names of the captured rules.
PODS: t.Final = "10.42.0.0/16,fd42::/56"
CONFIGURATIONS: t.Final[dict[str, Thing]] = {
    "default": {"clusterCIDR": PODS},
    "bridge": {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "cni0"}},
    "prefix": {"detectLocalMode": "InterfaceNamePrefix", "detectLocal": {"interfaceNamePrefix": "cni"}},
    "masquerade-all": {"clusterCIDR": PODS, "iptables": {"masqueradeAll": True}},
    "masquerade-all-no-pods": {"iptables": {"masqueradeAll": True}},
    "no-pods": {},
    "other-bit": {"clusterCIDR": PODS, "iptables": {"masqueradeBit": 15}},
    "no-localhost": {"clusterCIDR": PODS, "iptables": {"localhostNodePorts": False}},
    "node-port-addresses": {"clusterCIDR": PODS, "nodePortAddresses": ["192.168.1.0/24", "127.0.0.0/8", "fd00::/64"]},
    "liberal": {"clusterCIDR": PODS, "conntrack": {"maxPerCore": 0, "min": 0, "tcpBeLiberal": True}},
}
# The same for the mode nftables. Without any word about it, node ports are served at the node's main address only.
NFT_CONFIGURATIONS: t.Final[dict[str, Thing]] = {
    **{name: CONFIGURATIONS[name] for name in ("default", "bridge", "prefix", "no-pods", "node-port-addresses")},
    "every-address": {"clusterCIDR": PODS, "nodePortAddresses": ["0.0.0.0/0", "::/0"]},
    "masquerade-all": {"clusterCIDR": PODS, "nftables": {"masqueradeAll": True}},
    "other-bit": {"clusterCIDR": PODS, "nftables": {"masqueradeBit": 15}},
}
