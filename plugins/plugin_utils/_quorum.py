# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster keeps its datastore while servers leave, for a while or for good.

Private to the collection. Nodes are as the API gives them.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Sequence
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

_HEALTH: t.Final = ("Ready", "EtcdIsVoter")

Nodes = Sequence[KubernetesObject]


def quorum_faults(nodes: Iterable[KubernetesObject], leaving: Iterable[str], for_good: bool) -> list[dict[str, t.Any]]:
    """What speaks against it that the nodes of these names leave the cluster.

    for_good: they are removed from it, one after the other in this order. Otherwise they are away together, and back
    afterwards.
    """
    there, names = list(nodes), list(leaving)
    members = _with_role(there, ETCD)
    if for_good:
        faults = [*_last_server_faults(there, names)] or [*_removal_faults(members, names)]
    else:
        faults = [*_absence_faults(members, names)]
    return [asdict(fault) for fault in faults]


def _last_server_faults(nodes: Nodes, leaving: Sequence[str]) -> Iterator[Fault]:
    # Of those with a datastore of its own there may be some that have no API, and the other way round.
    for role in (SERVER, ETCD):
        servers = _with_role(nodes, role)
        if servers and not _without(servers, leaving):
            yield Fault(
                "last_server",
                "error",
                "No server would remain, and with the last one the cluster is lost.",
                f"its servers are {_names(servers)}",
                "Add another server first. To end the cluster, use the playbook homecloud.k3s.reset.",
            )
            return


def _removal_faults(members: Nodes, leaving: Sequence[str]) -> Iterator[Fault]:
    """The first removal that the members could not agree upon, or could not go on after."""
    for name in leaving:
        rest = _without(members, [name])
        if rest == members:
            continue
        if not _has_majority(members, members):
            yield _no_quorum(members)
            return
        if not _has_majority(rest, rest):
            yield _quorum_lost(name, members, rest)
            return
        members = rest


def _absence_faults(members: Nodes, leaving: Sequence[str]) -> Iterator[Fault]:
    rest = _without(members, leaving)
    if rest == members:
        return
    # One or two members have no majority while one is away, however well they are: then it has to be the only one.
    is_enough = all(map(_is_healthy, rest)) if len(members) <= 2 else _has_majority(rest, members)
    if not is_enough:
        yield _quorum_lost(_names([member for member in members if member not in rest]), members, rest)


def _no_quorum(members: Nodes) -> Fault:
    sick = _names([member for member in members if not _is_healthy(member)])
    return Fault(
        "quorum_lost",
        "error",
        "The datastore has no majority of healthy servers, so that no server can be removed from it.",
        _health(members),
        f"Repair {sick} first. If that cannot be, stop k3s on a healthy server, and "
        '"k3s server --cluster-reset" there makes it the only one.',
    )


def _quorum_lost(away: str, members: Nodes, rest: Nodes) -> Fault:
    sick = _names([member for member in rest if not _is_healthy(member)])
    return Fault(
        "quorum_lost",
        "error",
        f"Without {away} the datastore has no majority of healthy servers.",
        _health(members),
        f"Repair {sick} first, or if that cannot be, remove it first with the playbook homecloud.k3s.remove_node."
        if sick
        else "Let fewer servers leave at once.",
    )


def _health(members: Nodes) -> str:
    sick = [_ailment(member) for member in members if not _is_healthy(member)]
    return f"the servers are {_names(members)}; {', '.join(sorted(sick)) or 'all are healthy'}"


def _ailment(member: KubernetesObject) -> str:
    lacking = [kind for kind in _HEALTH if not condition(member, kind)]
    return f"{name_of(member)} is not {' and not '.join(lacking)}"


def _is_healthy(member: KubernetesObject) -> bool:
    return all(condition(member, kind) for kind in _HEALTH)


def _has_majority(some: Nodes, members: Nodes) -> bool:
    return 2 * sum(map(_is_healthy, some)) > len(members)


def _with_role(nodes: Nodes, role: str) -> Nodes:
    return [node for node in nodes if has_role(node, role)]


def _without(nodes: Nodes, leaving: Iterable[str]) -> Nodes:
    names = set(leaving)
    return [node for node in nodes if name_of(node) not in names]


def _names(nodes: Nodes) -> str:
    return ", ".join(sorted(map(name_of, nodes)))
