# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through a node: all tables, in the order of the kernel. Python 3.9,
# standard library only.

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_walk import ALL, Outcome, Share, walk
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import interface_to

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import Facts, Packet
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_walk import Packets
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import Route

# The tables that have a chain of this name, by the priorities at which the kernel asks them.
_TABLES: t.Final = {
    "PREROUTING": ("raw", "mangle", "nat"),
    "INPUT": ("mangle", "filter", "security", "nat"),
    "FORWARD": ("mangle", "filter", "security"),
    "OUTPUT": ("raw", "mangle", "nat", "filter", "security"),
    "POSTROUTING": ("mangle", "nat"),
}
# Those that what the node sends to itself comes through at last: its connection is known by then, so not nat again.
_TABLES_AGAIN: t.Final = {"PREROUTING": ("raw", "mangle"), "INPUT": ("mangle", "filter", "security")}


@dataclass(frozen=True)
class Stage:
    """What became of packets in one table at one point of the way."""

    hook: str
    table: str
    outcome: Outcome


@dataclass(frozen=True)
class Node:
    """What decides about the way besides the rules. Without routes it is not known which interfaces there are on it.

    addresses are the node's own, the first of each interface, in the order of the kernel.
    """

    facts: Facts
    routes: tuple[Route, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)

    def leaving(self, packet: Packet) -> Packet:
        return replace(packet, out_interface=interface_to(packet.destination, self.routes, self.facts))


@dataclass
class Journey:
    """The way of a packet: the tables that it came through, and where it ended.

    delivered are packets that the node itself takes, sent those that leave it. stopped names the target or the policy,
    or "no route".
    """

    stages: list[Stage] = field(default_factory=list)
    delivered: Packets = field(default_factory=dict)
    sent: Packets = field(default_factory=dict)
    stopped: dict[str, Packets] = field(default_factory=dict)


def follow(dump: Dump, packet: Packet, node: Node) -> Journey:
    """Follow the first packet of a connection from its arrival, or from the node itself if it has arrived nowhere."""
    journey = Journey()

    def through(hook: str, packets: Packets, tables: Sequence[str] = ()) -> Packets:
        for table in tables or _TABLES[hook] if packets else ():
            outcome = walk(dump.tables.get(table, {}), hook, packets, node.facts)
            journey.stages.append(Stage(hook, table, outcome))
            for target, stopped in outcome.stopped.items():
                _gather(journey.stopped.setdefault(target, {}), stopped)
            packets = outcome.passed
            if hook == "OUTPUT" and table == "nat":
                packets = _each(packets, node.leaving)  # a translated one may have to go elsewhere
        return packets

    def back(packets: Packets) -> Packets:
        """Send packets by the loopback interface to the node itself."""
        for hook, tables in _TABLES_AGAIN.items():
            packets = through(hook, packets, tables)
        return packets

    if packet.in_interface == "":
        # Without a way nothing is sent, though the rules may know one.
        going = through("OUTPUT", _routed({node.leaving(packet): ALL}, journey))
        own, journey.sent = _parted(through("POSTROUTING", _routed(going, journey)))
        journey.delivered = back(_each(own, lambda sent: _looped(sent, node.addresses)))
    else:
        own, others = _parted(_each(through("PREROUTING", {packet: ALL}), node.leaving))
        journey.delivered = through("INPUT", own)
        journey.sent = through("POSTROUTING", through("FORWARD", _routed(others, journey)))
    return journey


def _looped(packet: Packet, addresses: Mapping[str, str]) -> Packet:
    """A packet that comes by the loopback interface to the node that has sent it."""
    source = masquerading_address(packet, addresses) if packet.masqueraded else packet.source
    return replace(packet, in_interface="lo", source=source)


def masquerading_address(packet: Packet, addresses: Mapping[str, str]) -> str:
    """The address that MASQUERADE takes, by those of the interfaces: that of the one by which the packet leaves.

    That of the loopback interface is good for itself only. Instead of it IPv4 takes the first of any other interface,
    and IPv6 the destination, which is one of the node's own. It is empty if it is not known.
    """
    if packet.out_interface != "lo":
        return addresses.get(packet.out_interface or "", "")
    if ":" in packet.destination:
        return packet.destination
    return next((address for interface, address in addresses.items() if interface not in ("lo", "")), "")


def _each(packets: Packets, change: Callable[[Packet], Packet]) -> Packets:
    changed: Packets = {}
    for packet, share in packets.items():
        _gather(changed, {change(packet): share})
    return changed


def _gather(packets: Packets, others: Packets) -> None:
    for packet, share in others.items():
        packets[packet] = packets.get(packet, Share(0.0, 0.0)) + share


def _parted(packets: Packets) -> tuple[Packets, Packets]:
    """Those to the node itself, and the others."""
    own = {packet: share for packet, share in packets.items() if packet.out_interface == "lo"}
    return own, {packet: share for packet, share in packets.items() if packet not in own}


def _routed(packets: Packets, journey: Journey) -> Packets:
    """Those for which there is a way."""
    lost = {packet: share for packet, share in packets.items() if packet.out_interface == ""}
    if lost:
        _gather(journey.stopped.setdefault("no route", {}), lost)
    return {packet: share for packet, share in packets.items() if packet not in lost}
