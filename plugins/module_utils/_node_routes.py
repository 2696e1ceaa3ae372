# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Where a node sends a packet. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts

# The types of routes that are an answer of "no".
_REFUSING: t.Final = ("unreachable", "blackhole", "prohibit", "throw")


@dataclass(frozen=True)
class Route:
    """Where packets to a network go: to an interface, or to nowhere, which is an empty one."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    interface: str
    metric: int


def read_routes(entries: Iterable[Mapping[str, t.Any]], family: int) -> list[Route]:
    """The routes of a family, 4 or 6, as "ip -json route" prints them. What is none of them is left out."""
    found = []
    for entry in entries:
        try:
            network = _network(entry, family)
        except ValueError:
            continue
        interface = "" if entry.get("type") in _REFUSING else str(entry.get("dev") or _first_hop(entry))
        if network.version == family:
            found.append(Route(network, interface, int(entry.get("metric", 0))))
    return found


def _network(entry: Mapping[str, t.Any], family: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Where a route leads to. Of a default route the gateway tells the family. Raises ValueError."""
    text = str(entry.get("dst", ""))
    if text != "default":
        return ipaddress.ip_network(text, strict=False)
    version = ipaddress.ip_address(entry["gateway"]).version if "gateway" in entry else family
    return ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")


def _first_hop(entry: Mapping[str, t.Any]) -> str:
    """The interface of the first of several next hops."""
    return next((str(hop.get("dev", "")) for hop in entry.get("nexthops") or []), "")


def interface_to(address: str, routes: Iterable[Route], facts: Facts) -> str | None:
    """The interface to an address: "lo" for one of the node's own, empty if no route leads there, None if there are no
    routes to know it by."""
    value = ipaddress.ip_address(address)
    if value.is_loopback or address in facts.local_addresses:
        return "lo"
    known = list(routes)
    fitting = [route for route in known if route.network.version == value.version and value in route.network]
    if not fitting:
        return "" if known else None
    return max(fitting, key=lambda route: (route.network.prefixlen, -route.metric)).interface
