# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is wrong with Services that do not serve, by all that may be a reason.

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._service_diagnosis import SOURCES, diagnose
from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import probe_fault
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import read_sources
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import place
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_wait import Look, Place, Wish
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

# What every cluster has.
_WHEREVER: t.Final = ("Service", "EndpointSlice", "Pod", "Node", "Namespace", "Event", "Deployment", "DaemonSet")


def explain(cluster: Cluster, wish: Wish, seen: Look) -> tuple[Look, dict[Place, list[Fault]]]:
    """Look again, at everything, and say of each Service what is wrong with it."""
    snapshot = read_sources(cluster, SOURCES, namespace=wish.scope.namespace)
    there = {place(service): service for service in snapshot.of_kind("Service")}
    services = {name: there[name] for name in seen.services if name in there}
    found = {name: _faults(service, snapshot, wish, seen.silences.get(name)) for name, service in services.items()}
    faults = {name: [*reasons, *_hidden(snapshot)] for name, reasons in found.items() if reasons}
    missing = [name for name in (*seen.missing, *seen.services) if name not in there]
    gone = {name: [_no_service(name)] for name in missing}
    return replace(seen, services=services, missing=missing, snapshot=snapshot), {**faults, **gone}


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
