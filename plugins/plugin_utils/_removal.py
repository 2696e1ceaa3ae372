# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of pods and data when nodes are removed, and what speaks against it.

Private to the collection. Nodes, pods, volumes and budgets are as the API gives them.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import (
    KubernetesObject,
    condition,
    internal_addresses,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import selects
from ansible_collections.homecloud.k3s.plugins.plugin_utils._quorum import quorum_faults

Objects = Iterable[KubernetesObject]

_SERVER: t.Final = "node-role.kubernetes.io/control-plane"
_MIRROR: t.Final = "kubernetes.io/config.mirror"
_FORCE: t.Final = "set remove_node_force to true"


def removal_plan(
    names: str | Iterable[str],
    hosts: Mapping[str, str],
    cluster: Mapping[str, Sequence[KubernetesObject]],
    force: bool,
) -> dict[str, t.Any]:
    """What the removal of these nodes means: for each of them, and what speaks against it.

    names: of nodes or of hosts, in the order in which they leave; a text separates them by commas.
    hosts: the name that each host of the inventory has in the cluster.
    cluster: its nodes, pods, volumes and budgets.
    """
    wanted = [*filter(None, map(str.strip, names.split(",") if isinstance(names, str) else names))]
    nodes = {_name(node): node for node in cluster["nodes"]}
    unknown = [name for name in wanted if name not in hosts and name not in nodes]
    leaving = list(dict.fromkeys(str(hosts.get(name, name)) for name in wanted if name not in unknown))
    owners = {node: host for host, node in hosts.items()}
    removals = [
        {
            "node": name,
            "host": owners.get(name, ""),
            "in_cluster": name in nodes,
            "is_ready": name in nodes and condition(nodes[name], "Ready"),
            "is_server": name in nodes and _is_server(nodes[name]),
            **_losses(nodes.get(name), cluster),
        }
        for name in leaving
    ]
    faults = [
        *_unknown_faults(unknown, hosts, nodes),
        *(fault for removal in removals if removal["is_ready"] for fault in _pod_faults(removal, cluster, force)),
    ]
    return {
        "removals": removals,
        "api": _api([node for name, node in nodes.items() if name not in leaving], removals),
        "faults": [*map(asdict, faults), *quorum_faults(nodes.values(), leaving, for_good=True)],
    }


def drain_faults(pods: Objects, budgets: Objects) -> list[dict[str, t.Any]]:
    """Why pods have not left their node."""
    faults: list[Fault] = []
    for pod in filter(_has_to_leave, pods):
        blocking = list(_blocking(pod, budgets))
        faults += [_budget_fault(pod, budget, "error") for budget in blocking] or [_stuck_fault(pod)]
    return [asdict(fault) for fault in faults]


def _losses(node: KubernetesObject | None, cluster: Mapping[str, Objects]) -> dict[str, list[str]]:
    """The pods that move elsewhere, those that nobody makes anew, and the data that nobody has besides."""
    pods = [
        pod for pod in cluster["pods"] if node and pod["spec"].get("nodeName") == _name(node) and _has_to_leave(pod)
    ]
    return {
        "moving": [_name(pod) for pod in pods if _controller(pod)],
        "ending": [_name(pod) for pod in pods if not _controller(pod)],
        "lost": [_volume(volume) for volume in cluster["volumes"] if node and _is_only_on(volume, node)],
    }


def _unknown_faults(unknown: Sequence[str], hosts: Mapping[str, str], nodes: Iterable[str]) -> Iterator[Fault]:
    if unknown:
        yield Fault(
            "unknown_node",
            "error",
            f"There is no {' and no '.join(unknown)}, neither in the inventory nor in the cluster.",
            f"hosts of the inventory: {', '.join(sorted(hosts))}; nodes of the cluster: {', '.join(sorted(nodes))}",
            "Correct remove_node_names. What is in neither has been removed.",
        )


def _pod_faults(removal: Mapping[str, t.Any], cluster: Mapping[str, Objects], force: bool) -> Iterator[Fault]:
    if force:
        return
    if removal["ending"]:
        yield Fault(
            "pod_without_controller",
            "error",
            f"Nobody would make these pods of {removal['node']} anew elsewhere: {', '.join(removal['ending'])}.",
            "they have no controller, such as a Deployment",
            f"Delete them if nobody needs them, or {_FORCE}: then they end with their node.",
        )
    moving = set(removal["moving"])
    for pod in cluster["pods"]:
        if pod["spec"].get("nodeName") == removal["node"] and _name(pod) in moving:
            yield from (_budget_fault(pod, budget, "warning") for budget in _blocking(pod, cluster["budgets"]))


def _budget_fault(pod: KubernetesObject, budget: KubernetesObject, severity: t.Literal["error", "warning"]) -> Fault:
    status = budget.get("status") or {}
    healthy, needed = (status.get(key, 0) for key in ("currentHealthy", "desiredHealthy"))
    return Fault(
        "budget_blocks",
        severity,
        f"PodDisruptionBudget {_name(budget)} does not let pod {_name(pod)} leave its node now.",
        f"{healthy} of its pods are healthy, and {needed} have to stay",
        f"Give the workload another replica or change the budget. To delete the pod all the same, {_FORCE}.",
    )


def _stuck_fault(pod: KubernetesObject) -> Fault:
    ending = pod["metadata"].get("deletionTimestamp")
    return Fault(
        "pod_does_not_end",
        "error",
        f"Pod {_name(pod)} has not left its node in time.",
        f"it was to end by {ending}" if ending else "it was not told to end yet",
        "Set remove_node_timeout to more seconds, or look by kubectl describe at what it waits for.",
    )


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


def _is_only_on(volume: KubernetesObject, node: KubernetesObject) -> bool:
    """Whether the data of a volume are on the disk of this node."""
    host = (node["metadata"].get("labels") or {}).get("kubernetes.io/hostname", node["metadata"]["name"])
    required = (volume["spec"].get("nodeAffinity") or {}).get("required") or {}
    return any(
        entry["key"] == "kubernetes.io/hostname" and host in (entry.get("values") or [])
        for term in required.get("nodeSelectorTerms") or []
        for entry in term.get("matchExpressions") or []
    )


def _volume(volume: KubernetesObject) -> str:
    spec = volume["spec"]
    place = (spec.get("local") or spec.get("hostPath") or {}).get("path", volume["metadata"]["name"])
    claim = spec.get("claimRef")
    return f"{place}, claimed as {claim['namespace']}/{claim['name']}" if claim else str(place)


def _api(staying: Objects, removals: Iterable[Mapping[str, t.Any]]) -> str:
    """Where the API is, whatever server the kubeconfig names: at one that stays. Empty if no server leaves."""
    if not any(removal["is_server"] for removal in removals):
        return ""
    servers = [node for node in staying if _is_server(node) and condition(node, "Ready")]
    address = next((address for server in servers for address in internal_addresses(server)), "")
    return f"https://{f'[{address}]' if ':' in address else address}:6443" if address else ""


def _is_server(node: KubernetesObject) -> bool:
    return _SERVER in (node["metadata"].get("labels") or {})


def _name(thing: KubernetesObject) -> str:
    metadata = thing["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
