# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is asked of a cluster to know its MetalLB.

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import covers, managers, named
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

_HERE: t.Final = {"namespace": metallb.NAMESPACE}


def read(cluster: Cluster, field_manager: str) -> dict[str, t.Any]:
    """What RETURN of homecloud.k3s.metallb_info says, but for the comparison with a manifest."""
    daemonsets = cluster.objects("DaemonSet", "apps/v1")
    controller = _workload(cluster.objects("Deployment", "apps/v1", **_HERE), "controller", field_manager)
    speakers = _workload(daemonsets, "speaker", field_manager)
    if speakers:
        # A node that is switched off has a speaker to be, but shall not hold up what is done on the others.
        speakers["wanted"] -= metallb.down(cluster.objects("Node", "v1"))
    webhook_ready = metallb.webhook_ready(
        cluster.objects("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
        cluster.objects("EndpointSlice", "discovery.k8s.io/v1", **_HERE),
    )
    return {
        "controller": controller,
        "speakers": speakers,
        "ready": webhook_ready and all(part and 0 < part["wanted"] <= part["ready"] for part in (controller, speakers)),
        "pools": metallb.pools(
            cluster.objects("IPAddressPool", metallb.API, **_HERE),
            cluster.objects("L2Advertisement", metallb.API, **_HERE),
            field_manager,
        ),
        "services": metallb.services(
            cluster.objects("Service", "v1"), cluster.objects("ServiceL2Status", metallb.API, **_HERE)
        ),
        "configuration": metallb.configuration(cluster.objects("ConfigurationState", metallb.API, **_HERE)),
        "old_configuration": _old_configuration(cluster, controller),
        "servicelb": metallb.servicelb(daemonsets),
        "elsewhere": metallb.elsewhere(daemonsets),
    }


def _workload(things: Iterable[KubernetesObject], name: str, field_manager: str) -> dict[str, t.Any] | None:
    here = (metallb.NAMESPACE, name)
    found = (thing for thing in things if (thing["metadata"]["namespace"], thing["metadata"]["name"]) == here)
    return metallb.workload(next(found, None), name, field_manager)


def _old_configuration(cluster: Cluster, controller: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
    if not controller or not metallb.uses_configmap(controller["version"]):
        return None
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", **_HERE}}
    return asdict(metallb.convert(cluster.current(configmap)))


@dataclass(frozen=True)
class Goal:
    """A state of MetalLB that can be waited for, and what its reading says is still missing."""

    words: str
    missing: Callable[[Mapping[str, t.Any]], list[str]]


def _not_ready(reading: Mapping[str, t.Any]) -> list[str]:
    parts = {name: reading[name] or {"ready": 0, "wanted": 0} for name in ("controller", "speakers")}
    counts = [
        f"{name} {part['ready']}/{part['wanted']}"
        for name, part in parts.items()
        if not 0 < part["wanted"] <= part["ready"]
    ]
    return [] if reading["ready"] else counts or ["the API cannot reach its webhook yet"]


def _not_valid(reading: Mapping[str, t.Any]) -> list[str]:
    states = reading["configuration"]
    return [f"{state['component']} {state['result']}" for state in states if state["result"] != "Valid"]


def _in_use(reading: Mapping[str, t.Any]) -> list[str]:
    return [f"{service['namespace']}/{service['name']}" for service in reading["services"] if service["pool"]]


GOALS: t.Final = {
    "ready": Goal("ready", _not_ready),
    "configured": Goal("content with its configuration", _not_valid),
    "unused": Goal("free of Services", _in_use),
}


def explain(cluster: Cluster, reading: Mapping[str, t.Any]) -> list[Fault]:
    """Why MetalLB is not ready or not content, as far as its workloads, their pods and MetalLB itself say."""
    kinds = {"Deployment": "apps/v1", "DaemonSet": "apps/v1", "Pod": "v1", "Event": "v1"}
    things = [thing for kind, api_version in kinds.items() for thing in cluster.objects(kind, api_version, **_HERE)]
    return [*workload_faults(things), *metallb.refused_configuration(reading["configuration"])]


def compare(cluster: Cluster, manifest: str, field_manager: str) -> dict[str, t.Any]:
    """What of the cluster is not as the file MANIFEST says."""
    import yaml  # kubernetes.core's client has made sure that it is there

    # The loader in C, where there is one: the manifest has thousands of lines.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wanted: list[KubernetesObject] = list(yaml.load_all(Path(manifest).read_bytes(), loader))
    # The only Secret is one that the controller fills.
    compared = [thing for thing in wanted if thing["kind"] != "Secret"]
    differences = [named(thing) for thing in compared if not covers(cluster.current(thing), thing)]
    return {"differences": differences, "surplus": _surplus(cluster, wanted, field_manager) if differences else []}


def _surplus(cluster: Cluster, wanted: list[KubernetesObject], field_manager: str) -> list[dict[str, t.Any]]:
    """What FIELD_MANAGER has made of the kinds of a manifest, and is not in it.

    Without definitions of kinds: with one all of its objects would go.
    """
    names = {named(thing) for thing in wanted}
    kinds = {(thing["kind"], thing["apiVersion"], thing["metadata"].get("namespace")) for thing in wanted}
    return [
        {"kind": kind, "apiVersion": api_version, "metadata": {"name": thing["metadata"]["name"], **where}}
        for kind, api_version, namespace in sorted(kinds, key=str)
        if kind not in ("CustomResourceDefinition", "Secret")
        for where in ({"namespace": namespace} if namespace else {},)
        for thing in cluster.objects(kind, api_version, **where)
        if field_manager in managers(thing) and named(thing) not in names
        # Outside of its namespace others have objects too.
        if namespace or "metallb" in thing["metadata"]["name"]
    ]
