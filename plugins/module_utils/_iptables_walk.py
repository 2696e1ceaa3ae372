# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through the chains of a table. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import replace
from functools import partial

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import rule_likelihood
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import (
    POLICY,
    Hit,
    Outcome,
    Packet,
    add,
    merge,
    open_ended,
    part,
    total,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packets

# Chains call chains. The kernel refuses a loop, and has no room for many ways through them; a dump that was edited may
# have both.
_DEEPEST: t.Final = 64
_MOST_HITS: t.Final = 100_000


def walk(chains: dict[str, Chain], beginning: str, packets: Packets, facts: Facts) -> Outcome[Rule]:
    """Send packets through a built-in chain of a table and all that it calls.

    All packets go together from rule to rule: what a rule says of some of them parts them, and those that have become
    alike are one again. So the work grows with the rules, and not with the ways through them.
    """
    outcome: Outcome[Rule] = Outcome()
    chain = chains.get(beginning)
    if chain is None:
        outcome.passed = dict(packets)
        return outcome
    for packet, share in _call(chains, (beginning,), packets, facts, outcome).items():
        # Who comes to its end, or returns from it, is up to the policy.
        if chain.policy in ("ACCEPT", ""):
            add(outcome.passed, packet, share)
        else:
            add(outcome.stopped.setdefault(POLICY, {}), packet, share)
    return outcome


def _call(
    chains: dict[str, Chain], way: tuple[str, ...], packets: Packets, facts: Facts, outcome: Outcome[Rule]
) -> Packets:
    """Send packets through the last chain of their way, and return those that come back from it."""
    here = dict(packets)
    back: Packets = {}
    # No rule changes where a packet goes without ending its way through the table.
    destinations = {packet.destination for packet in packets}
    for rule in chains[way[-1]].rules_to(destinations):
        if not here:
            break
        matched, here = part(here, partial(rule_likelihood, rule, facts=facts))
        if not matched:
            continue
        stops = rule.target if rule.target in _STOPPING else ""
        outcome.hits.append(Hit(rule, total(matched.values()), stops=stops))
        if rule.target in way or len(way) > _DEEPEST or len(outcome.hits) > _MOST_HITS:
            merge(here, _unknown(rule, matched, outcome))
        elif rule.target in chains:
            returned = _call(chains, (*way, rule.target), matched, facts, outcome)
            merge(back if rule.goes else here, returned)
        elif rule.target == "RETURN":
            merge(back, matched)
        else:
            merge(here, _target(rule, matched, outcome))
    merge(back, here)
    return back


# What the target of a rule does to packets


def _target(rule: Rule, packets: Packets, outcome: Outcome[Rule]) -> Packets:
    """Apply a target that is no chain; those packets are returned that go on in the chain."""
    if rule.target in _STOPPING:
        merge(outcome.stopped.setdefault(rule.target, {}), packets)
        return {}
    try:
        changed = _changed(rule, packets)
    except (KeyError, ValueError):  # a target that nobody here knows, or arguments that are none
        return _unknown(rule, packets, outcome)
    if rule.target in _GOING_ON:
        return changed
    merge(outcome.passed, changed)
    return {}


def _changed(rule: Rule, packets: Packets) -> Packets:
    """The packets as a target makes them. Raises KeyError and ValueError."""
    change = _CHANGES[rule.target]
    changed: Packets = {}
    for packet, share in packets.items():
        add(changed, change(rule, packet), share)
    return changed


def _unknown(rule: Rule, packets: Packets, outcome: Outcome[Rule]) -> Packets:
    """Whatever the target is: packets may go on, or not."""
    outcome.unknown.append(rule)
    maybe = open_ended(packets)
    merge(outcome.stopped.setdefault("unknown", {}), maybe)
    return maybe


_STOPPING: t.Final = ("DROP", "REJECT")
_GOING_ON: t.Final = (
    "", "MARK", "CONNMARK", "LOG", "NFLOG", "ULOG", "TRACE", "CT", "NOTRACK", "TCPMSS", "CLASSIFY", "CHECKSUM", "SET",
    "TTL", "HL", "TOS", "DSCP", "AUDIT", "CONNSECMARK", "SECMARK", "IDLETIMER", "LED", "RATEEST",
)  # fmt: skip


def _unchanged(_rule: Rule, packet: Packet) -> Packet:
    return packet


def _sent_elsewhere(rule: Rule, packet: Packet) -> Packet:
    return packet.sent_to(*_host_port(rule.argument("--to-destination") or ""))


def _from_elsewhere(rule: Rule, packet: Packet) -> Packet:
    return packet.sent_from(*_host_port(rule.argument("--to-source") or ""))


def _masqueraded(_rule: Rule, packet: Packet) -> Packet:
    return packet.hidden()


def _host_port(text: str) -> tuple[str, int | None]:
    """The address and the port of 10.42.0.2:8080 or [fd42::2]:8080; both may be missing. Raises ValueError."""
    if text.startswith("["):
        address, _bracket, port = text[1:].partition("]")
        port = port[1:]
    else:
        address, _colon, port = text.partition(":") if text.count(":") < 2 else (text, "", "")
    return str(ipaddress.ip_address(address)) if address else "", int(port) if port else None


def _marked(rule: Rule, packet: Packet) -> Packet:
    """A packet with another mark. Whatever made it, iptables-save prints it so. Raises ValueError."""
    value, _slash, mask = (rule.argument("--set-xmark") or "").partition("/")
    return replace(packet, mark=(packet.mark & ~(int(mask, 0) if mask else 0xFFFFFFFF)) ^ int(value, 0))


_CHANGES: t.Final[dict[str, Callable[[Rule, Packet], Packet]]] = {
    **dict.fromkeys(_GOING_ON, _unchanged),
    "ACCEPT": _unchanged,
    "DNAT": _sent_elsewhere,
    "MARK": _marked,
    "MASQUERADE": _masqueraded,
    "SNAT": _from_elsewhere,
}
