# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The Traefik that k3s packages, from the objects of a cluster.

from __future__ import annotations

import hashlib
import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import is_ready, managers, pod_counts
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

NAME: t.Final = "traefik"
NAMESPACE: t.Final = "kube-system"
API: t.Final = "traefik.io/v1alpha1"
OLD_API: t.Final = "traefik.containo.us/v1alpha1"
OLD_KINDS: t.Final = (
    *("IngressRoute", "IngressRouteTCP", "IngressRouteUDP", "Middleware", "MiddlewareTCP"),
    *("ServersTransport", "TLSOption", "TLSStore", "TraefikService"),
)
# By this annotation of the Deployment it is known which values of ours Helm has brought to it.
MARKER: t.Final = "homecloud.k3s/values"
_CHART: t.Final = re.compile(r"traefik-(?P<version>(?P<major>\d+)\.[^/]*)\.tgz")
_HOSTS: t.Final = re.compile(r"\bHost\(([^)]*)\)")
_PATH: t.Final = re.compile(r"\bPath(?:Prefix)?\(([^)]*)\)")
_LITERAL: t.Final = re.compile(r"`([^`]*)`|\"([^\"]*)\"")


@dataclass(frozen=True)
class Claim:
    """A host and a path for which an object has Traefik send requests somewhere."""

    host: str
    path: str
    kind: str
    namespace: str
    name: str


def chart(helm_chart: KubernetesObject | None) -> dict[str, t.Any] | None:
    """The chart that k3s installs Traefik by; None if it does not."""
    if helm_chart is None:
        return None
    match = _CHART.search(helm_chart["spec"].get("chart", ""))
    return {"version": match["version"], "major": int(match["major"])} if match else {"version": "", "major": 0}


def configuration(config: KubernetesObject | None, values: object, field_manager: str) -> dict[str, t.Any] | None:
    """What the chart is told over what k3s tells it. values: its text, read as YAML."""
    if config is None:
        return None
    content = config["spec"].get("valuesContent") or ""
    return {"settings": values or {}, "values_content": content, "ours": field_manager in managers(config)}


def deployment(thing: KubernetesObject | None) -> dict[str, t.Any] | None:
    """Traefik itself. version is the tag of its image."""
    if thing is None:
        return None
    containers = thing["spec"]["template"]["spec"]["containers"]
    ready, wanted = pod_counts(thing)
    return {
        "version": containers[0]["image"].rpartition(":")[2],
        "arguments": [argument for container in containers for argument in container.get("args") or []],
        "wanted": wanted,
        "ready": ready if is_ready(thing) else 0,
    }


def not_in_force(thing: KubernetesObject | None, values: Mapping[str, t.Any]) -> list[str]:
    """What of the values Traefik does not have yet, in words."""
    if thing is None:
        return ["there is no Deployment of Traefik"]
    if _marker(thing["metadata"].get("annotations")) != _marker(_deployment(values).get("annotations")):
        return ["Helm has not applied the values yet"]
    missing = missing_arguments(thing, values)
    if missing:
        return [f"Traefik was not given {argument}" for argument in missing]
    ready, wanted = pod_counts(thing)
    return [] if is_ready(thing) else [f"{ready} of {wanted} pods are ready"]


def not_finished(job: KubernetesObject | None) -> list[str]:
    """What Helm has yet to do, in words: some of what it changes comes after the Deployment. A job may be gone."""
    return [] if job is None or (job.get("status") or {}).get("succeeded") else ["Helm has not finished"]


