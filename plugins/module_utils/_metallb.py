# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. MetalLB as it is, from the objects of a cluster.

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import (
    condition,
    is_rolled_out,
    managers,
    pod_counts,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

NAMESPACE: t.Final = "metallb-system"
API: t.Final = "metallb.io/v1beta1"
_WEBHOOKS: t.Final = "metallb-webhook-configuration"
# From this version on MetalLB takes pools from objects and no longer from a ConfigMap.
_FIRST_WITH_POOL_OBJECTS: t.Final = (0, 13)
_ANNOTATIONS: t.Final = ("metallb.io/", "metallb.universe.tf/")  # the second up to v0.12, still honoured
_SERVICELB: t.Final = "svccontroller.k3s.cattle.io/nodeselector"


@dataclass(frozen=True)
class Advertise:
    interfaces: list[str] = field(default_factory=list)
    node_selectors: list[dict[str, t.Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Pool:
    """A pool as an inventory writes it. advertise is None where no node announces its addresses on the LAN."""

    name: str
    addresses: list[str]
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    priority: int = 0
    namespaces: list[str] = field(default_factory=list)
    namespace_selectors: list[dict[str, t.Any]] = field(default_factory=list)
    service_selectors: list[dict[str, t.Any]] = field(default_factory=list)
    advertise: Advertise | None = field(default_factory=Advertise)

    @classmethod
    def wanted(cls, pool: Mapping[str, t.Any]) -> Pool:
        """The pool of an item of metallb_pools."""
        given = {key: value for key, value in pool.items() if value is not None}
        return cls(**{**given, "advertise": Advertise(**given.get("advertise", {}))})

    @classmethod
    def read(cls, pool: KubernetesObject, advertisement: KubernetesObject | None) -> Pool:
        spec = pool["spec"]
        allocation = spec.get("serviceAllocation") or {}
        advertised = advertisement.get("spec") or {} if advertisement else {}
        return cls(
            name=pool["metadata"]["name"],
            addresses=spec["addresses"],
            auto_assign=spec.get("autoAssign", True),
            avoid_buggy_ips=spec.get("avoidBuggyIPs", False),
            priority=allocation.get("priority", 0),
            namespaces=allocation.get("namespaces") or [],
            namespace_selectors=allocation.get("namespaceSelectors") or [],
            service_selectors=allocation.get("serviceSelectors") or [],
            advertise=Advertise(advertised.get("interfaces") or [], advertised.get("nodeSelectors") or [])
            if advertisement
            else None,
        )

    @property
    def objects(self) -> list[dict[str, t.Any]]:
        """The objects of the API that make the pool."""
        allocation = {
            "priority": self.priority,
            "namespaces": self.namespaces,
            "namespaceSelectors": self.namespace_selectors,
            "serviceSelectors": self.service_selectors,
        }
        spec = {
            "addresses": self.addresses,
            "autoAssign": self.auto_assign,
            "avoidBuggyIPs": self.avoid_buggy_ips,
            **_without_empty({"serviceAllocation": _without_empty(allocation)}),
        }
        advertise = self.advertise or Advertise()
        selection = _without_empty({"interfaces": advertise.interfaces, "nodeSelectors": advertise.node_selectors})
        advertisement = {"ipAddressPools": [self.name], **selection}
        return [self._object("IPAddressPool", spec), self._object("L2Advertisement", advertisement)]

    def _object(self, kind: str, spec: Mapping[str, t.Any]) -> dict[str, t.Any]:
        metadata = {"name": self.name, "namespace": NAMESPACE}
        return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


def _without_empty(values: Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {key: value for key, value in values.items() if value}


def pools(
    pool_objects: Iterable[KubernetesObject], advertisements: Iterable[KubernetesObject], field_manager: str
) -> list[dict[str, t.Any]]:
    """The pools, each with "ours": whether FIELD_MANAGER made it.

    The advertisement of a pool is the one of its name. Others may announce it too, and are not looked at.
    """
    of = {advertisement["metadata"]["name"]: advertisement for advertisement in advertisements}
    return [
        {**asdict(Pool.read(pool, of.get(pool["metadata"]["name"]))), "ours": field_manager in managers(pool)}
        for pool in pool_objects
    ]


def pool_of(reading: Mapping[str, t.Any]) -> Pool:
    """The pool of an item of a reading's "pools"."""
    advertise = reading["advertise"] and Advertise(**reading["advertise"])
    return Pool(
        **{key: value for key, value in reading.items() if key not in ("ours", "advertise")}, advertise=advertise
    )


def announcers(statuses: Iterable[KubernetesObject]) -> dict[tuple[str, str], list[str]]:
    """The nodes that announce the address of a Service, by its namespace and name, as MetalLB's status objects say."""
    nodes: dict[tuple[str, str], set[str]] = {}
    for thing in statuses:
        status = thing.get("status") or {}
        if "node" in status:
            nodes.setdefault((status["serviceNamespace"], status["serviceName"]), set()).add(status["node"])
    return {service: sorted(names) for service, names in nodes.items()}


def refused_configuration(states: Iterable[Mapping[str, str]]) -> list[Fault]:
    """A fault for each part that refuses its configuration, by what configuration() gives."""
    return [
        Fault(
            "configuration_refused",
            "error",
            f"The {state['component']} of MetalLB refuses its configuration and goes on with the one before.",
            f"{state['component']}: {state['error']}",
            "Correct metallb_pools, or remove the pools that others have made: "
            f'"kubectl --namespace {NAMESPACE} get ipaddresspools,l2advertisements" shows all.',
        )
        for state in states
        if state["result"] == "Invalid"
    ]


def configuration(states: Iterable[KubernetesObject]) -> list[dict[str, str]]:
    """What each part of MetalLB says of its configuration, as ConfigurationState objects (v0.15.3 and later) say."""
    return [
        {
            "component": thing["metadata"]["name"],
            "result": (thing.get("status") or {}).get("result") or "Unknown",
            "error": (thing.get("status") or {}).get("errorSummary") or "",
        }
        for thing in states
    ]


def services(
    service_objects: Iterable[KubernetesObject], statuses: Iterable[KubernetesObject]
) -> list[dict[str, t.Any]]:
    """The Services of the type LoadBalancer: their addresses, the pool of these, and the nodes that announce them."""
    nodes = announcers(statuses)
    return [
        {
            "namespace": service["metadata"]["namespace"],
            "name": service["metadata"]["name"],
            "addresses": addresses_of(service),
            "pool": annotation(service, "ip-allocated-from-pool"),
            "announced_by": nodes.get((service["metadata"]["namespace"], service["metadata"]["name"]), []),
        }
        for service in service_objects
        if service["spec"].get("type") == "LoadBalancer"
    ]


def ingress(service: KubernetesObject) -> list[dict[str, t.Any]]:
    """What a load balancer has given a Service: addresses or names."""
    status = service.get("status") or {}
    given: list[dict[str, t.Any]] = (status.get("loadBalancer") or {}).get("ingress") or []
    return given


def addresses_of(service: KubernetesObject) -> list[str]:
    """The addresses that a load balancer has given a Service."""
    return [entry["ip"] for entry in ingress(service) if entry.get("ip")]


def annotation(service: KubernetesObject, name: str) -> str:
    """The value of an annotation of MetalLB, also under its old prefix; empty if there is none."""
    annotations = service["metadata"].get("annotations") or {}
    return next((annotations[prefix + name] for prefix in _ANNOTATIONS if prefix + name in annotations), "")


def servicelb(daemonsets: Iterable[KubernetesObject]) -> list[str]:
    """The DaemonSets of the service load balancer of k3s."""
    return [
        f"{d['metadata']['namespace']}/{d['metadata']['name']}"
        for d in daemonsets
        if _SERVICELB in (d["metadata"].get("labels") or {})
    ]


def elsewhere(daemonsets: Iterable[KubernetesObject]) -> list[str]:
    """The DaemonSets of speakers that are not where MetalLB's own manifest has them: those of a chart, mostly."""
    places = [(d["metadata"]["namespace"], d["metadata"]["name"]) for d in daemonsets if _image(d, "speaker")]
    return ["/".join(place) for place in places if place != (NAMESPACE, "speaker")]


def workload(thing: KubernetesObject | None, component: str, field_manager: str) -> dict[str, t.Any] | None:
    """The controller's Deployment or the speakers' DaemonSet: version, who made it, and how many pods are ready."""
    if not thing:
        return None
    ready, wanted = pod_counts(thing)
    return {
        "version": _image(thing, component).rpartition(":")[2],
        "ours": field_manager in managers(thing),
        "wanted": wanted,
        "ready": ready if is_rolled_out(thing) else 0,
    }


def down(nodes: Iterable[KubernetesObject]) -> int:
    """How many nodes are not Ready."""
    return sum(not condition(node, "Ready") for node in nodes)


def _image(thing: KubernetesObject, component: str) -> str:
    """The image that a workload has of a component of MetalLB, empty if it has none."""
    images = (container.get("image", "") for container in thing["spec"]["template"]["spec"]["containers"])
    return next((image for image in images if re.search(rf"metallb/{component}(:|@|$)", image)), "")


def webhook_ready(configurations: Iterable[KubernetesObject], endpoint_slices: Iterable[KubernetesObject]) -> bool:
    """Whether the API can have pools validated: it knows the controller's certificate, and where to ask.

    A ready controller says nothing of this: it writes the certificate later.
    """
    webhooks = [
        webhook
        for configuration in configurations
        if configuration["metadata"]["name"] == _WEBHOOKS
        for webhook in configuration.get("webhooks") or []
    ]
    ready = any(
        (endpoint.get("conditions") or {}).get("ready")
        for endpoint_slice in endpoint_slices
        for endpoint in endpoint_slice.get("endpoints") or []
    )
    return ready and bool(webhooks) and all(webhook["clientConfig"].get("caBundle") for webhook in webhooks)


def uses_configmap(version: str) -> bool:
    """Whether a MetalLB of this version takes its pools from a ConfigMap."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\..*", version)
    return match is not None and (int(match[1]), int(match[2])) < _FIRST_WITH_POOL_OBJECTS


@dataclass(frozen=True)
class OldConfiguration:
    """What a ConfigMap of MetalLB up to v0.12 says: pools as an inventory writes them, and what is not one of those."""

    pools: list[dict[str, t.Any]]
    not_converted: list[str]


def convert(configmap: KubernetesObject | None) -> OldConfiguration:
    """Convert the ConfigMap. Raises yaml.YAMLError if its text is none."""
    import yaml  # kubernetes.core's client has made sure that it is there

    config = yaml.safe_load(((configmap or {}).get("data") or {}).get("config") or "") or {}
    entries = config.get("address-pools") or []
    on_the_lan = [entry for entry in entries if entry.get("protocol") == "layer2"]
    names = {
        "name": "name",
        "addresses": "addresses",
        "auto-assign": "auto_assign",
        "avoid-buggy-ips": "avoid_buggy_ips",
    }
    return OldConfiguration(
        pools=[{new: entry[old] for old, new in names.items() if old in entry} for entry in on_the_lan],
        not_converted=[
            *(
                f"pool {entry.get('name')} (protocol {entry.get('protocol')})"
                for entry in entries
                if entry not in on_the_lan
            ),
            *(key for key in config if key != "address-pools"),
        ],
    )
