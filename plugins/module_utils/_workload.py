# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why what runs on a cluster is not ready, by what the API says of it.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import condition, is_ready, named, pod_counts
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import selects
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels, place

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        "The image of a pod of {name} cannot be pulled.",
        "Correct the name and the tag of the image, and look whether the nodes reach its registry "
        "and whether it has the image for their architecture.",
    ),
    "container_not_created": _Kind(
        "A container of a pod of {name} cannot be created.",
        "Correct what it refers to: a Secret, a ConfigMap, one of their keys, a path. " + _DESCRIBE,
    ),
    "out_of_memory": _Kind(
        "A container of a pod of {name} was killed because it used more memory than it may.",
        'Raise the memory in "resources", or have the program use less.',
    ),
    "probe_failing": _Kind(
        "A pod of {name} does not answer as its probe asks.",
        'Look whether the program listens on the port, and at the probe; "kubectl --namespace {namespace} '
        'logs {pod}" shows what it says.',
    ),
    "crash_loop": _Kind(
        "A container of a pod of {name} ends again and again.",
        '"kubectl --namespace {namespace} logs --previous {pod}" shows what it says.',
    ),
    "pod_not_started": _Kind("A pod of {name} cannot be started.", _DESCRIBE),
    "pods_not_ready": _Kind(
        "{name} is not ready.",
        'Look at "kubectl --namespace {namespace} get pods --output wide".',
    ),
}


@dataclass(frozen=True)
class Reason:
    """Why a pod does not serve, and by what that was seen. pod is empty where there is not even one."""

    code: str
    evidence: str
    pod: str = ""


def workload_faults(objects: Iterable[KubernetesObject]) -> list[Fault]:
    """Why the Deployments and DaemonSets among OBJECTS are not ready.

    The reasons are found among the Pods and Events there. Without them it is only said that something is not ready.
    """
    things = list(objects)
    events = Events(thing for thing in things if thing["kind"] == "Event")
    pods = [thing for thing in things if thing["kind"] == "Pod"]
    faults: list[Fault] = []
    for thing in things:
        if thing["kind"] in ("Deployment", "DaemonSet") and not is_ready(thing):
            faults += _faults(thing, workload_reasons(thing, pods, events))
    return faults


def _faults(workload: KubernetesObject, reasons: list[Reason]) -> list[Fault]:
    serving, wanted = pod_counts(workload)
    unknown = Reason("pods_not_ready", f"{serving} of {wanted} pods serve")
    return reason_faults(workload, reasons or [unknown])


def reason_faults(thing: KubernetesObject, reasons: Iterable[Reason]) -> list[Fault]:
    """One fault of THING for each kind of reason: what one pod lacks, the others mostly lack too."""
    by_code: dict[str, list[Reason]] = {}
    for reason in reasons:
        by_code.setdefault(reason.code, []).append(reason)
    return [_fault(thing, code, same) for code, same in by_code.items()]


def _fault(thing: KubernetesObject, code: str, reasons: list[Reason]) -> Fault:
    first = reasons[0]
    words = {"name": named(thing), "namespace": thing["metadata"]["namespace"], "pod": first.pod}
    return Fault(
        code=code,
        severity="error",
        message=_KINDS[code].message.format(**words),
        evidence=evidence(reasons),
        advice=_KINDS[code].advice.format(**words),
    )


def evidence(reasons: list[Reason]) -> str:
    """What was seen of several pods with the same reason: that of the first one."""
    first = reasons[0]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return (f"pod {first.pod}{more}: " if first.pod else "") + " ".join(first.evidence.split())


def workload_reasons(workload: KubernetesObject, pods: Iterable[KubernetesObject], events: Events) -> list[Reason]:
    """Why a Deployment or a DaemonSet has not the pods that it should have, or why these do not serve."""
    conditions = {entry["type"]: entry for entry in (workload.get("status") or {}).get("conditions") or []}
    refusal = conditions.get("ReplicaFailure", {}).get("message") or events.last(workload, "FailedCreate")
    refused = [Reason("pods_refused", refusal)] if refusal else []
    return [*refused, *pod_reasons((pod for pod in pods if _belongs(pod, workload)), events)]


def pod_reasons(pods: Iterable[KubernetesObject], events: Events) -> list[Reason]:
    """Why pods do not serve. Nothing is said of those that may just need more time."""
    found = (_reason(pod, events) for pod in pods if not serves(pod))
    return [reason for reason in found if reason]


def _belongs(pod: KubernetesObject, workload: KubernetesObject) -> bool:
    return place(pod)[0] == place(workload)[0] and selects(workload["spec"]["selector"], labels(pod))


def serves(pod: KubernetesObject) -> bool:
    """Whether a pod is ready, or about to go."""
    return condition(pod, "Ready") or "deletionTimestamp" in pod["metadata"]


def _reason(pod: KubernetesObject, events: Events) -> Reason | None:
    """What keeps a pod from being ready; None if it may just need more time."""
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    for entry in status.get("conditions") or []:
        if entry["type"] == "PodScheduled" and entry.get("reason") == "Unschedulable":
            return Reason("unschedulable", entry.get("message", ""), name)
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        code, evidence = _container_reason(container, pod, events)
        if code:
            return Reason(code, evidence, name)
    not_started = events.last(pod, *_NOT_STARTED) if _is_waiting(status) else ""
    return Reason("pod_not_started", not_started, name) if not_started else None


def _is_waiting(status: Mapping[str, t.Any]) -> bool:
    """Whether no container of a pod has been started yet."""
    containers = status.get("containerStatuses") or []
    return all("waiting" in (container.get("state") or {}) for container in containers)


def _container_reason(container: Mapping[str, t.Any], pod: KubernetesObject, events: Events) -> tuple[str, str]:
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
