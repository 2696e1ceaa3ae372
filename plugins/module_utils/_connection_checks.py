# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Which connections a node keeps with endpoints that are none of their Service any more.
# Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t
from collections import defaultdict

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import follow
from ansible_collections.homecloud.k3s.plugins.module_utils._node_connections import read_connections
from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import packet_to, source_of
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import finding

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_connections import Connection
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

    Place = tuple[str, t.Optional[int]]

_TO: t.Final = re.compile(r"--to-destination (\S+)")
# The front ends for which each connection is worth following a packet. With more of them, only those to addresses that
# are no endpoint at all are looked at: these are the ones that go nowhere.
_FEW: t.Final = 20


def of_connections(view: View, frontends: Iterable[Frontend]) -> Iterator[Finding]:
    """The connections to front ends whose answers come from where the rules send nobody now."""
    if not view.around.connections:
        return
    doors = {(front.protocol, front.address, front.port): front for front in frontends}
    somewhere = _all_endpoints(view.ruleset.dump) if len(doors) > _FEW else set()
    kept: dict[tuple[Frontend, Place, str], list[Connection]] = defaultdict(list)
    for connection in read_connections(view.around.connections):
        front = _front(connection, doors, view)
        answers: Place = (connection.answers_from, connection.answers_port)
        if front and connection.is_open and answers not in somewhere:
            # Clients of a kind stand for each other: there may be thousands.
            kept[front, answers, source_of(connection.source, "", view).kind].append(connection)
    for (to, answers, _kind), connections in kept.items():
        if answers not in _endpoints(to, connections[0], view):
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
    journey = follow(view.ruleset.dump, packet, view.around.node)
    return {(endpoint.address, endpoint.port) for endpoint in endpoints(journey, {})}


def _all_endpoints(dump: Dump) -> set[Place]:
    """The endpoints of all Services. The last rule of the chain of an endpoint names it."""
    chains = (chain for name, chain in dump.tables.get("nat", {}).items() if name.startswith("KUBE-SEP-"))
    named = (_TO.search(line) for chain in chains for line in chain.lines[-1:])
    return {_place(match[1]) for match in named if match}


def _place(text: str) -> Place:
    address, _colon, port = text.rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else None


def _finding(front: Frontend, answers: Place, connections: list[Connection]) -> Finding:
    name = f"{front.service}, {front.address} port {front.port}/{front.protocol},"
    command = f"conntrack -D -p {front.protocol} --orig-dst {front.address} --orig-port-dst {front.port}"
    kind = "old_connections" if front.protocol == "tcp" else "stale_conntrack"
    evidence = f"{len(connections)} of them, as {connections[0].line}"
    return finding(kind, evidence, name=name, detail=f"{answers[0]} port {answers[1]}", command=command)
