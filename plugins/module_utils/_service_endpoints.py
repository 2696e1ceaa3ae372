# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why a Service has not the endpoints that it should have.

from __future__ import annotations

import typing as t
from difflib import SequenceMatcher

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import condition, named
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import (
    ready_endpoints,
    slices,
    workloads_behind,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels, place
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import (
    pod_reasons,
    reason_faults,
    serves,
    workload_reasons,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot


def endpoint_faults(service: KubernetesObject, snapshot: Snapshot, wanted: int) -> list[Fault]:
    if not service["spec"].get("selector"):
        return [_without_selector(service, snapshot, wanted)]
    pods = [pod for pod in _matching(service, snapshot.beside(service, "Pod")) if not _has_ended(pod)]
    refusals = _refusals(service, snapshot)
    if not pods and not refusals and snapshot.tells("Pod"):
        return [_no_pod(service, snapshot)]
    faults = [*refusals, *_unknown_ports(service, pods)]
    if sum(serves(pod) for pod in pods) < wanted:
        faults += _pods_faults(service, pods, snapshot)
    if not faults and 0 < len(pods) < wanted:
        faults.append(_too_few(service, pods, wanted, snapshot))
    return faults or [_not_ready(service, pods, wanted, snapshot)]


def _matching(service: KubernetesObject, pods: Iterable[KubernetesObject]) -> list[KubernetesObject]:
    selector = service["spec"]["selector"]
    return [pod for pod in pods if selector.items() <= labels(pod).items()]


def _has_ended(pod: KubernetesObject) -> bool:
    """Whether a pod is no endpoint any more, whatever it does."""
    return "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _without_selector(service: KubernetesObject, snapshot: Snapshot, wanted: int) -> Fault:
    name = service["metadata"]["name"]
    if slices(service, snapshot):
        return _not_ready(service, [], wanted, snapshot)
    return Fault(
        "no_endpoint_slices",
        "error",
        f"{named(service)} selects no pods, and nobody else has said where it leads.",
        f'it has no selector, and no EndpointSlice has the label "kubernetes.io/service-name: {name}"',
        'Set "selector" to the labels of its pods. Or, if it shall lead elsewhere, create an EndpointSlice with that '
        'label and the addresses. To wait for none, set "wait_endpoints" to 0.',
    )


def _refusals(service: KubernetesObject, snapshot: Snapshot) -> list[Fault]:
    """Pods that workloads should have, and the API does not admit."""
    events = Events(snapshot.of_kind("Event"))
    reasons = [
        reason for thing in workloads_behind(service, snapshot) for reason in workload_reasons(thing, (), events)
    ]
    return reason_faults(service, reasons)


def _pods_faults(service: KubernetesObject, pods: list[KubernetesObject], snapshot: Snapshot) -> Iterator[Fault]:
    """What keeps pods from serving."""
    faulty = [pod for pod in pods if _node(pod, snapshot) is None]
    yield from reason_faults(service, pod_reasons(faulty, Events(snapshot.of_kind("Event"))))
    lost = [pod for pod in pods if pod not in faulty]
    for node in dict.fromkeys(_node(pod, snapshot) for pod in lost):
        on_it = [pod["metadata"]["name"] for pod in lost if _node(pod, snapshot) == node]
        yield Fault(
            "node_not_ready",
            "error",
            f"The node {node}, which has pods of {named(service)}, is not Ready.",
            f"pods on it: {listed(on_it)}",
            f'Bring it back: "kubectl describe node {node}" shows what is wrong. If it is gone for good, '
            f'"kubectl delete node {node}" has others take its pods.',
        )


def _node(pod: KubernetesObject, snapshot: Snapshot) -> str | None:
    """The node of a pod if it is that which keeps the pod from serving."""
    name = pod["spec"].get("nodeName")
    down = [
        node for node in snapshot.of_kind("Node") if node["metadata"]["name"] == name and not condition(node, "Ready")
    ]
    return name if down and not serves(pod) else None


def _no_pod(service: KubernetesObject, snapshot: Snapshot) -> Fault:
    evidence, advice = (
        _in_workload(service, snapshot)
        or _ended(service, snapshot)
        or _elsewhere(service, snapshot)
        or _nearest(service, snapshot)
    )
    namespace = service["metadata"]["namespace"]
    return Fault(
        "no_pod_selected",
        "error",
        f"{named(service)} selects no pod: there is none with {_text(service['spec']['selector'])} in the namespace "
        f"{namespace}.",
        evidence,
        advice,
    )


def _in_workload(service: KubernetesObject, snapshot: Snapshot) -> tuple[str, str] | None:
    """The workload that would have pods for it."""
    for workload in workloads_behind(service, snapshot):
        namespace, name = place(workload)
        if workload["spec"].get("replicas") == 0:
            return (
                f"{named(workload)} makes such pods, but has 0 replicas",
                f'Give it some: "kubectl --namespace {namespace} scale deployment {name} --replicas=1", or where it is '
                "described.",
            )
        return (
            f"{named(workload)} makes such pods, but has none now",
            f'Look at "kubectl --namespace {namespace} describe {workload["kind"].lower()} {name}".',
        )
    return None


def _ended(service: KubernetesObject, snapshot: Snapshot) -> tuple[str, str] | None:
    pods = _matching(service, snapshot.beside(service, "Pod"))
    return (
        (
            f"{_names(pods)} with these labels: ended",
            "Have them made by a Deployment, which replaces those that end, or wait until it has done so.",
        )
        if pods
        else None
    )


def _elsewhere(service: KubernetesObject, snapshot: Snapshot) -> tuple[str, str] | None:
    pods = _matching(service, snapshot.of_kind("Pod"))
    if not pods:
        return None
    namespace = pods[0]["metadata"]["namespace"]
    there = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
    return (
        f"in the namespace {namespace} with these labels: {_names(there)}",
        f'A Service leads to pods of its own namespace: set "namespace" to {namespace}, or move the pods.',
    )


def _nearest(service: KubernetesObject, snapshot: Snapshot) -> tuple[str, str]:
    """The pods whose labels are most like those that it selects by."""
    selector = service["spec"]["selector"]
    pods = [pod for pod in snapshot.beside(service, "Pod") if not _has_ended(pod)]
    if not pods:
        return (
            "there is no pod in the namespace",
            'Deploy them first, or set "namespace" to the one where they are.',
        )
    best = max(pods, key=lambda pod: _likeness(selector, labels(pod)))
    alike = [pod for pod in pods if _of(selector, labels(pod)) == _of(selector, labels(best))]
    differences = "; ".join(
        f"{key} is {labels(best)[key]} instead of {value}" if key in labels(best) else f"{key} is not among its labels"
        for key, value in selector.items()
        if labels(best).get(key) != value
    )
    own = {key: value for key, value in labels(best).items() if not key.endswith("-hash")}
    return (
        f"nearest: {_names(alike)} with {_text(own)}: {differences}",
        'Set "selector" to labels that the pods have, or give them the labels that it names.',
    )


def _likeness(selector: Mapping[str, str], own: Mapping[str, str]) -> tuple[int, int, float]:
    return (
        len(selector.items() & own.items()),
        len(selector.keys() & own.keys()),
        SequenceMatcher(None, _text(selector), _text(own)).ratio(),
    )


def _of(selector: Mapping[str, str], own: Mapping[str, str]) -> list[str | None]:
    return [own.get(key) for key in selector]


def _unknown_ports(service: KubernetesObject, pods: list[KubernetesObject]) -> Iterator[Fault]:
    """Ports that are named after one that the pods do not have."""
    for port in service["spec"].get("ports") or []:
        target, protocol = port.get("targetPort"), port.get("protocol", "TCP")
        having = [pod for pod in pods if target in _port_names(pod, protocol)]
        without = [pod for pod in pods if pod not in having]
        if without and isinstance(target, str):
            ports = dict.fromkeys(text for pod in without for text in _ports(pod))
            yield Fault(
                "unknown_target_port",
                "error",
                f'{named(service)} leads to the port "{target}" ({protocol}) of its pods, and '
                f"{'some of them have' if having else 'they have'} none of that name.",
                f"{_names(without)} with {f'the ports {listed(ports)}' if ports else 'no ports declared'}",
                'Set "target_port" in "ports" to the name or the number of a port of the pods, or name their port so.',
            )


def _port_names(pod: KubernetesObject, protocol: str) -> list[str]:
    return [
        port["name"] for port in _container_ports(pod) if "name" in port and port.get("protocol", "TCP") == protocol
    ]


def _ports(pod: KubernetesObject) -> list[str]:
    return [
        f"{port['name']} ({port['containerPort']}/{port.get('protocol', 'TCP')})"
        if "name" in port
        else f"{port['containerPort']}/{port.get('protocol', 'TCP')} without a name"
        for port in _container_ports(pod)
    ]


def _container_ports(pod: KubernetesObject) -> list[Mapping[str, t.Any]]:
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    return [port for container in containers for port in container.get("ports") or []]


def _too_few(service: KubernetesObject, pods: list[KubernetesObject], wanted: int, snapshot: Snapshot) -> Fault:
    workloads = [
        f"{named(workload)} has {workload['spec']['replicas']} replicas"
        for workload in workloads_behind(service, snapshot)
        if "replicas" in workload["spec"]
    ]
    return Fault(
        "too_few_endpoints",
        "error",
        f"{named(service)} shall have {wanted} endpoints, but selects only {len(pods)} pods.",
        "; ".join([_names(pods), *workloads]),
        'Raise "replicas" of what makes the pods, or lower "wait_endpoints".',
    )


def _not_ready(service: KubernetesObject, pods: list[KubernetesObject], wanted: int, snapshot: Snapshot) -> Fault:
    waiting = [
        f"pod {pod['metadata']['name']}: {entry.get('message') or entry.get('reason') or 'not Ready'}"
        for pod in pods
        if not serves(pod)
        for entry in (pod.get("status") or {}).get("conditions") or [{"type": "Ready"}]
        if entry["type"] == "Ready"
    ]
    namespace, name = place(service)
    ready = ready_endpoints(service, snapshot)
    families = service["spec"].get("ipFamilies") or []
    seen = f"its EndpointSlices have {ready}" + (f" (for each of {', '.join(families)})" if len(families) > 1 else "")
    return Fault(
        "endpoints_not_ready",
        "error",
        f"{named(service)} has {ready} ready endpoints, and shall have {wanted}.",
        listed(waiting, "; ") or seen,
        "They may just need more time. If not, look at "
        f'"kubectl --namespace {namespace} get endpointslices --selector kubernetes.io/service-name={name}".'
        if not waiting
        else f'They may just need more time. If not, look at "kubectl --namespace {namespace} describe pods".',
    )


def _names(pods: list[KubernetesObject]) -> str:
    return ("pod " if len(pods) == 1 else "pods ") + listed(pod["metadata"]["name"] for pod in pods)


def _text(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in selector.items()) or "no labels"
