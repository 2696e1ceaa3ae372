# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why workloads are not ready, by objects as Kubernetes 1.36 writes them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

Thing = dict[str, t.Any]

IMAGE = "registry.example.org/nosuch:1"
PULL = f'Failed to pull image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'


def deployment(wanted: int = 1, available: int = 0, **status: object) -> Thing:
    counts = {"replicas": wanted, "updatedReplicas": wanted, "availableReplicas": available, "observedGeneration": 1}
    return {
        "kind": "Deployment",
        "metadata": {"name": "mysite", "namespace": "default", "generation": 1, "uid": "deployment"},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": "mysite"}}},
        "status": {**counts, **status},
    }


def daemonset(wanted: int, available: int) -> Thing:
    counts = dict.fromkeys(("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled"), wanted)
    return {
        "kind": "DaemonSet",
        "metadata": {"name": "speaker", "namespace": "default", "generation": 1, "uid": "daemonset"},
        "spec": {"selector": {"matchLabels": {"app": "mysite"}}},
        "status": {**counts, "numberAvailable": available, "observedGeneration": 1},
    }


def pod(name: str = "mysite-1", ready: bool = False, **status: object) -> Thing:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "mysite", "hash": "1"}},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}], **status},
    }


def container(state: Thing, last: Thing | None = None, restarts: int = 0) -> Thing:
    status = {"name": "mysite", "ready": False, "restartCount": restarts, "state": state, "lastState": last or {}}
    return {"containerStatuses": [status]}


def waiting(reason: str, message: str = "") -> Thing:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error", message: str = "") -> Thing:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def event(reason: str, message: str, uid: str = "mysite-1", at: str = "2026-11-22T12:00:00Z") -> Thing:
    return {
        "kind": "Event",
        "metadata": {"name": f"{uid}.1", "namespace": "default"},
        "involvedObject": {"uid": uid},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


RUNNING: Thing = {"running": {"startedAt": "2026-11-22T12:00:00Z"}}
BACK_OFF = waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=mysite")
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient memory.",
}
QUOTA = 'pods "mysite-1" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2, limited: pods=2'
NO_KEY = "couldn't find key PASSWORD in Secret default/mysite-secrets"
NO_VOLUME = 'MountVolume.SetUp failed for volume "files" : configmap "mysite-files" not found'
NOT_EXECUTABLE = 'exec: "serve": executable file not found in $PATH'
NO_CONNECTION = "Readiness probe failed: dial tcp 10.42.0.7:80: connect: connection refused"
NO_LIFE = "Liveness probe failed: HTTP probe failed with statuscode: 500"

REASONS: t.Final[list[tuple[str, str, list[Thing]]]] = [
    ("image_not_pulled", PULL, [pod(**container(waiting("ErrImagePull", PULL)))]),
    (
        "image_not_pulled",
        PULL,
        [
            pod(**container(waiting("ImagePullBackOff", f'Back-off pulling image "{IMAGE}"'))),
            event("Failed", PULL, at="2026-11-22T12:00:01Z"),
            event("Failed", "Error: ImagePullBackOff", at="2026-11-22T12:00:02Z"),
        ],
    ),
    ("image_not_pulled", "couldn't parse", [pod(**container(waiting("InvalidImageName", "couldn't parse it")))]),
    (
        "crash_loop",
        "exit code 1, 4 restarts, last words: unknown directive",
        [pod(**container(BACK_OFF, terminated(1, message="starting\nunknown directive\n"), 4))],
    ),
    ("crash_loop", "exit code 2, 0 restarts", [pod(**container(terminated(2)))]),
    ("crash_loop", "exit code 1", [pod(**container(RUNNING, terminated(1), 3)), event("Unhealthy", NO_CONNECTION)]),
    ("crash_loop", "exit code 0", [pod(**container(BACK_OFF, terminated(0, "Completed"), 3))]),
    ("out_of_memory", "exit code 137", [pod(**container(BACK_OFF, terminated(137, "OOMKilled"), 2))]),
    ("unschedulable", "3 Insufficient memory", [pod(conditions=[UNSCHEDULABLE])]),
    ("probe_failing", NO_CONNECTION, [pod(**container(RUNNING)), event("Unhealthy", NO_CONNECTION)]),
    (
        "probe_failing",
        NO_CONNECTION,
        [pod(**container(RUNNING, terminated(255, "Unknown"), 1)), event("Unhealthy", NO_CONNECTION)],
    ),
    ("probe_failing", NO_LIFE, [pod(**container(BACK_OFF, terminated(137), 5)), event("Unhealthy", NO_LIFE)]),
    ("container_not_created", NO_KEY, [pod(**container(waiting("CreateContainerConfigError", NO_KEY)))]),
    (
        "container_not_created",
        NOT_EXECUTABLE,
        [pod(**container(BACK_OFF, terminated(128, "StartError", NOT_EXECUTABLE), 3))],
    ),
    (
        "pod_not_started",
        NO_VOLUME,
        [pod(**container(waiting("ContainerCreating"))), event("FailedMount", NO_VOLUME)],
    ),
    (
        "pod_not_started",
        "plugin type",
        [
            pod(**container(waiting("ContainerCreating"))),
            event("FailedCreatePodSandBox", 'plugin type="flannel" failed'),
        ],
    ),
    (
        "crash_loop",
        "exit code 3",
        [
            pod(
                initContainerStatuses=container(BACK_OFF, terminated(3), 2)["containerStatuses"],
                **container(waiting("PodInitializing")),
            )
        ],
    ),
    ("pods_not_ready", "0 of 1 pods serve", [pod(**container(waiting("ContainerCreating")))]),
    ("pods_not_ready", "0 of 1 pods serve", [pod(**container(RUNNING))]),
    ("pods_not_ready", "0 of 1 pods serve", []),
]


