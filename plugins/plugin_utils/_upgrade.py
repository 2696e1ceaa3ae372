# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes an upgrade comes to, one after the other, and what speaks against it, before it and between two nodes.

Private to the collection. Nodes, pods, budgets and Deployments are as the API gives them. A node that is at it has an
annotation that says whether it took pods before, so that a run that was interrupted is gone on with.
"""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import (
    ETCD,
    SERVER,
    KubernetesObject,
    condition,
    has_role,
    name_of,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.plugin_utils._drain import leaving_faults, leaving_pods
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Version
from ansible_collections.homecloud.k3s.plugins.plugin_utils._quorum import quorum_faults
from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade_step import upgrade_step

Nodes = Mapping[str, KubernetesObject]
Hosts = Mapping[str, Mapping[str, str]]
Objects = Iterable[KubernetesObject]

_MARK: t.Final = "homecloud.k3s/upgrade"
_TAKES_PODS, _CORDONED = "takes-pods", "cordoned"
_OLDEST_AGENT: t.Final = 3  # minor versions that an agent may be behind its servers


def upgrade_plan(
    hosts: Hosts, cluster: Mapping[str, Sequence[KubernetesObject]], drain: bool, force: bool
) -> dict[str, t.Any]:
    """The nodes in the order in which they are upgraded, those that are not touched, and what speaks against it.

    hosts: those of the run in the order of the inventory, each with its node and the version it is to have.
    cluster: its nodes, pods, budgets and deployments.
    drain: whether pods are to leave a node before.
    force: whether pods that nobody makes anew may end, and budgets are disregarded.
    """
    nodes = {name_of(node): node for node in cluster["nodes"]}
    there = {host: told for host, told in hosts.items() if told["node"] in nodes}
    due = [host for host, told in there.items() if _is_due(nodes[told["node"]], told["version"])]
    due.sort(
        key=lambda host: (not has_role(nodes[there[host]["node"]], SERVER), _mark(nodes[there[host]["node"]]) == "")
    )
    steps = [_step(host, there[host], nodes, cluster["pods"], drain) for host in due]
    available = [name_of(thing) for thing in cluster["deployments"] if condition(thing, "Available")]
    faults = [
        *_step_faults(there, nodes),
        *_skew_faults(there, nodes),
        *_health_faults(node for node in nodes.values() if not _mark(node)),
        *_rest_faults(there, nodes),
        *_unavailable(thing for thing in cluster["deployments"] if name_of(thing) not in available),
        *(
            fault
            for step in steps
            if step["drains"] and not force
            for fault in leaving_faults(step, cluster, "upgrade")
        ),
    ]
    first = [step["node"] for step in steps if step["kind"] == "server"][:1]
    found = [*map(asdict, faults), *quorum_faults(nodes.values(), first, for_good=False)]
    return {
        "steps": steps,
        "untouched": [told["node"] for host, told in there.items() if host not in due],
        "available": available,
        "faults": sorted(found, key=lambda fault: fault["severity"] != "error"),
    }


def upgrade_health(nodes: Objects, deployments: Objects, available: Collection[str]) -> list[dict[str, t.Any]]:
    """Why the next node is not upgraded yet: a node, or a Deployment that was available before, is not well."""
    waiting = (thing for thing in deployments if name_of(thing) in available and not condition(thing, "Available"))
    return [asdict(fault) for fault in (*_health_faults(nodes), *_unavailable(waiting, "error"))]


def _is_due(node: KubernetesObject, version: str) -> bool:
    return bool(_version(node) != version or _mark(node))


def _step(host: str, told: Mapping[str, str], nodes: Nodes, pods: Objects, drain: bool) -> dict[str, t.Any]:
    name = told["node"]
    node = nodes[name]
    mark = _mark(node) or (_CORDONED if node["spec"].get("unschedulable") else _TAKES_PODS)
    others = any(_takes_pods(other) for key, other in nodes.items() if key != name)
    return {
        "host": host,
        "node": name,
        "kind": "server" if has_role(node, SERVER) else "agent",
        "from": _version(node),
        "to": told["version"],
        "resumed": bool(_mark(node)),
        "stays_cordoned": mark == _CORDONED,
        "drains": drain and others and _version(node) != told["version"] and condition(node, "Ready"),
        **leaving_pods(name, pods),
        # What becomes of the node before and afterwards, as patches.
        "begun": {"metadata": {"annotations": {_MARK: mark}}, "spec": {"unschedulable": True}},
        "done": {"metadata": {"annotations": {_MARK: None}}, "spec": {"unschedulable": mark == _CORDONED}},
    }


def _step_faults(hosts: Hosts, nodes: Nodes) -> Iterator[Fault]:
    for host, told in hosts.items():
        step = upgrade_step(_version(nodes[told["node"]]), told["version"])
        if step and step[0] != "upgrade":
            code, finding = step
            yield Fault(code, "error", finding.message, finding.evidence, finding.advice, host)


def _skew_faults(hosts: Hosts, nodes: Nodes) -> Iterator[Fault]:
    """Versions that would not go together once all is done, for hosts that are left out or are told another one."""
    told = {entry["node"]: entry["version"] for entry in hosts.values()}
    after = {name: Version.parse(told.get(name, _version(node))) for name, node in nodes.items()}
    known = {name: version for name, version in after.items() if version}
    servers = {name: version for name, version in known.items() if has_role(nodes[name], SERVER)}
    if not servers:
        return
    oldest = min(servers, key=servers.__getitem__)
    newest = max(servers.values())
    for name, version in known.items():
        allowed = 1 if name in servers else _OLDEST_AGENT
        is_ahead = name not in servers and version > servers[oldest]
        flaw = f"newer than the server {oldest}" if is_ahead else "too old for the newest server"
        if is_ahead or newest.numbers[1] - version.numbers[1] > allowed:
            yield Fault(
                "version_skew",
                "error",
                f"{name} would be {flaw}.",
                "versions after this run: "
                + ", ".join(f"{key} {told.get(key, _version(nodes[key]))}" for key in sorted(known)),
                "Upgrade all servers before agents, and leave none behind: set k3s_version once for all hosts, "
                "and run this without --limit.",
            )


def _health_faults(nodes: Objects) -> Iterator[Fault]:
    for node in nodes:
        name = name_of(node)
        if not condition(node, "Ready"):
            entries = (node.get("status") or {}).get("conditions") or []
            said = [entry.get("message", "") for entry in entries if entry["type"] == "Ready"]
            yield Fault(
                "node_not_ready",
                "error",
                f"{name} is not Ready.",
                " ".join(said) or "it says nothing",
                "Repair it; should it never come back, use the playbook homecloud.k3s.remove_node.",
            )
        elif has_role(node, ETCD) and not condition(node, "EtcdIsVoter"):
            yield Fault(
                "no_vote",
                "error",
                f"{name} has no vote in etcd.",
                "its condition EtcdIsVoter is not True",
                'Wait until it has caught up with the others; "journalctl -u k3s" on it shows what it does.',
            )


def _rest_faults(hosts: Hosts, nodes: Nodes) -> Iterator[Fault]:
    rest = sorted(set(nodes) - {told["node"] for told in hosts.values()})
    if rest:
        yield Fault(
            "node_left_out",
            "warning",
            f"No host of this run is {' or '.join(rest)}: what is not upgraded stays as it is.",
            ", ".join(f"{name} {_version(nodes[name])}" for name in rest),
            "Leave out --limit, put a missing node into the inventory, or use the playbook homecloud.k3s.remove_node.",
        )


def _unavailable(deployments: Objects, severity: t.Literal["error", "warning"] = "warning") -> Iterator[Fault]:
    for thing in deployments:
        status = thing.get("status") or {}
        yield Fault(
            "not_available",
            severity,
            f"Deployment {name_of(thing)} is not available.",
            f"{status.get('availableReplicas', 0)} of its {thing['spec'].get('replicas', 1)} pods are",
            f'Look at "kubectl --namespace {thing["metadata"]["namespace"]} get pods"'
            + ("." if severity == "error" else "; it is not waited for."),
        )


def _takes_pods(node: KubernetesObject) -> bool:
    """Whether pods that leave another node can come, once no upgrade is at this one."""
    is_cordoned = node["spec"].get("unschedulable") and _mark(node) != _TAKES_PODS
    taints = [taint for taint in node["spec"].get("taints") or [] if not taint["key"].startswith("node.kubernetes.io/")]
    return (
        condition(node, "Ready") and not is_cordoned and all(taint["effect"] == "PreferNoSchedule" for taint in taints)
    )


def _mark(node: KubernetesObject) -> str:
    return str((node["metadata"].get("annotations") or {}).get(_MARK, ""))


def _version(node: KubernetesObject) -> str:
    return str(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", ""))
