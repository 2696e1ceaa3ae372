# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the pods of a node that is drained, and what keeps them there.

Private to the collection. Pods and budgets are as the API gives them. PLAYBOOK is the one that drains: advice names its
variables, as remove_node_force.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject, name_of
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import selects

Objects = Iterable[KubernetesObject]

_MIRROR: t.Final = "kubernetes.io/config.mirror"


def drain_faults(pods: Objects, budgets: Objects, playbook: str) -> list[dict[str, t.Any]]:
    """Why pods have not left their node."""
    faults: list[Fault] = []
    for pod in filter(_has_to_leave, pods):
        blocking = list(_blocking(pod, budgets))
        faults += [_budget_fault(pod, budget, playbook, "error") for budget in blocking] or [
            _stuck_fault(pod, playbook)
        ]
    return [asdict(fault) for fault in faults]


def leaving_pods(node: str, pods: Objects) -> dict[str, list[str]]:
    """The pods of a node that move elsewhere, and those that nobody makes anew."""
    leaving = [pod for pod in pods if pod["spec"].get("nodeName") == node and _has_to_leave(pod)]
    return {
        "moving": [name_of(pod) for pod in leaving if _controller(pod)],
        "ending": [name_of(pod) for pod in leaving if not _controller(pod)],
    }


def leaving_faults(leaving: Mapping[str, t.Any], cluster: Mapping[str, Objects], playbook: str) -> Iterator[Fault]:
    """What speaks against it that these pods leave their node."""
    if leaving["ending"]:
        yield Fault(
            "pod_without_controller",
            "error",
            f"Nobody would make these pods of {leaving['node']} anew elsewhere: {', '.join(leaving['ending'])}.",
            "they have no controller, such as a Deployment",
            f"Delete them if nobody needs them, or {_forced(playbook)}: then they end with their node.",
        )
    moving = set(leaving["moving"])
    for pod in cluster["pods"]:
        if pod["spec"].get("nodeName") == leaving["node"] and name_of(pod) in moving:
            yield from (
                _budget_fault(pod, budget, playbook, "warning") for budget in _blocking(pod, cluster["budgets"])
            )


def _budget_fault(
    pod: KubernetesObject, budget: KubernetesObject, playbook: str, severity: t.Literal["error", "warning"]
) -> Fault:
    status = budget.get("status") or {}
    healthy, needed = (status.get(key, 0) for key in ("currentHealthy", "desiredHealthy"))
    return Fault(
        "budget_blocks",
        severity,
        f"PodDisruptionBudget {name_of(budget)} does not let pod {name_of(pod)} leave its node now.",
        f"{healthy} of its pods are healthy, and {needed} have to stay",
        f"Give the workload another replica or change the budget. To delete the pod all the same, {_forced(playbook)}.",
    )


def _stuck_fault(pod: KubernetesObject, playbook: str) -> Fault:
    ending = pod["metadata"].get("deletionTimestamp")
    return Fault(
        "pod_does_not_end",
        "error",
        f"Pod {name_of(pod)} has not left its node in time.",
        f"it was to end by {ending}" if ending else "it was not told to end yet",
        f"Set {playbook}_timeout to more seconds, or look by kubectl describe at what it waits for.",
    )


def _forced(playbook: str) -> str:
    return f"set {playbook}_force to true"


def _blocking(pod: KubernetesObject, budgets: Objects) -> Iterator[KubernetesObject]:
    labels = pod["metadata"].get("labels") or {}
    for budget in budgets:
        here = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
        selector = budget["spec"].get("selector")
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        if here and selector is not None and selects(selector, labels) and not allowed:
            yield budget


def _has_to_leave(pod: KubernetesObject) -> bool:
    """Whether a drain has to do with a pod: those of DaemonSets and static ones go with their node."""
    is_over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    is_static = _MIRROR in (pod["metadata"].get("annotations") or {})
    return not is_over and not is_static and _controller(pod) != "DaemonSet"


def _controller(pod: KubernetesObject) -> str:
    """The kind of what makes a pod anew; empty if nobody does."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")
