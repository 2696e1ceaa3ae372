# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. To wait until Services serve, and to say why not.

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import addresses_of
from ansible_collections.homecloud.k3s.plugins.module_utils._service_diagnosis import diagnose
from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import probe_fault, silence, targets
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import WORKLOADS, read, read_all
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import (
    announced_by,
    endpoints,
    lacks,
    node_ports,
    workloads_behind,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import place
from ansible_collections.homecloud.k3s.plugins.module_utils._text import table
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import is_ready, workload_faults

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import Probe
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import Scope
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

    Place = tuple[str, str]

# What every cluster has.
_WHEREVER: t.Final = ("Service", "EndpointSlice", "Pod", "Node", "Namespace", "Event", "Deployment", "DaemonSet")


@dataclass(frozen=True)
class Wish:
    """Which Services shall serve, and how.

    names: those that have to be there. None is whatever SCOPE finds.
    endpoints: how many of each have to be ready.
    If SCOPE takes in workloads, those behind the Services have to be ready too.
    """

    scope: Scope
    names: Collection[Place] | None = None
    endpoints: int = 1
    probe: Probe | None = None

    def workloads(self, service: KubernetesObject, snapshot: Snapshot) -> list[KubernetesObject]:
        return workloads_behind(service, snapshot) if self.scope.beside == WORKLOADS else []


@dataclass(frozen=True)
class Look:
    """Services at one moment, by their places. Those of which nothing came when they were asked have silences."""

    services: dict[Place, KubernetesObject]
    missing: list[Place]
    snapshot: Snapshot
    silences: dict[Place, list[str]]


def look(cluster: Cluster, wish: Wish) -> Look:
    """Look at Services, and ask those that lack nothing."""
    snapshot = read(cluster, wish.scope)
    there = {place(service): service for service in snapshot.of_kind("Service")}
    names = there if wish.names is None else wish.names
    services = {name: there[name] for name in names if name in there}
    silences = {}
    if wish.probe and all(_is_up(service, snapshot, wish) for service in services.values()):
        nodes = cluster.objects("Node", "v1")
        for name, service in services.items():
            asked = (silence(target, wish.probe) for target in targets(service, nodes, wish.probe.port))
            silences[name] = [said for said in asked if said]
    return Look(services, [name for name in names if name not in there], snapshot, silences)


def serve(cluster: Cluster, wish: Wish, timeout: float) -> tuple[Look, dict[Place, list[Fault]]]:
    """Wait until Services serve, at most TIMEOUT seconds; with what is wrong with each."""

    def all_serve(seen: Look) -> bool:
        return (
            not seen.missing
            and not any(seen.silences.values())
            and all(_is_up(service, seen.snapshot, wish) for service in seen.services.values())
        )

    seen = wait(lambda: look(cluster, wish), all_serve, timeout)
    if all_serve(seen):
        return seen, {}
    everything = read_all(cluster, wish.scope)
    there = {place(service): service for service in everything.of_kind("Service")}
    services = {name: there[name] for name in seen.services if name in there}
    found = {name: _faults(service, everything, wish, seen.silences.get(name)) for name, service in services.items()}
    faults = {name: [*reasons, *_hidden(everything)] for name, reasons in found.items() if reasons}
    gone = {name: [_no_service(name)] for name in (*seen.missing, *seen.services) if name not in there}
    return Look(services, list(gone), everything, seen.silences), {**faults, **gone}


def _is_up(service: KubernetesObject, snapshot: Snapshot, wish: Wish) -> bool:
    return not lacks(service, snapshot, wish.endpoints) and all(map(is_ready, wish.workloads(service, snapshot)))


def _faults(service: KubernetesObject, snapshot: Snapshot, wish: Wish, silences: list[str] | None) -> list[Fault]:
    """What is wrong with a Service, by a snapshot of all that may be a reason."""
    found = diagnose(service, snapshot, wish.endpoints)
    if silences:
        found.append(probe_fault(service, silences))
    rollouts = workload_faults([*wish.workloads(service, snapshot), *snapshot.beside(service, "Pod", "Event")])
    # What keeps a workload from being ready is mostly what the Service misses.
    codes = {fault.code for fault in found}
    return [*found, *(fault for fault in rollouts if fault.code not in codes)]


def _hidden(snapshot: Snapshot) -> list[Fault]:
    """What this user is not shown, and might have been a reason."""
    kinds = [kind for kind in _WHEREVER if not snapshot.tells(kind)]
    if not kinds:
        return []
    return [
        Fault(
            "forbidden",
            "warning",
            f"This user may not list {', '.join(kinds)} objects, so not all reasons can be seen.",
            "the API refuses it",
            "Give the user a ClusterRole with the verb list for them, or run this with the kubeconfig of one who may.",
        )
    ]


def _no_service(name: Place) -> Fault:
    return Fault(
        "no_service",
        "error",
        f"There is no Service {'/'.join(name)}.",
        "the API knows none of this name",
        "Create it, or correct its name or namespace.",
    )


def answer(service: KubernetesObject, seen: Look, faults: list[Fault]) -> dict[str, t.Any]:
    """What the modules return of a Service."""
    metadata = {name: value for name, value in service["metadata"].items() if name != "managedFields"}
    return {
        "service": {**service, "metadata": metadata},
        "addresses": addresses_of(service),
        "node_ports": [asdict(port) for port in node_ports(service)],
        "endpoints": [asdict(endpoint) for endpoint in endpoints(service, seen.snapshot)],
        "announced_by": announced_by(service, seen.snapshot),
        "diagnosis": [asdict(fault) for fault in faults],
    }


def service_table(services: Iterable[Mapping[str, t.Any]]) -> list[str]:
    """Services, as kube_service_info returns them, as lines of text."""
    head = ["SERVICE", "TYPE", "ADDRESS", "PORTS", "ENDPOINTS", "ANNOUNCED BY", "SERVES"]
    return table(head, *(_row(service) for service in services))


def _row(service: Mapping[str, t.Any]) -> list[str]:
    spec, found = service["service"]["spec"], service["endpoints"]
    ports = [
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port['protocol']}"
        for port in spec.get("ports") or []
    ]
    addresses = service["addresses"] or spec.get("clusterIPs") or [spec.get("externalName", "")]
    pods = {endpoint["address"]: endpoint["ready"] for endpoint in found}
    return [
        f"{service['namespace']}/{service['name']}",
        spec["type"],
        ", ".join(addresses),
        ", ".join(ports),
        f"{sum(pods.values())}/{len(pods)}",
        ", ".join(service["announced_by"]),
        "yes" if service["healthy"] else f"NO: {', '.join(fault['code'] for fault in service['diagnosis'])}",
    ]
