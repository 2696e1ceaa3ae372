# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How a node is on the network: its interfaces, its way out and the ports in use.

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import struct
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

ADDRESS_COMMAND = ("ip", "-json", "-details", "address")
ROUTE_COMMANDS = (
    ("ip", "-json", "-4", "route", "show", "default"),
    ("ip", "-json", "-6", "route", "show", "default"),
)
_SOCKETS = "/proc/net"
_LISTEN = "0A"
_UNCONNECTED = "07"  # how /proc/net shows a UDP socket that is bound, and not connected to a peer
_KINDS = {"bridge": "bridge", "vlan": "vlan", "bond": "bond"}
_TUNNELS = re.compile(r"tun|vxlan|geneve|wireguard|ipip|sit|ip6tnl|(ip6)?gre(tap)?|vti6?")

_Object = dict[str, t.Any]


@dataclass(frozen=True)
class Interface:
    name: str
    kind: str
    mac: str
    up: bool
    addresses: list[str]


@dataclass(frozen=True)
class DefaultRoute:
    interface: str
    gateway: str
    address: str


@dataclass(frozen=True)
class Port:
    protocol: str
    address: str
    port: int
    process: str


def interfaces(tree: Tree, addresses: str) -> list[Interface]:
    """Return the interfaces in the output of ADDRESS_COMMAND."""
    links = [link for link in _objects(addresses) if "ifname" in link]
    return [_interface(link, tree.text(f"/sys/class/net/{link['ifname']}/uevent")) for link in links]


def _interface(link: _Object, uevent: str) -> Interface:
    return Interface(
        name=link["ifname"],
        kind="wifi" if "DEVTYPE=wlan" in uevent.splitlines() else _kind(link),
        mac=link.get("address", ""),
        up="LOWER_UP" in link.get("flags", []),
        addresses=[f"{item['local']}/{item['prefixlen']}" for item in link.get("addr_info", []) if "local" in item],
    )


def _kind(link: _Object) -> str:
    made_as = link.get("linkinfo", {}).get("info_kind", "")
    if made_as:
        return _KINDS.get(made_as) or ("tunnel" if _TUNNELS.fullmatch(made_as) else "virtual")
    return {"loopback": "loopback", "ether": "ethernet"}.get(link.get("link_type", ""), "other")


def default_route(routes: t.Iterable[str], links: list[Interface]) -> DefaultRoute | None:
    """Return the best route of the first of the outputs of ROUTE_COMMANDS that has one."""
    for found in map(_objects, routes):
        if found:
            best = min(found, key=lambda route: route.get("metric", 0))
            hop = best.get("nexthops", [best])[0]
            gateway = hop.get("gateway", "")
            address = best.get("prefsrc") or _own_address(hop.get("dev", ""), gateway, links)
            return DefaultRoute(hop.get("dev", ""), gateway, address)
    return None


def _own_address(interface: str, gateway: str, links: list[Interface]) -> str:
    """Return the address of an interface in the network of its gateway, or else its first that is not link-local."""
    if not gateway:
        return ""
    router = ipaddress.ip_address(gateway)
    own = [ipaddress.ip_interface(address) for link in links if link.name == interface for address in link.addresses]
    usable = [address for address in own if address.version == router.version and not address.ip.is_link_local]
    usable.sort(key=lambda address: router not in address.network)
    return str(usable[0].ip) if usable else ""


def _objects(text: str) -> list[_Object]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [item for item in found if item]  # `ip` has printed empty objects among the others


def ports(tree: Tree) -> list[Port]:
    """Return the TCP ports that are listened on, and the bound UDP ports."""
    found = []
    for name, state in (("tcp", _LISTEN), ("tcp6", _LISTEN), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED)):
        for line in tree.text(f"{_SOCKETS}/{name}").splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                address, port = fields[1].split(":")
                found.append((name[:3], _address(address), int(port, 16), fields[9]))
    holders = _holders(tree, {item[3] for item in found})
    return [Port(protocol, address, port, holders.get(inode, "")) for protocol, address, port, inode in found]


def _address(hexadecimal: str) -> str:
    """Return an address of /proc/net, which shows words of 32 bits as numbers of a little-endian host."""
    words = [int(hexadecimal[start : start + 8], 16) for start in range(0, len(hexadecimal), 8)]
    return str(ipaddress.ip_address(struct.pack(f"<{len(words)}I", *words)))


def _holders(tree: Tree, inodes: set[str]) -> dict[str, str]:
    """Return the name of the first process that has each of the sockets open; only root is told of others' ones."""
    holders: dict[str, str] = {}
    for process in sorted(tree.glob("/proc/[0-9]*"), key=lambda name: int(name[6:])):
        try:
            descriptors = os.listdir(tree.path(f"{process}/fd"))
        except OSError:
            continue
        for descriptor in descriptors:
            target = tree.link(f"{process}/fd/{descriptor}") or ""
            inode = target[8:-1] if target.startswith("socket:[") else ""
            if inode in inodes:
                holders.setdefault(inode, tree.text(f"{process}/comm").strip())
    return holders


def resolve(name: str) -> list[str]:
    """Return the addresses that the node finds for a name, none if it does not resolve."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(item[4][0]) for item in found))
