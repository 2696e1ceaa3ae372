# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why what runs on a cluster is not ready, by what the API says of it.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import is_rolled_out, pod_counts
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import addresses_of, annotation

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

_NOT_PULLED: t.Final = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_NOT_CREATED: t.Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NOT_BEGUN: t.Final = ("StartError", "ContainerCannotRun")
_NOT_STARTED: t.Final = ("FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume")


@dataclass(frozen=True)
class _Kind:
    """What a code says, and what to do. The words in braces are the workload's and the pod's."""

    message: str
    advice: str


_DESCRIBE: t.Final = '"kubectl --namespace {namespace} describe pod {pod}" shows more.'
_KINDS: t.Final = {
    "pods_refused": _Kind(
        "The pods of {name} are not admitted.",
        "A quota, a limit or a policy of the namespace {namespace} forbids them: change it, or what they ask for.",
    ),
    "unschedulable": _Kind(
        "No node takes a pod of {name}.",
        'Ask for less in "resources", free or add nodes, or look at their taints with "kubectl describe nodes".',
    ),
    "image_not_pulled": _Kind(
        "The image of {name} cannot be pulled.",
        "Correct the name and the tag of the image, and look whether the nodes reach its registry "
        "and whether it has the image for their architecture.",
    ),
    "container_not_created": _Kind(
        "The container of {name} cannot be created.",
        "Correct what it refers to: a Secret, a ConfigMap, one of their keys, a path. " + _DESCRIBE,
    ),
    "out_of_memory": _Kind(
        "The container of {name} was killed because it used more memory than it may.",
        'Raise the memory in "resources", or have the program use less.',
    ),
    "probe_failing": _Kind(
        "A pod of {name} does not answer as its probe asks.",
        'Look whether the program listens on the port, and at the probe; "kubectl --namespace {namespace} '
        'logs {pod}" shows what it says.',
    ),
    "crash_loop": _Kind(
        "The container of {name} ends again and again.",
        '"kubectl --namespace {namespace} logs --previous {pod}" shows what it says.',
    ),
    "pod_not_started": _Kind("A pod of {name} cannot be started.", _DESCRIBE),
    "pods_not_ready": _Kind(
        "{name} is not ready.",
        'Look at "kubectl --namespace {namespace} get pods --output wide".',
    ),
}


@dataclass(frozen=True)
class _Reason:
    code: str
    evidence: str
    pod: str = ""


class _Events:
    """The events of objects."""

    def __init__(self, events: Iterable[KubernetesObject]) -> None:
        self._events = sorted(events, key=_time)

    def last(self, thing: KubernetesObject, *reasons: str, beginning: str = "") -> str:
        """The message of the last event of these reasons, empty if there is none."""
        uid = thing["metadata"].get("uid")
        found = [
            event["message"].strip()
            for event in self._events
            if event.get("reason") in reasons and event["involvedObject"].get("uid") == uid and event.get("message")
        ]
        return next((message for message in reversed(found) if message.startswith(beginning)), "")


def workload_faults(objects: Iterable[KubernetesObject]) -> list[Fault]:
    """Why the Deployments, DaemonSets and Services among OBJECTS are not ready.

    The reasons are found among the Pods and Events there. Without them it is only said that something is not ready.
    """
    things = list(objects)
    events = _Events(thing for thing in things if thing["kind"] == "Event")
    pods = [thing for thing in things if thing["kind"] == "Pod"]
    faults: list[Fault] = []
    for thing in things:
        if thing["kind"] in ("Deployment", "DaemonSet") and not _is_ready(thing):
            faults += _faults(thing, list(_reasons(thing, pods, events)))
        elif thing["kind"] == "Service" and not has_address(thing):
            faults.append(_no_address(thing, events))
    return faults


def has_address(service: KubernetesObject) -> bool:
    """Whether a Service has the load balancer address that it asks for, if it asks for one."""
    if service["spec"].get("type") != "LoadBalancer":
        return True
    given, asked = addresses_of(service), annotation(service, "loadBalancerIPs")
    pool, asked_pool = annotation(service, "ip-allocated-from-pool"), annotation(service, "address-pool")
    return bool(given) and (not asked or asked in given) and (not asked_pool or not pool or asked_pool == pool)


def _is_ready(workload: KubernetesObject) -> bool:
    """Whether all pods serve, are of the current description, and no others are left."""
    available, wanted = pod_counts(workload)
    return is_rolled_out(workload) and available == wanted


