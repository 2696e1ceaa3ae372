# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through a node: from hook to hook of the kernel, whatever the system of
# rules. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import interface_to
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import ALL, RuleT, add, merge

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import Route
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Outcome, Packet, Packets

# At which priorities the kernel translates addresses, whatever that of the chain that says so, and what it does there.
NAT_PRIORITIES: t.Final = {"PREROUTING": -100, "OUTPUT": -100, "INPUT": 100, "POSTROUTING": 100}
_NAT_STATES: t.Final = {"PREROUTING": "DNAT", "OUTPUT": "DNAT", "INPUT": "SNAT", "POSTROUTING": "SNAT"}


@dataclass(frozen=True)
class BaseChain(t.Generic[RuleT]):
    """Rules that the kernel asks at a hook, the chains of which have the lowest priority first.

    Those of the type nat are asked only until one of them has translated the packet. table is as their rules name it.
    """

    hook: str
    priority: int
    table: str
    name: str
    is_nat: bool
    walk: Callable[[Packets, Facts], Outcome[RuleT]]


@dataclass(frozen=True)
class Stage(t.Generic[RuleT]):
    """What became of packets in one base chain."""

    hook: str
    table: str
    chain: str
    outcome: Outcome[RuleT]


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
class Journey(t.Generic[RuleT]):
    """The way of a packet: the tables that it came through, and where it ended.

    delivered are packets that the node itself takes, sent those that leave it. stopped names what stops them in
    a table, or "no route".
    """

    stages: list[Stage[RuleT]] = field(default_factory=list)
    delivered: Packets = field(default_factory=dict)
    sent: Packets = field(default_factory=dict)
    stopped: dict[str, Packets] = field(default_factory=dict)


def follow(chains: Iterable[BaseChain[RuleT]], packet: Packet, node: Node) -> Journey[RuleT]:
    """Follow the first packet of a connection from its arrival, or from the node itself if it has arrived nowhere.

    Of chains with the same priority at a hook the first is asked first.
    """
    journey: Journey[RuleT] = Journey()
    ordered = sorted(chains, key=lambda chain: chain.priority)

    def through(hook: str, packets: Packets, is_known: bool = False) -> Packets:
        """Send packets through a hook. Those of a connection that is known are not translated again."""
        for chain in ordered:
            if chain.hook == hook and not (chain.is_nat and is_known):
                packets = visit(chain, packets)
        return packets

    def visit(chain: BaseChain[RuleT], packets: Packets) -> Packets:
        done = _translated(chain.hook, packets) if chain.is_nat else {}
        asked = {packet: share for packet, share in packets.items() if packet not in done}
        if not asked:
            return packets
        outcome = chain.walk(asked, node.facts)
        journey.stages.append(Stage(chain.hook, chain.table, chain.name, outcome))
        for target, stopped in outcome.stopped.items():
            merge(journey.stopped.setdefault(target, {}), stopped)
        passed = dict(done)
        merge(passed, outcome.passed)
        # One that is translated may have to go elsewhere.
        return _each(passed, node.leaving) if chain.is_nat and chain.hook == "OUTPUT" else passed

    def back(packets: Packets) -> Packets:
        """Send packets by the loopback interface to the node itself."""
        for hook in ("PREROUTING", "INPUT"):
            packets = through(hook, packets, is_known=True)
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


def _translated(hook: str, packets: Packets) -> Packets:
    return {packet: share for packet, share in packets.items() if _NAT_STATES[hook] in packet.states}


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
        add(changed, change(packet), share)
    return changed


def _parted(packets: Packets) -> tuple[Packets, Packets]:
    """Those to the node itself, and the others."""
    own = {packet: share for packet, share in packets.items() if packet.out_interface == "lo"}
    return own, {packet: share for packet, share in packets.items() if packet not in own}


def _routed(packets: Packets, journey: Journey[RuleT]) -> Packets:
    """Those for which there is a way."""
    lost = {packet: share for packet, share in packets.items() if packet.out_interface == ""}
    if lost:
        merge(journey.stopped.setdefault("no route", {}), lost)
    return {packet: share for packet, share in packets.items() if packet not in lost}
