# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is asked of a cluster to know its Services.

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from itertools import chain

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import is_forbidden
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject

# Which nodes announce an address: on the LAN, or to routers.
STATUSES: t.Final = (
    ("ServiceL2Status", metallb.API, metallb.NAMESPACE),
    ("ServiceBGPStatus", metallb.API, metallb.NAMESPACE),
)

_WORKLOADS: t.Final = (("Deployment", "apps/v1"), ("DaemonSet", "apps/v1"))
_PODS: t.Final = (("Pod", "v1"),)


@dataclass(frozen=True)
class Scope:
    """Which Services are meant, and whether workloads and pods of their namespace matter. What is empty leaves open."""

    namespace: str = ""
    name: str = ""
    label_selector: str = ""
    workloads: bool = False
    pods: bool = False


def read(cluster: Cluster, scope: Scope) -> Snapshot:
    """Services, and what shows whether they serve."""
    place = {"namespace": scope.namespace} if scope.namespace else {}
    one = {"field_selector": f"metadata.name={scope.name}"} if scope.name else {}
    labelled = {"label_selector": scope.label_selector} if scope.label_selector else {}
    of_one = {"label_selector": f"kubernetes.io/service-name={scope.name}"} if scope.name else {}
    services = cluster.objects("Service", "v1", **place, **one, **labelled)
    slices = cluster.objects("EndpointSlice", "discovery.k8s.io/v1", **place, **of_one)
    kinds = (*(_WORKLOADS if scope.workloads else ()), *(_PODS if scope.pods else ()))
    beside = [thing for kind, version in kinds for thing in cluster.objects(kind, version, **place)]
    # Asked for only where there is a MetalLB: the client looks long for a kind that is not there.
    by_metallb = any(metallb.annotation(service, "ip-allocated-from-pool") for service in services)
    return read_sources(cluster, STATUSES if by_metallb else (), [*services, *slices, *beside])


def read_announcements(cluster: Cluster) -> Snapshot:
    """Who announces the addresses of MetalLB."""
    return read_sources(cluster, STATUSES)


def read_sources(
    cluster: Cluster,
    sources: Iterable[tuple[str, str, str]],
    things: Iterable[KubernetesObject] = (),
    namespace: str = "",
) -> Snapshot:
    """Things, and the objects of sources: kind, version of the API, and the namespace; without one all namespaces.

    Of those the ones of NAMESPACE, if it is given and this user may not see the others.
    """
    found = {}
    for kind, api_version, home in sources:
        found[kind] = shown(cluster, kind, api_version, **({"namespace": home} if home else {}))
        if found[kind] is None and namespace and not home:
            found[kind] = shown(cluster, kind, api_version, namespace=namespace)
    told = chain.from_iterable(objects or () for objects in found.values())
    return Snapshot([*things, *told], {kind for kind, objects in found.items() if objects is None})


def shown(cluster: Cluster, kind: str, api_version: str, **where: str) -> list[dict[str, t.Any]] | None:
    """The objects of a kind; None if the cluster does not have the kind, or does not show it to this user."""
    try:
        return cluster.listed(kind, api_version, **where)
    except Exception as error:  # pylint: disable=broad-exception-caught
        if is_forbidden(error):
            return None
        raise