def _deployment(values: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    found: Mapping[str, t.Any] = values.get("deployment") or {}
    return found


def _marker(annotations: Mapping[str, str] | None) -> str:
    return (annotations or {}).get(MARKER, "")


def missing_arguments(thing: KubernetesObject, values: Mapping[str, t.Any]) -> list[str]:
    """The arguments that the values ask for and Traefik was not given: a chart may be of another kind than is known.

    Names of arguments are the same in small and capital letters.
    """
    containers = thing["spec"]["template"]["spec"]["containers"]
    given = {_essence(argument) for container in containers for argument in container.get("args") or []}
    return [argument for argument in values.get("additionalArguments") or [] if _essence(argument) not in given]


def _essence(argument: str) -> tuple[str, str]:
    name, _equals, value = argument.partition("=")
    return name.lower(), value


def is_outdated(pods: Iterable[KubernetesObject], inputs: Iterable[KubernetesObject]) -> bool:
    """Whether a pod of Traefik was made before something that it reads only when it starts was last written."""
    made = [pod["metadata"]["creationTimestamp"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    written = [
        entry["time"]
        for thing in inputs
        for entry in thing["metadata"].get("managedFields") or []
        if "time" in entry  # The API writes all times so that they sort as text.
    ]
    return bool(made and written) and min(made) < max(written)


def addresses(service: KubernetesObject | None) -> list[str]:
    """The addresses of Traefik's Service."""
    status = (service or {}).get("status") or {}
    return [entry["ip"] for entry in (status.get("loadBalancer") or {}).get("ingress") or [] if "ip" in entry]


def claims(things: Iterable[KubernetesObject]) -> Iterator[Claim]:
    """The hosts that IngressRoutes and Ingresses ask for."""
    for thing in things:
        for host, path in _route_hosts(thing) if thing["kind"] == "IngressRoute" else _ingress_hosts(thing):
            metadata = thing["metadata"]
            yield Claim(host.lower(), path or "/", thing["kind"], metadata["namespace"], metadata["name"])


def _route_hosts(route: KubernetesObject) -> Iterator[tuple[str, str]]:
    for rule in route["spec"].get("routes") or []:
        match = rule.get("match", "")
        paths = [path for part in _PATH.findall(match) for path in _literals(part)] or ["/"]
        hosts = [host for part in _HOSTS.findall(match) for host in _literals(part)]
        yield from ((host, path) for host in hosts for path in paths)


def _literals(text: str) -> list[str]:
    return [first or second for first, second in _LITERAL.findall(text)]


def _ingress_hosts(ingress: KubernetesObject) -> Iterator[tuple[str, str]]:
    for rule in ingress["spec"].get("rules") or []:
        paths = (rule.get("http") or {}).get("paths") or [{}]
        yield from ((rule["host"], path.get("path", "/")) for path in paths if rule.get("host"))


@dataclass(frozen=True)
class Storage:
    """What a storage file of Traefik holds: its hash, and the names of each certificate."""

    sha256: str
    certificates: list[list[str]]


def storage(text: str) -> Storage:
    """Read a storage file, of which nothing but names is told. One that cannot be read has no certificates."""
    try:
        resolvers = json.loads(text) or {}
    except ValueError:
        resolvers = {}
    domains = [
        certificate["domain"]
        for resolver in resolvers.values()
        for certificate in (resolver or {}).get("Certificates") or []
    ]
    names = [[domain["main"], *(domain.get("sans") or [])] for domain in domains]
    return Storage(hashlib.sha256(text.encode()).hexdigest(), names)


def job_fault(pod: KubernetesObject, log: str) -> Fault | None:
    """Why Helm does not bring Traefik what it should; None if it may just need more time. log: that of its pod."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        ended = (status.get("lastState") or {}).get("terminated") or (status.get("state") or {}).get("terminated")
        if ended and ended.get("exitCode"):
            return Fault(
                "helm_failed",
                "error",
                "Helm cannot apply the values to the chart of Traefik. If it had begun, k3s takes Traefik away.",
                f"pod {pod['metadata']['name']}, {status.get('restartCount', 0)} restarts: {_last_error(log)}",
                'Correct what it names, mostly in "traefik_values"; "kubectl --namespace kube-system logs '
                f'{pod["metadata"]["name"]}" shows all of it.',
            )
    return None


def _last_error(log: str) -> str:
    """The last lines that speak of an error, or just the last one."""
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
    return "; ".join(dict.fromkeys((errors or lines)[-2:])) or "it has left no words"


def storage_fault(claim: KubernetesObject | None, message: str) -> Fault | None:
    """Why Traefik has no disk for its certificates."""
    if claim is None or (claim.get("status") or {}).get("phase") != "Pending" or not message:
        return None
    return Fault(
        "no_volume",
        "error",
        "Traefik gets no volume to keep its certificates on.",
        f"PersistentVolumeClaim {claim['metadata']['name']}: {' '.join(message.split())}",
        'Take "local-storage" out of "disable" in k3s_config, or name a StorageClass that there is in '
        '"traefik_values": {persistence: {storageClass: NAME}}.',
    )