def _faults(workload: KubernetesObject, reasons: list[_Reason]) -> Iterator[Fault]:
    """One fault for each kind of reason: what one pod lacks, the others mostly lack too."""
    metadata = workload["metadata"]
    serving, wanted = pod_counts(workload)
    for code in dict.fromkeys(reason.code for reason in reasons) or ["pods_not_ready"]:
        same = [reason for reason in reasons if reason.code == code] or [
            _Reason(code, f"{serving} of {wanted} pods serve")
        ]
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        words = {
            "name": f"{workload['kind']} {metadata['namespace']}/{metadata['name']}",
            "namespace": metadata["namespace"],
            "pod": same[0].pod,
        }
        where = f"pod {same[0].pod}{more}: " if same[0].pod else ""
        yield Fault(
            code=code,
            severity="error",
            message=_KINDS[code].message.format(**words),
            evidence=where + " ".join(same[0].evidence.split()),
            advice=_KINDS[code].advice.format(**words),
        )


def _reasons(workload: KubernetesObject, pods: list[KubernetesObject], events: _Events) -> Iterator[_Reason]:
    conditions = {condition["type"]: condition for condition in (workload.get("status") or {}).get("conditions") or []}
    refusal = conditions.get("ReplicaFailure", {}).get("message") or events.last(workload, "FailedCreate")
    if refusal:
        yield _Reason("pods_refused", refusal)
    for pod in pods:
        if _belongs(pod, workload) and not _serves(pod):
            reason = _reason(pod, events)
            if reason:
                yield reason


def _belongs(pod: KubernetesObject, workload: KubernetesObject) -> bool:
    labels = pod["metadata"].get("labels") or {}
    wanted: Mapping[str, str] = workload["spec"]["selector"].get("matchLabels") or {}
    same_namespace = pod["metadata"]["namespace"] == workload["metadata"]["namespace"]
    return same_namespace and bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def _serves(pod: KubernetesObject) -> bool:
    """Whether a pod is ready, or about to go."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready or "deletionTimestamp" in pod["metadata"]


def _reason(pod: KubernetesObject, events: _Events) -> _Reason | None:
    """What keeps a pod from being ready; None if it may just need more time."""
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return _Reason("unschedulable", condition.get("message", ""), name)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        code, evidence = _container_reason(container, pod, events)
        if code:
            return _Reason(code, evidence, name)
    not_started = events.last(pod, *_NOT_STARTED) if _is_waiting(status) else ""
    return _Reason("pod_not_started", not_started, name) if not_started else None


def _is_waiting(status: Mapping[str, t.Any]) -> bool:
    """Whether no container of a pod has been started yet."""
    containers = status.get("containerStatuses") or []
    return all("waiting" in (container.get("state") or {}) for container in containers)


def _container_reason(container: Mapping[str, t.Any], pod: KubernetesObject, events: _Events) -> tuple[str, str]:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    ended = (container.get("lastState") or {}).get("terminated") or state.get("terminated") or {}
    unhealthy = events.last(pod, "Unhealthy")
    if waiting.get("reason") in _NOT_PULLED:
        # The state soon says no more than that it waits; what the registry said stands in the event.
        said = events.last(pod, "Failed", "InspectFailed", beginning="Failed to")
        return "image_not_pulled", said or waiting.get("message", "")
    if waiting.get("reason") in _NOT_CREATED:
        return "container_not_created", waiting.get("message", "")
    if ended.get("reason") in _NOT_BEGUN:
        return "container_not_created", ended.get("message", "")
    if ended.get("reason") == "OOMKilled":
        return "out_of_memory", _end(ended, container)
    if "Liveness" in unhealthy or "Startup" in unhealthy:
        return "probe_failing", unhealthy
    # One restart is none: nodes restart too.
    starts_again = "running" in state and container.get("restartCount", 0) < 2
    if waiting.get("reason") == "CrashLoopBackOff" or (ended.get("exitCode") and not starts_again):
        return "crash_loop", _end(ended, container)
    if "running" in state and not container.get("ready") and unhealthy:
        return "probe_failing", unhealthy
    return "", ""


def _end(ended: Mapping[str, t.Any], container: Mapping[str, t.Any]) -> str:
    """How a container has ended, with the last line that it said if the API knows it."""
    said = (ended.get("message") or "").strip().splitlines()
    facts = [
        f"exit code {ended.get('exitCode', 'unknown')}",
        f"{container.get('restartCount', 0)} restarts",
        *([f"last words: {said[-1]}"] if said else []),
    ]
    return ", ".join(facts)


def _no_address(service: KubernetesObject, events: _Events) -> Fault:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    asked = annotation(service, "loadBalancerIPs") or annotation(service, "address-pool")
    given = ", ".join(addresses_of(service))
    return Fault(
        code="no_address",
        severity="error",
        message=f"The Service {namespace}/{name} has no load balancer address{f' of {asked}' if asked else ''}.",
        evidence=events.last(service, "AllocationFailed", "LoadBalancerFailed")
        or (f"it has {given}" if given else "status.loadBalancer.ingress is empty"),
        advice=f'Look whether metallb_pools has a free address for it, and at "kubectl --namespace {namespace} '
        f'describe service {name}".',
    )


def _time(event: KubernetesObject) -> str:
    """When an event was last seen; the API writes all times so that they sort as text."""
    metadata = event["metadata"]
    return event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or ""
