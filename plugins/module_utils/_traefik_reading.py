# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is asked of a cluster to know its Traefik.

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils import _traefik as traefik
from ansible_collections.homecloud.k3s.plugins.module_utils._acme_log import acme_faults
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import covers, managers, named
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

_HERE: t.Final = {"namespace": traefik.NAMESPACE}
_HELM: t.Final = "helm.cattle.io/v1"
_PODS: t.Final = {**_HERE, "label_selector": "app.kubernetes.io/instance=traefik-kube-system"}
_CHART_LABEL: t.Final = "helmcharts.helm.cattle.io/chart"
# Helm is tried again and again. Once may be the API's fault, as when it restarts.
_FAILURES: t.Final = 2
_JOB: t.Final = f"helm-install-{traefik.NAME}"
# An access log may have many lines between those that matter.
_LOG_LINES: t.Final = 20_000


@dataclass(frozen=True)
class Wish:
    """What of a Traefik matters.

    values: those that are to be in force, over what k3s says by itself.
    inputs: what Traefik reads only when it starts.
    """

    values: Mapping[str, t.Any]
    inputs: Sequence[KubernetesObject]
    field_manager: str


@dataclass(frozen=True)
class Look:
    """Traefik at one moment: what is told of it, what is lacking, and how often Helm has failed, by its pods."""

    told: dict[str, t.Any]
    lacking: list[str]
    failures: Mapping[str, int] = field(default_factory=dict)

    def has_failed_since(self, before: Look) -> bool:
        """Whether Helm has failed again, so that it is of no use to wait longer."""
        return any(count >= _FAILURES and count > before.failures.get(pod, 0) for pod, count in self.failures.items())


def look(cluster: Cluster, wish: Wish) -> Look:
    """Look at Traefik, and whether the values that are wished for are in force."""
    chart = traefik.chart(_named(cluster, "HelmChart", _HELM))
    if chart is None:
        return Look(_told(), ["k3s does not package Traefik here"])
    thing = _named(cluster, "Deployment", "apps/v1")
    kinds = _definition(cluster, "ingressroutes.traefik.io")
    pods = cluster.objects("Pod", "v1", **_PODS)
    lacking = [
        *(traefik.not_in_force(thing, wish.values) or traefik.not_finished(_named(cluster, "Job", "batch/v1", _JOB))),
        *([] if kinds else ["the API does not know IngressRoutes yet"]),
    ]
    told = _told(
        chart=chart,
        configuration=_configuration(cluster, wish.field_manager),
        deployment=traefik.deployment(thing),
        in_force=not lacking,
        outdated=traefik.is_outdated(pods, filter(None, (cluster.current(entry) for entry in wish.inputs))),
        addresses=traefik.addresses(_named(cluster, "Service", "v1")),
        claims=[asdict(claim) for claim in traefik.claims(_routes(cluster, kinds))],
        old_objects=_old_objects(cluster),
    )
    return Look(told, lacking, _failures(cluster) if lacking else {})


def _told(**found: object) -> dict[str, t.Any]:
    """What is told of a Traefik that is not there, with what was found over it."""
    nothing: dict[str, t.Any] = {
        "chart": None,
        "configuration": None,
        "deployment": None,
        "in_force": False,
        "outdated": False,
        "addresses": [],
        "claims": [],
        "old_objects": [],
    }
    return {**nothing, **found}


def _named(cluster: Cluster, kind: str, api_version: str, name: str = traefik.NAME) -> dict[str, t.Any] | None:
    return cluster.current({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **_HERE}})


def _definition(cluster: Cluster, name: str) -> dict[str, t.Any] | None:
    """The definition of a kind. To ask for that takes one request, to ask for a kind that is not there many."""
    api_version = "apiextensions.k8s.io/v1"
    return cluster.current({"apiVersion": api_version, "kind": "CustomResourceDefinition", "metadata": {"name": name}})


def _configuration(cluster: Cluster, field_manager: str) -> dict[str, t.Any] | None:
    import yaml  # kubernetes.core's client has made sure that it is there

    config = _named(cluster, "HelmChartConfig", _HELM)
    values = yaml.safe_load(config["spec"].get("valuesContent") or "") if config else None
    return traefik.configuration(config, values, field_manager)