@pytest.mark.parametrize(("code", "evidence", "things"), REASONS)
@pytest.mark.parametrize("workload", [deployment(), daemonset(1, 0)], ids=["Deployment", "DaemonSet"])
def test_the_reason_is_found(workload: Thing, code: str, evidence: str, things: list[Thing]) -> None:
    (fault,) = workload_faults([*things, workload])
    assert fault.code == code
    assert evidence in fault.evidence
    assert f"{workload['kind']} default/{workload['metadata']['name']}" in fault.message
    assert "{" not in fault.message + fault.advice


def test_pods_that_are_refused_are_a_reason() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    (fault,) = workload_faults([deployment(conditions=[condition])])
    assert (fault.code, fault.evidence) == ("pods_refused", QUOTA)
    (fault,) = workload_faults([daemonset(1, 0), event("FailedCreate", QUOTA, "daemonset")])
    assert (fault.code, fault.evidence) == ("pods_refused", QUOTA)


def test_pods_with_the_same_reason_are_one_fault() -> None:
    pods = [pod(f"mysite-{n}", **container(waiting("ErrImagePull", PULL))) for n in (1, 2, 3)]
    other = pod("mysite-4", conditions=[UNSCHEDULABLE])
    found = workload_faults([deployment(4), *pods, other])
    assert [fault.code for fault in found] == ["image_not_pulled", "unschedulable"]
    assert found[0].evidence.startswith("pod mysite-1 (and 2 more): ")


def test_only_pods_of_the_workload_that_do_not_serve_are_looked_at() -> None:
    broken = container(waiting("ErrImagePull", PULL))
    other = pod(**broken)
    other["metadata"]["labels"] = {"app": "other"}
    elsewhere = pod(**broken)
    elsewhere["metadata"]["namespace"] = "web"
    going = pod(**broken)
    going["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    serving = pod(ready=True, **container(RUNNING, terminated(1), 9))
    assert codes(workload_faults([deployment(), other, elsewhere, going, serving])) == ["pods_not_ready"]


def codes(faults: list[Fault]) -> list[str]:
    return [fault.code for fault in faults]


@pytest.mark.parametrize(
    "workload",
    [
        deployment(2, 2, observedGeneration=0),
        deployment(2, 2, updatedReplicas=1),
        deployment(2, 2, replicas=3),
        {**deployment(), "status": {}},
        daemonset(3, 2),
    ],
)
def test_what_is_on_its_way_is_not_ready(workload: Thing) -> None:
    assert codes(workload_faults([workload])) == ["pods_not_ready"]


@pytest.mark.parametrize(
    "workload", [deployment(2, 2), daemonset(3, 3), {**deployment(0), "status": {"observedGeneration": 1}}]
)
def test_what_is_ready_has_no_fault(workload: Thing) -> None:
    assert workload_faults([workload, pod(**container(waiting("ErrImagePull", PULL)))]) == []
