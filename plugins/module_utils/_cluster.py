# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Objects of a cluster as plain data.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import K8SClient

KubernetesObject = t.Mapping[str, t.Any]


def named(thing: KubernetesObject) -> str:
    """What an object is called among people: its kind, and its name in its namespace."""
    metadata = thing["metadata"]
    return f"{thing['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"


def covers(there: object, wanted: object) -> bool:
    """Whether an object of the API has all that is wanted of it.

    A mapping may have more than is wanted, a list may not; null wants nothing. Where the API writes a value in another
    way than it was wanted, as 500m for 0.5, the answer is no.
    """
    if isinstance(wanted, t.Mapping) and isinstance(there, t.Mapping):
        return all(covers(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(there, list):
        return len(wanted) == len(there) and all(covers(have, wish) for have, wish in zip(there, wanted))
    # The API leaves out what is empty.
    return wanted is None or there == wanted or (there is None and wanted in ("", [], {}))


def managers(thing: KubernetesObject) -> set[str]:
    """The field managers that have applied it."""
    fields = thing["metadata"].get("managedFields") or []
    return {entry["manager"] for entry in fields if entry["operation"] == "Apply"}


def condition(thing: KubernetesObject, kind: str) -> bool:
    """Whether the status of an object says that this condition holds."""
    conditions = (thing.get("status") or {}).get("conditions") or []
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


def pod_counts(workload: KubernetesObject) -> tuple[int, int]:
    """How many pods of a Deployment or a DaemonSet serve, and how many should."""
    status = workload.get("status") or {}
    wanted = workload["spec"].get("replicas", status.get("desiredNumberScheduled", 0))
    return status.get("availableReplicas", status.get("numberAvailable", 0)), wanted


def is_rolled_out(workload: KubernetesObject) -> bool:
    """Whether all pods of a Deployment or a DaemonSet are of its current description: no older ones serve."""
    status = workload.get("status") or {}
    updated = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
    there = status.get("replicas", status.get("currentNumberScheduled", 0))
    return bool(status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0) and updated == there)


class Cluster:
    """What can be read of a cluster with the client of kubernetes.core. A kind that is not there has no objects."""

    def __init__(self, client: K8SClient) -> None:
        self._client = client

    def objects(self, kind: str, api_version: str, **where: str) -> list[dict[str, t.Any]]:
        """All objects of a kind, in a namespace or with labels if asked."""
        items: list[dict[str, t.Any]] = (self._get(kind, api_version, **where) or {}).get("items", [])
        # The items of a list are without their kind.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def current(self, wanted: KubernetesObject) -> dict[str, t.Any] | None:
        """The object of this kind and name, if there is one."""
        metadata = wanted["metadata"]
        where: Mapping[str, str] = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
        return self._get(wanted["kind"], wanted["apiVersion"], **where)

    def _get(self, kind: str, api_version: str, **where: str) -> dict[str, t.Any] | None:
        from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

        try:
            found: dict[str, t.Any] = self._client.get(self._client.resource(kind, api_version), **where).to_dict()
        except (NotFoundError, ResourceNotFoundError):
            return None
        return found
