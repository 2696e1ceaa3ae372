# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Which connections a node keeps with endpoints that are none of their Service any more.
# Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from collections import defaultdict

from ansible_collections.homecloud.k3s.plugins.module_utils._node_connections import read_connections
from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import packet_to, source_of
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import finding

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_connections import Connection
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

    Place = tuple[str, t.Optional[int]]

# The front ends for which each connection is worth following a packet. With more of them, only those to addresses that
# are no endpoint at all are looked at: these are the ones that go nowhere.
_FEW: t.Final = 20


def of_connections(view: View, frontends: Iterable[Frontend]) -> Iterator[Finding]:
    """The connections to front ends whose answers come from where the rules send nobody now."""
    if not view.around.connections:
        return
    doors = {(front.protocol, front.address, front.port): front for front in frontends}
    somewhere = view.proxier.endpoints() if len(doors) > _FEW else set()
    kept: dict[tuple[Frontend, Place, str], list[Connection]] = defaultdict(list)
    for connection in read_connections(view.around.connections):
        front = _front(connection, doors, view)
        answers: Place = (connection.answers_from, connection.answers_port)
        if front and connection.is_open and answers not in somewhere:
            # Clients of a kind stand for each other: there may be thousands.
            kept[front, answers, source_of(connection.source, "", view).kind].append(connection)
    for (to, answers, _kind), connections in kept.items():
        reached = _endpoints(to, connections[0], view)
        # Where rules are broken, and lead nowhere, connections to the endpoint of a Service are as they were.
        if answers not in (reached or view.proxier.endpoints()):
            yield _finding(to, answers, connections)


def _front(connection: Connection, doors: dict[tuple[str, str, int], Frontend], view: View) -> Frontend | None:
    """The front end that a connection is to. That of a node port is at every address of the node."""
    front = doors.get((connection.protocol, connection.destination, connection.port))
    if front or connection.destination not in view.around.node.facts.local_addresses:
        return front
    front = doors.get((connection.protocol, view.around.main_address, connection.port))
    return front if front and front.kind == "node_port" else None


def _endpoints(front: Frontend, connection: Connection, view: View) -> set[Place]:
    """Where the rules send who asks now as the client of a connection did."""
    packet = packet_to(front, source_of(connection.source, "", view))
    return {(endpoint.address, endpoint.port) for endpoint in endpoints(view.follow(packet), {})}


def _finding(front: Frontend, answers: Place, connections: list[Connection]) -> Finding:
    name = f"{front.service}, {front.address} port {front.port}/{front.protocol},"
    command = f"conntrack -D -p {front.protocol} --orig-dst {front.address} --orig-port-dst {front.port}"
    kind = "old_connections" if front.protocol == "tcp" else "stale_conntrack"
    evidence = f"{len(connections)} of them, as {connections[0].line}"
    return finding(kind, evidence, name=name, detail=f"{answers[0]} port {answers[1]}", command=command)
