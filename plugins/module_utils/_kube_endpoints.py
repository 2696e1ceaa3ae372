# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. To which endpoints kube-proxy sends what comes for a Service. Python 3.9, standard library
# only.

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_SERVICE_NAME: t.Final = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Endpoint:
    """An address and a port of an EndpointSlice. zones and nodes are those that it is meant for."""

    address: str
    port: int
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return host_port(self.address, self.port)


@dataclass(frozen=True)
class Place:
    """Where kube-proxy runs. zone is empty if the node has none."""

    node: str
    zone: str = ""


@dataclass(frozen=True)
class Choice:
    """The endpoints of a port of a Service for what may go to all nodes, and for what has to stay on this one.

    exist is whether there are any that serve, wherever they are.
    """

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    exist: bool


def read_endpoints(
    service: Mapping[str, t.Any], slices: Iterable[Mapping[str, t.Any]], port_name: str, family: int
) -> list[Endpoint]:
    """All endpoints of a port of a Service, each once, of a family of addresses, 4 or 6."""
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    found: dict[tuple[str, int], Endpoint] = {}
    for thing in slices:
        metadata = thing["metadata"]
        own = (metadata["namespace"], (metadata.get("labels") or {}).get(_SERVICE_NAME)) == (namespace, name)
        if own and thing["addressType"] == f"IPv{family}":
            for endpoint in _endpoints(thing, port_name):
                found.setdefault((endpoint.address, endpoint.port), endpoint)
    return list(found.values())


def _endpoints(endpoint_slice: Mapping[str, t.Any], port_name: str) -> Iterator[Endpoint]:
    for port in endpoint_slice.get("ports") or []:
        if (port.get("name") or "") != port_name or port.get("port") is None:
            continue
        for endpoint in endpoint_slice.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            hints = endpoint.get("hints") or {}
            # Who says nothing of it is ready, and serves if it is ready.
            ready = conditions.get("ready") is not False
            serving = conditions.get("serving")
            yield Endpoint(
                address=endpoint["addresses"][0],
                port=port["port"],
                node=endpoint.get("nodeName") or "",
                ready=ready,
                serving=ready if serving is None else bool(serving),
                terminating=bool(conditions.get("terminating")),
                zones=tuple(zone["name"] for zone in hints.get("forZones") or []),
                nodes=tuple(node["name"] for node in hints.get("forNodes") or []),
            )


def choose(endpoints: list[Endpoint], place: Place) -> Choice:
    """The endpoints that kube-proxy uses: those that are ready, or else those that still serve while they end."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    ending = [endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating]
    local = [endpoint for endpoint in ready if endpoint.node == place.node]
    return Choice(
        cluster=tuple(_hinted(ready, place) or ending),
        local=tuple(local or [endpoint for endpoint in ending if endpoint.node == place.node]),
        exist=bool(ready or ending),
    )


def _hinted(ready: list[Endpoint], place: Place) -> list[Endpoint]:
    """Those that are meant for this place. Hints count only if every endpoint has some, and one is for here."""
    for_nodes = [(endpoint, endpoint.nodes) for endpoint in ready]
    for_zones = [(endpoint, endpoint.zones) for endpoint in ready]
    for here, hinted in ((place.node, for_nodes), (place.zone, for_zones)):
        meant = [endpoint for endpoint, hints in hinted if here and here in hints]
        if meant and all(hints for _endpoint, hints in hinted):
            return meant
    return ready
