# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. To wait until Services serve.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import is_ready
from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import silence, targets
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import read
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import lacks, workloads_behind
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import place
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait

if t.TYPE_CHECKING:
    from collections.abc import Collection

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import Probe
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import Scope
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

    Place = tuple[str, str]


@dataclass(frozen=True)
class Wish:
    """Which Services shall serve, and how.

    names: those that have to be there. None is whatever SCOPE finds.
    endpoints: how many of each have to be ready.
    If workloads matter to SCOPE, those behind the Services have to be ready too.
    """

    scope: Scope
    names: Collection[Place] | None = None
    endpoints: int = 1
    probe: Probe | None = None

    def workloads(self, service: KubernetesObject, snapshot: Snapshot) -> list[KubernetesObject]:
        return workloads_behind(service, snapshot) if self.scope.workloads else []


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
    # Loaded only here: most tasks have nothing to explain, and each has to compile what it loads.
    from ansible_collections.homecloud.k3s.plugins.module_utils._service_explanation import explain

    return explain(cluster, wish, seen)


def _is_up(service: KubernetesObject, snapshot: Snapshot, wish: Wish) -> bool:
    return not lacks(service, snapshot, wish.endpoints) and all(map(is_ready, wish.workloads(service, snapshot)))
