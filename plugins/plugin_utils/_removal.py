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
    SERVER,
    KubernetesObject,
    condition,
    has_role,
    internal_addresses,
    name_of,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.plugin_utils._drain import leaving_faults, leaving_pods
from ansible_collections.homecloud.k3s.plugins.plugin_utils._quorum import quorum_faults

Objects = Iterable[KubernetesObject]


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
    nodes = {name_of(node): node for node in cluster["nodes"]}
    unknown = [name for name in wanted if name not in hosts and name not in nodes]
    leaving = list(dict.fromkeys(str(hosts.get(name, name)) for name in wanted if name not in unknown))
    owners = {node: host for host, node in hosts.items()}
    removals = [
        {
            "node": name,
            "host": owners.get(name, ""),
            "in_cluster": name in nodes,
            "is_ready": name in nodes and condition(nodes[name], "Ready"),
            "is_server": name in nodes and has_role(nodes[name], SERVER),
            **_losses(nodes.get(name), cluster),
        }
        for name in leaving
    ]
    drained = [removal for removal in removals if removal["is_ready"] and not force]
    faults = [
        *_unknown_faults(unknown, hosts, nodes),
        *(fault for removal in drained for fault in leaving_faults(removal, cluster, "remove_node")),
    ]
    return {
        "removals": removals,
        "api": _api([node for name, node in nodes.items() if name not in leaving], removals),
        "faults": [*map(asdict, faults), *quorum_faults(nodes.values(), leaving, for_good=True)],
    }


def _losses(node: KubernetesObject | None, cluster: Mapping[str, Objects]) -> dict[str, list[str]]:
    """The pods that move elsewhere, those that nobody makes anew, and the data that nobody has besides."""
    return {
        **leaving_pods(name_of(node) if node else "", cluster["pods"]),
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
    servers = [node for node in staying if has_role(node, SERVER) and condition(node, "Ready")]
    address = next((address for server in servers for address in internal_addresses(server)), "")
    return f"https://{f'[{address}]' if ':' in address else address}:6443" if address else ""
