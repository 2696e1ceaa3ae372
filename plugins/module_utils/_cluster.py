# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Objects of a cluster as plain data.

from __future__ import annotations

import json
import typing as t
from contextlib import suppress

if t.TYPE_CHECKING:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import K8SClient
    from kubernetes.dynamic.resource import Resource
    from urllib3.response import HTTPResponse

KubernetesObject = t.Mapping[str, t.Any]

_TIMEOUT: t.Final = 30  # seconds; without one a server that has lost its power is waited for until the connection ends


# The labels by which k3s tells what a node does.
SERVER: t.Final = "node-role.kubernetes.io/control-plane"
ETCD: t.Final = "node-role.kubernetes.io/etcd"


def name_of(thing: KubernetesObject) -> str:
    """The name of an object, with its namespace if it is in one."""
    metadata = thing["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def named(thing: KubernetesObject) -> str:
    """What an object is called among people: its kind and its name."""
    return f"{thing['kind']} {name_of(thing)}"


def has_role(node: KubernetesObject, role: str) -> bool:
    return role in (node["metadata"].get("labels") or {})


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


def internal_addresses(node: KubernetesObject) -> list[str]:
    """The addresses at which a node is reached on its own network."""
    addresses = (node.get("status") or {}).get("addresses") or []
    return [entry["address"] for entry in addresses if entry["type"] == "InternalIP"]


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


def is_ready(workload: KubernetesObject) -> bool:
    """Whether all pods serve, are of the current description, and no others are left."""
    available, wanted = pod_counts(workload)
    return is_rolled_out(workload) and available == wanted


class Cluster:
    """A cluster through the client of kubernetes.core, which has its exceptions."""

    def __init__(self, client: K8SClient) -> None:
        self._client = client

    def objects(self, kind: str, api_version: str, **where: str) -> list[dict[str, t.Any]]:
        """All objects of a kind, in a namespace or with labels if asked; none if the cluster does not have the kind."""
        return self.listed(kind, api_version, **where) or []

    def listed(self, kind: str, api_version: str, **where: str) -> list[dict[str, t.Any]] | None:
        """The same; None if the cluster does not have the kind."""
        found = self._get(kind, api_version, **where)
        if found is None:
            return None
        # The items of a list are without their kind.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def current(self, wanted: KubernetesObject) -> dict[str, t.Any] | None:
        """The object of this kind and name, if there is one."""
        return self._get(wanted["kind"], wanted["apiVersion"], **_place(wanted))

    def apply(
        self, wanted: KubernetesObject, field_manager: str, force: bool = False, dry_run: bool = False
    ) -> dict[str, t.Any]:
        """Apply an object on the side of the server, and return what it has become."""
        return self._answer(
            self._resource(wanted).server_side_apply(
                body=wanted,
                field_manager=field_manager,
                force_conflicts=force,
                dry_run="All" if dry_run else None,
                serialize=False,
                _request_timeout=_TIMEOUT,
            )
        )

    def delete(self, thing: KubernetesObject) -> None:
        """Delete just this object, if it is still there, and not one of its name that has come after it."""
        from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

        with suppress(ConflictError, NotFoundError):
            self._resource(thing).delete(
                **_place(thing),
                body={"preconditions": {"uid": thing["metadata"]["uid"]}},
                serialize=False,
                _request_timeout=_TIMEOUT,
            )

    def log(self, pod: KubernetesObject, previous: bool = False, lines: int = 1000, seconds: int | None = None) -> str:
        """The last lines of what a pod says, or of what its container before this one said; empty if there is none.

        seconds: how long ago a line may have been said.
        """
        from kubernetes.dynamic.exceptions import BadRequestError, NotFoundError

        recent = {"since_seconds": seconds} if seconds else {}
        try:
            response = self._client.resource("Pod", "v1").log.get(
                **_place(pod), **recent, previous=previous, tail_lines=lines, serialize=False, _request_timeout=_TIMEOUT
            )
        except (BadRequestError, NotFoundError):  # no container has started yet, or it is gone
            return ""
        text: str = response.data.decode(errors="replace")
        return text

    def run(self, pod: KubernetesObject, command: list[str]) -> str:
        """What a command in the first container of a pod prints; empty if it fails."""
        from kubernetes.client.api.core_v1_api import CoreV1Api
        from kubernetes.stream.stream import stream

        answer = stream(
            CoreV1Api(self._client.client.client).connect_get_namespaced_pod_exec,
            **_place(pod),
            container=pod["spec"]["containers"][0]["name"],
            command=command,
            stdout=True,
            stderr=False,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        answer.run_forever(timeout=_TIMEOUT)
        text: str = answer.read_stdout() if answer.peek_stdout() else ""
        return text if answer.returncode == 0 else ""

    def _resource(self, thing: KubernetesObject) -> Resource:
        return self._client.resource(thing["kind"], thing["apiVersion"])

    def _get(self, kind: str, api_version: str, **where: str) -> dict[str, t.Any] | None:
        from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

        try:
            resource = self._client.resource(kind, api_version)
            return self._answer(resource.get(**where, serialize=False, _request_timeout=_TIMEOUT))
        except (NotFoundError, ResourceNotFoundError):
            return None

    @staticmethod
    def _answer(response: HTTPResponse) -> dict[str, t.Any]:
        # As it is: to make the client's own objects of it takes many times as long.
        answer: dict[str, t.Any] = json.loads(response.data)
        return answer


def _place(thing: KubernetesObject) -> dict[str, str]:
    metadata = thing["metadata"]
    return {key: metadata[key] for key in ("name", "namespace") if key in metadata}
