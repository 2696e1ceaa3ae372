# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. To make a Service what a task asks for, and to remove it.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import named
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import annotation
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import Refused, api_fault, known
from ansible_collections.homecloud.k3s.plugins.module_utils._service import FIELD_MANAGER
from ansible_collections.homecloud.k3s.plugins.module_utils._service_change import annotations_of_users
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import read_announcements, shown
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import announced_by
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject


@dataclass(frozen=True)
class Manner:
    """How a Service is applied: whether fields that others have set are taken over, whether it may be deleted and made
    anew where it cannot be changed, whether it is only tried, and for how many seconds to wait for a deletion."""

    force_conflicts: bool
    recreate: bool
    dry_run: bool
    timeout: float


def apply(
    cluster: Cluster, wanted: KubernetesObject, before: KubernetesObject | None, manner: Manner
) -> KubernetesObject:
    """Apply a Service, and return what it has become, or would become. Raises Refused."""
    if manner.dry_run:
        refuse_taken(wanted, before, shown(cluster, "Service", "v1") or [])
    try:
        return cluster.apply(wanted, FIELD_MANAGER, manner.force_conflicts, manner.dry_run)
    except Exception as error:  # pylint: disable=broad-exception-caught
        fault = api_fault(named(wanted), error)
        if before and fault and fault.code == "immutable_field" and manner.recreate:
            return _recreate(cluster, wanted, before, manner)
        if fault and fault.code.endswith("_taken"):
            refuse_taken(wanted, before, shown(cluster, "Service", "v1") or [])
        raise


def _recreate(cluster: Cluster, wanted: KubernetesObject, before: KubernetesObject, manner: Manner) -> KubernetesObject:
    """Delete a Service and make it anew, unless it is seen before that the API will refuse the new one."""
    refuse_taken(wanted, before, shown(cluster, "Service", "v1") or [])
    trial = cluster.apply(_trial(wanted, before), FIELD_MANAGER, dry_run=True)
    if manner.dry_run:
        return {**trial, "metadata": {**trial["metadata"], **wanted["metadata"]}}
    remove(cluster, before, manner.timeout)
    try:
        return cluster.apply(wanted, FIELD_MANAGER)
    except Exception:
        # Whatever it was, nobody shall be left without a Service, be it that the API is away for a while.
        wait(lambda: cluster.apply(_again(before), FIELD_MANAGER), bool, manner.timeout)
        raise


def _trial(wanted: KubernetesObject, before: KubernetesObject) -> KubernetesObject:
    """The Service under another name, without what the old one still holds and will leave to it."""
    held = _holdings(before)
    spec = {
        name: value
        for name, value in wanted["spec"].items()
        if name not in ("clusterIP", "healthCheckNodePort") or str(value) not in held
    }
    ports = [
        {name: value for name, value in port.items() if name != "nodePort" or str(value) not in held}
        for port in spec.get("ports") or []
    ]
    metadata = {**wanted["metadata"], "name": f"new-{before['metadata']['uid']}"}
    return {**wanted, "metadata": metadata, "spec": {**spec, **({"ports": ports} if ports else {})}}


def _again(service: KubernetesObject) -> KubernetesObject:
    """A Service that was deleted, as it can be applied."""
    metadata = {name: service["metadata"].get(name) or {} for name in ("name", "namespace", "labels")}
    metadata["annotations"] = annotations_of_users(service)
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service["spec"]}


def refuse_taken(
    wanted: KubernetesObject, before: KubernetesObject | None, services: Iterable[KubernetesObject]
) -> None:
    """Raise Refused if another Service has a node port or cluster IP that is wanted.

    The API says this of a cluster IP only when it is too late, and never who has it.
    """
    own = _holdings(before) if before else set()
    for service in services:
        for value in (_holdings(wanted) - own) & _holdings(service):
            code = "node_port_taken" if value.isdigit() else "cluster_ip_taken"
            raise Refused(known(code, named(wanted), f"{named(service)} has it", port=value, address=value))


def _holdings(service: KubernetesObject) -> set[str]:
    """The node ports and cluster IPs of a Service, of which there is only one each in a cluster."""
    spec = service["spec"]
    ports = {port.get("nodePort") for port in spec.get("ports") or []} | {spec.get("healthCheckNodePort")}
    addresses = {spec.get("clusterIP"), *(spec.get("clusterIPs") or [])}
    return {str(value) for value in ports | addresses if value not in (None, 0, "", "None")}


def remove(cluster: Cluster, service: KubernetesObject, timeout: float | None) -> None:
    """Delete a Service, and wait until it is gone and nobody announces its address any more. Raises Refused.

    timeout: for how many seconds at most; None is not to wait.
    """
    cluster.delete(service)
    if timeout is None:
        return

    def left() -> tuple[KubernetesObject | None, list[str]]:
        there = cluster.current(service)
        same = there if there and there["metadata"]["uid"] == service["metadata"]["uid"] else None
        # If somebody has made one of this name meanwhile, it is the address of that one.
        is_announced = there is None and annotation(service, "ip-allocated-from-pool")
        return same, announced_by(service, read_announcements(cluster)) if is_announced else []

    there, nodes = wait(left, lambda state: not any(state), timeout)
    if there:
        raise Refused(_not_deleted(there))
    if nodes:
        raise Refused(_not_free(service, nodes))


def _not_deleted(service: KubernetesObject) -> Fault:
    finalizers = service["metadata"].get("finalizers") or []
    return Fault(
        "not_deleted",
        "error",
        f"{named(service)} is deleted, but still there.",
        f"it waits for its finalizers: {', '.join(finalizers)}" if finalizers else "the API still has it",
        "Start what has set these finalizers: with service.kubernetes.io/load-balancer-cleanup a load balancer.",
    )


def _not_free(service: KubernetesObject, nodes: Iterable[str]) -> Fault:
    return Fault(
        "address_not_free",
        "error",
        f"{named(service)} is gone, but its address is still announced.",
        f"ServiceL2Status objects of {', '.join(nodes)}",
        'Look at the speakers of MetalLB: "kubectl --namespace metallb-system get pods --output wide".',
    )
