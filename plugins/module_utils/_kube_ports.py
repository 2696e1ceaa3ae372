# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The ports of Services, with all that kube-proxy makes rules of, in whatever mode it is.
# Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from collections import defaultdict
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import choose, read_endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import of_object

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Choice, Endpoint, Place
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

    Thing = Mapping[str, t.Any]
    Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_AFFINITY: t.Final = 10800  # seconds, unless a Service says another number
PortT = t.TypeVar("PortT", bound="ServicePort[t.Any]")


@dataclass(frozen=True)
class BaseManner:
    """How kube-proxy writes rules on a node, in any mode.

    pods: what tells packets of pods of the cluster; empty if it does not know them.
    masquerades_all: whether what comes for a cluster IP is masqueraded wherever it comes from.
    """

    family: int
    node_address: str
    pods: str
    masquerades_all: bool = False


MannerT = t.TypeVar("MannerT", bound=BaseManner)


@dataclass(frozen=True)
class ServicePort(t.Generic[MannerT]):
    """A port of a Service: where it is reached on a node, and the endpoints that are chosen for it there."""

    service: Thing
    name: str
    protocol: str
    fronts: Sequence[Frontend]
    choice: Choice
    manner: MannerT

    @classmethod
    def of(cls: type[PortT], service: Thing, port: Thing, choice: Choice, manner: BaseManner) -> PortT:
        """It has no front end if kube-proxy does not care for the Service."""
        one_port = {**service, "spec": {**service["spec"], "ports": [port]}}
        fronts = of_object(one_port, manner.family, manner.node_address)
        return cls(service, port.get("name") or "", port.get("protocol", "TCP").lower(), fronts, choice, manner)

    @property
    def spec(self) -> Thing:
        return t.cast("Thing", self.service["spec"])

    @property
    def place(self) -> tuple[str, str]:
        return self.service["metadata"]["namespace"], self.service["metadata"]["name"]

    @property
    def inside(self) -> list[Frontend]:
        return [front for front in self.fronts if front.kind == "cluster_ip"]

    @property
    def outside(self) -> list[Frontend]:
        return [front for front in self.fronts if front.kind != "cluster_ip"]

    @property
    def stays_inside(self) -> bool:
        """Whether what is for the cluster IP is for pods of this node only."""
        return self.is_local("internalTrafficPolicy")

    @property
    def stays_outside(self) -> bool:
        """The same of what is for the other front ends, if there are any."""
        return bool(self.outside) and self.is_local("externalTrafficPolicy")

    def is_local(self, policy: str) -> bool:
        return self.spec.get(policy) == "Local"

    @property
    def cluster(self) -> Sequence[Endpoint]:
        """The endpoints of what may go to pods of all nodes, if anything may."""
        return self.choice.cluster if self.outside or not self.stays_inside else ()

    @property
    def local(self) -> Sequence[Endpoint]:
        """Those of what stays on this node, if anything does."""
        return self.choice.local if self.stays_inside or self.stays_outside else ()

    @property
    def affinity(self) -> int:
        """For how many seconds a client stays with an endpoint; 0 is not at all."""
        if self.spec.get("sessionAffinity") != "ClientIP":
            return 0
        config = (self.spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        return int(config.get("timeoutSeconds") or _AFFINITY)

    @property
    def balancers(self) -> list[Frontend]:
        return [front for front in self.fronts if front.kind == "load_balancer"]

    @property
    def sources(self) -> list[Network]:
        """The networks of this family that alone may use its load balancer; all may, if there are none."""
        ranges = self.spec.get("loadBalancerSourceRanges") or []
        networks = (ipaddress.ip_network(text.strip(), strict=False) for text in ranges)
        return [network for network in networks if network.version == self.manner.family]

    @property
    def is_for_node(self) -> bool:
        """Whether the node is in these: its own requests come from the address of the load balancer, which it has."""
        return any(ipaddress.ip_address(self.manner.node_address) in network for network in self.sources)


def name_of(service: Thing) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def chosen(
    services: Iterable[Thing], slices: Iterable[Thing], place: Place, family: int
) -> Iterator[tuple[Thing, Thing, Choice]]:
    """The Services with each of their ports, and the endpoints that kube-proxy chooses for it at a place."""
    of_service = defaultdict(list)
    for one in slices:
        name = (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        of_service[f"{one['metadata']['namespace']}/{name}"].append(one)
    for service in services:
        own = of_service[name_of(service)]
        for port in service["spec"].get("ports") or []:
            yield service, port, choose(read_endpoints(service, own, port.get("name") or "", family), place)
