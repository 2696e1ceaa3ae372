# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What decides about the way of a packet on a node besides its rules. Python 3.9, standard
# library only.

from __future__ import annotations

import ipaddress
import json
import typing as t
from dataclasses import dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import read_routes
from ansible_collections.homecloud.k3s.plugins.module_utils._node_sets import read_sets
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Node
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import run

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import Route
    from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

    Objects = t.Iterable[t.Mapping[str, t.Any]]

# Any address of the node, where none of them is known. A packet to a node port goes to one of them by definition.
ANY_OWN: t.Final = {4: "0.0.0.0", 6: "::"}
_REMEMBERED: t.Final = "/proc/net/xt_recent"
_MOST_REMEMBERED: t.Final = "/sys/module/xt_recent/parameters/ip_list_tot"


@dataclass(frozen=True)
class Surroundings:
    """What is around the rules of a node, by one family of addresses. What is not known is empty.

    addresses are the node's own by their interfaces, which are in the order of the kernel; an interface may be empty,
    if only its addresses are known. is_partial is whether there may be further ones. remembered are how many clients
    each list of the match "recent" holds, and most_remembered how many it can.
    """

    family: int
    addresses: tuple[tuple[str, str], ...] = ()
    routes: tuple[Route, ...] = ()
    sets: Mapping[str, list[str]] = field(default_factory=dict)
    connections: tuple[str, ...] = ()
    remembered: Mapping[str, int] = field(default_factory=dict)
    most_remembered: int = 0
    is_partial: bool = False

    @property
    def node(self) -> Node:
        own = {address for _interface, address in self.addresses}
        facts = Facts(frozenset({*own, ANY_OWN[self.family]}), self.sets, knows_all=bool(own) and not self.is_partial)
        return Node(facts, self.routes, self.by_interface)

    @property
    def main_address(self) -> str:
        """The address by which the node is reached: that of the interface to the world, or else its first."""
        way_out = [route for route in self.routes if not route.network.prefixlen]
        interfaces = [route.interface for route in sorted(way_out, key=lambda route: route.metric)]
        by_interface = self.by_interface
        known = [by_interface[name] for name in interfaces if name in by_interface]
        return (known or [address for _interface, address in self.addresses] or [ANY_OWN[self.family]])[0]

    @property
    def by_interface(self) -> dict[str, str]:
        """The first address of each interface, which is the one that MASQUERADE takes."""
        first: dict[str, str] = {}
        for interface, address in self.addresses:
            first.setdefault(interface, address)
        return first


def given(family: int, local_addresses: Iterable[str], routes: Objects, ipset: str, conntrack: str) -> Surroundings:
    """What is told of a node: routes as "ip -json route" prints them, the others as "ipset save" and "conntrack -L" do.

    Raises ValueError for what is no address.
    """
    own = [("", address) for address in map(str, map(ipaddress.ip_address, local_addresses)) if _is_of(address, family)]
    entries = list(routes)
    sourced = [(entry["dev"], entry["prefsrc"]) for entry in entries if "dev" in entry and "prefsrc" in entry]
    return Surroundings(
        family,
        tuple((interface, address) for interface, address in [*own, *sourced] if _is_of(address, family)),
        tuple(read_routes(entries, family)),
        read_sets(ipset.splitlines()),
        tuple(conntrack.splitlines()),
    )


def read_node(tree: Tree, family: int) -> Surroundings:
    """What is around the rules of this node."""
    program = ("ip", "-json", f"-{family}")
    return Surroundings(
        family,
        tuple(_addresses(_objects(run(*program, "address")))),
        tuple(read_routes(_objects(run(*program, "route")), family)),
        read_sets(run("ipset", "save").splitlines()),
        tuple((run("conntrack", "-L", "-f", f"ipv{family}") or tree.text("/proc/net/nf_conntrack")).splitlines()),
        {name.rpartition("/")[2]: tree.text(name).count("\n") for name in tree.glob(f"{_REMEMBERED}/*")},
        int(tree.text(_MOST_REMEMBERED) or 0),
    )


def _addresses(links: Objects) -> Iterable[tuple[str, str]]:
    for link in links:
        for entry in link.get("addr_info", []):
            # Those of a link alone are the source of nothing that is routed.
            if "local" in entry:
                yield link["ifname"] if entry.get("scope") != "link" else "", entry["local"]


def _objects(text: str) -> list[dict[str, t.Any]]:
    try:
        return [item for item in json.loads(text) if item]  # "ip" has printed empty objects among the others
    except ValueError:
        return []


def _is_of(address: str, family: int) -> bool:
    return ipaddress.ip_address(address).version == family