def _routes(cluster: Cluster, kinds: object) -> list[dict[str, t.Any]]:
    routes = cluster.objects("IngressRoute", traefik.API) if kinds else []
    return [*routes, *cluster.objects("Ingress", "networking.k8s.io/v1")]


def _old_objects(cluster: Cluster) -> list[str]:
    if not _definition(cluster, "ingressroutes.traefik.containo.us"):
        return []
    return [named(thing) for kind in traefik.OLD_KINDS for thing in cluster.objects(kind, traefik.OLD_API)]


def _helm_pods(cluster: Cluster) -> list[dict[str, t.Any]]:
    """The pods in which Helm works on Traefik and on its kinds."""
    charts = (traefik.NAME, f"{traefik.NAME}-crd")
    labels = [f"{_CHART_LABEL}={name}" for name in charts]
    return [pod for label in labels for pod in cluster.objects("Pod", "v1", **_HERE, label_selector=label)]


def _failures(cluster: Cluster) -> dict[str, int]:
    """How often Helm has failed, by the names of its pods. For other values it gets another pod."""
    return {
        pod["metadata"]["name"]: status.get("restartCount", 0)
        for pod in _helm_pods(cluster)
        for status in (pod.get("status") or {}).get("containerStatuses") or []
    }


def explain(cluster: Cluster) -> list[Fault]:
    """Why the values do not come into force."""
    # What made it fail is in the log of the try before, unless this one has failed, too.
    tries = [(pod, cluster.log(pod, previous=True) + cluster.log(pod)) for pod in _helm_pods(cluster)]
    events = Events(cluster.objects("Event", "v1", **_HERE))
    claim = _named(cluster, "PersistentVolumeClaim", "v1")
    unbound = events.last(claim, "FailedBinding", "ProvisioningFailed") if claim else ""
    found = [*(traefik.job_fault(pod, log) for pod, log in tries), traefik.storage_fault(claim, unbound)]
    kinds = {"Deployment": "apps/v1", "Pod": "v1", "Event": "v1"}
    things = [thing for kind, version in kinds.items() for thing in cluster.objects(kind, version, **_HERE)]
    mine = [thing for thing in things if thing["kind"] != "Deployment" or thing["metadata"]["name"] == traefik.NAME]
    return [fault for fault in found if fault] or workload_faults(mine)


def compare(
    cluster: Cluster, present: Sequence[KubernetesObject], absent: Iterable[KubernetesObject], field_manager: str
) -> dict[str, t.Any]:
    """What of some objects is not as it should be, and what should not be there and is the field manager's."""
    there = {named(thing): cluster.current(thing) for thing in present}
    unwanted = [thing for thing in map(cluster.current, absent) if thing and field_manager in managers(thing)]
    return {
        "differences": [named(thing) for thing in present if not covers(there[named(thing)], thing)],
        "surplus": [_reference(thing) for thing in unwanted],
    }


def _reference(thing: KubernetesObject) -> dict[str, t.Any]:
    metadata = {key: thing["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": metadata}


def read_storage(cluster: Cluster, path: str) -> dict[str, t.Any] | None:
    """What the storage file of a Traefik that runs holds; None if there is neither."""
    pods = cluster.objects("Pod", "v1", **_PODS)
    running = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    if not running:
        return None
    pod = running[0]["metadata"]["name"]
    text = cluster.run(running[0], ["cat", path])
    return {"pod": pod, **asdict(traefik.storage(text))} if text else {"pod": pod, "sha256": "", "certificates": []}


def certificate_faults(cluster: Cluster, names: Collection[str], seconds: int | None) -> list[Fault]:
    """Why Traefik has no certificates for names, as far as its log says, of the last SECONDS if they are given."""
    pods = cluster.objects("Pod", "v1", **_PODS)
    log = "\n".join(cluster.log(pod, lines=_LOG_LINES, seconds=seconds) for pod in pods)
    return acme_faults(log, names)
