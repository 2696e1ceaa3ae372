# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What a Service has, and what it still lacks before it serves.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from enum import Enum, auto

from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import (
    addresses_of,
    annotation,
    announcers,
    ingress,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels, place

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

_SERVICE_NAME: t.Final = "kubernetes.io/service-name"


class Lack(Enum):
    """What a Service waits for."""

    ENDPOINTS = auto()  # fewer are ready than asked
    ADDRESS = auto()  # it has not the address that it asks for
    ANNOUNCEMENT = auto()  # no node answers on the LAN for the address that MetalLB has given
    RELEASE = auto()  # it has an address of a load balancer that it does not ask for any more


@dataclass(frozen=True)
class Endpoint:
    """One port of one pod, or of whatever else an EndpointSlice names. node and pod are empty where it names none."""

    address: str
    port: int | None
    node: str
    pod: str
    ready: bool


@dataclass(frozen=True)
class NodePort:
    """The port of all nodes that leads to a port of a Service."""

    name: str
    port: int
    protocol: str
    node_port: int


def slices(service: KubernetesObject, snapshot: Snapshot) -> list[KubernetesObject]:
    """The EndpointSlices of a Service."""
    name = service["metadata"]["name"]
    return [thing for thing in snapshot.beside(service, "EndpointSlice") if labels(thing).get(_SERVICE_NAME) == name]


def endpoints(service: KubernetesObject, snapshot: Snapshot) -> list[Endpoint]:
    """The endpoints of all ports of a Service."""
    return [endpoint for _port, endpoint in _endpoints(service, snapshot)]


def _endpoints(service: KubernetesObject, snapshot: Snapshot) -> Iterator[tuple[str, Endpoint]]:
    """The endpoints, each with the name of its port, but for those of what the Service was before it was changed."""
    others = _pods_of_others(service, snapshot)
    for thing in slices(service, snapshot):
        for port in thing.get("ports") or ([{}] if not service["spec"].get("ports") else []):
            for endpoint in thing.get("endpoints") or []:
                target = endpoint.get("targetRef") or {}
                pod = target.get("name", "") if target.get("kind") == "Pod" else ""
                if pod not in others and _is_target(service, port):
                    yield (
                        port.get("name") or "",
                        Endpoint(
                            address=endpoint["addresses"][0],
                            port=port.get("port"),
                            node=endpoint.get("nodeName") or "",
                            pod=pod,
                            # Whoever says nothing of it is ready, says the API.
                            ready=(endpoint.get("conditions") or {}).get("ready") is not False,
                        ),
                    )


def _pods_of_others(service: KubernetesObject, snapshot: Snapshot) -> set[str]:
    """The pods that a Service does not select."""
    selector = (service["spec"].get("selector") or {}).items()
    return {pod["metadata"]["name"] for pod in snapshot.beside(service, "Pod") if not selector <= labels(pod).items()}


def _is_target(service: KubernetesObject, port: Mapping[str, t.Any]) -> bool:
    """Whether a port of an EndpointSlice is the one that the Service leads to now, if it selects pods by itself."""
    targets = [
        wanted.get("targetPort")
        for wanted in service["spec"].get("ports") or []
        if (wanted.get("name") or "") == (port.get("name") or "")
    ]
    numbers = [target for target in targets if isinstance(target, int)]
    return not service["spec"].get("selector") or not numbers or port.get("port") in numbers


def ready_endpoints(service: KubernetesObject, snapshot: Snapshot) -> int:
    """How many endpoints are ready at each port: the fewest of any port, each family of addresses for itself."""
    found = [(port, endpoint.address) for port, endpoint in _endpoints(service, snapshot) if endpoint.ready]
    ports = [port.get("name") or "" for port in service["spec"].get("ports") or [{}]]
    families = service["spec"].get("ipFamilies") or [""]
    counts = [
        sum(name == port and family in ("", _family(address)) for name, address in set(found))
        for port in ports
        for family in families
    ]
    return min(counts)


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def workloads_behind(service: KubernetesObject, snapshot: Snapshot) -> list[KubernetesObject]:
    """The Deployments and DaemonSets whose pods a Service selects."""
    selector = service["spec"].get("selector") or {}
    return [
        workload
        for workload in snapshot.beside(service, "Deployment", "DaemonSet")
        if selector and selector.items() <= labels(workload["spec"]["template"]).items()
    ]


def node_ports(service: KubernetesObject) -> list[NodePort]:
    return [
        NodePort(port.get("name") or "", port["port"], port.get("protocol", "TCP"), port["nodePort"])
        for port in service["spec"].get("ports") or []
        if port.get("nodePort")
    ]


def announced_by(service: KubernetesObject, snapshot: Snapshot) -> list[str]:
    """The nodes that answer for an address that MetalLB has given, as its own status objects say."""
    if not annotation(service, "ip-allocated-from-pool"):
        return []
    nodes = announcers(snapshot.of_kind("ServiceL2Status", "ServiceBGPStatus"))
    return nodes.get(place(service), [])


def has_address(service: KubernetesObject) -> bool:
    """Whether a Service has the load balancer address that it asks for, if it asks for one."""
    if service["spec"].get("type") != "LoadBalancer":
        return True
    given, asked = set(map(_canonical, addresses_of(service))), set(map(_canonical, asked_addresses(service)))
    pool, asked_pool = annotation(service, "ip-allocated-from-pool"), annotation(service, "address-pool")
    return bool(ingress(service)) and asked <= given and (not asked_pool or not pool or asked_pool == pool)


def _canonical(address: str) -> str:
    """An address as others may write it differently; what is none stays as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def asked_addresses(service: KubernetesObject) -> list[str]:
    """The addresses that a Service asks MetalLB for."""
    asked = annotation(service, "loadBalancerIPs") or service["spec"].get("loadBalancerIP") or ""
    return [address.strip() for address in asked.split(",") if address.strip()]


def lacks(service: KubernetesObject, snapshot: Snapshot, wanted_endpoints: int = 1) -> list[Lack]:
    """What keeps a Service from serving; wanted_endpoints is how many have to be ready."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return []
    asks_address = spec.get("type") == "LoadBalancer"
    # MetalLB says who announces an address from v0.14 on, and announces nothing that has no endpoint.
    is_announced = not snapshot.tells("ServiceL2Status") or wanted_endpoints == 0 or announced_by(service, snapshot)
    lacking = {
        Lack.ENDPOINTS: ready_endpoints(service, snapshot) < wanted_endpoints,
        Lack.ADDRESS: not has_address(service),
        Lack.ANNOUNCEMENT: asks_address and bool(annotation(service, "ip-allocated-from-pool")) and not is_announced,
        Lack.RELEASE: not asks_address and bool(ingress(service)),
    }
    return [lack for lack, is_lacking in lacking.items() if is_lacking]
