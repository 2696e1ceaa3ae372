# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through the chains of a table. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import Packet, rule_likelihood

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import Facts
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

    Packets = dict[Packet, "Share"]

# Chains call chains. The kernel refuses a loop; a dump that was edited may have one.
_DEEPEST: t.Final = 64


@dataclass(frozen=True)
class Share:
    """Which part of all packets it is, at least and at most: it may not be known whether a rule matches."""

    least: float
    most: float

    def __add__(self, other: Share) -> Share:
        return Share(self.least + other.least, min(self.most + other.most, 1.0))

    def split(self, likelihood: float | None) -> tuple[Share, Share]:
        """The part of it that is as likely, and the rest."""
        if likelihood is None:
            open_ended = Share(0.0, self.most)
            return open_ended, open_ended
        return self._times(likelihood), self._times(1 - likelihood)

    def _times(self, factor: float) -> Share:
        return Share(self.least * factor, self.most * factor)


ALL: t.Final = Share(1.0, 1.0)


@dataclass(frozen=True)
class Hit:
    """A rule that matches packets, and which part of all."""

    rule: Rule
    share: Share


@dataclass
class Outcome:
    """What becomes of packets in a table: those that go on, those that do not and by what, and the rules that match."""

    passed: Packets = field(default_factory=dict)
    stopped: dict[str, Packets] = field(default_factory=dict)
    hits: list[Hit] = field(default_factory=list)
    unknown: list[Rule] = field(default_factory=list)


def _add(packets: Packets, packet: Packet, share: Share) -> None:
    packets[packet] = packets[packet] + share if packet in packets else share


def walk(chains: dict[str, Chain], beginning: str, packets: Packets, facts: Facts) -> Outcome:
    """Send packets through a built-in chain of a table and all that it calls.

    All packets go together from rule to rule: what a rule says of some of them parts them, and those that have become
    alike are one again. So the work grows with the rules, and not with the ways through them.
    """
    outcome = Outcome()
    chain = chains.get(beginning)
    if chain is None:
        outcome.passed = dict(packets)
        return outcome
    for packet, share in _call(chains, chain, packets, facts, outcome, 1).items():
        # Who comes to its end, or returns from it, is up to the policy.
        if chain.policy in ("ACCEPT", ""):
            _add(outcome.passed, packet, share)
        else:
            _add(outcome.stopped.setdefault(chain.policy, {}), packet, share)
    return outcome


def _call(
    chains: dict[str, Chain], chain: Chain, packets: Packets, facts: Facts, outcome: Outcome, depth: int
) -> Packets:
    """Send packets through a chain, and return those that come back from it."""
    here = dict(packets)
    back: Packets = {}
    # No rule changes where a packet goes without ending its way through the table.
    destinations = {packet.destination for packet in packets}
    for rule in chain.rules_to(destinations) if depth <= _DEEPEST else ():
        if not here:
            break
        matched, here = _part(rule, here, facts)
        if not matched:
            continue
        outcome.hits.append(Hit(rule, _sum(matched.values())))
        if rule.target in chains:
            returned = _call(chains, chains[rule.target], matched, facts, outcome, depth + 1)
            _merge(back if rule.goes else here, returned)
        elif rule.target == "RETURN":
            _merge(back, matched)
        else:
            _merge(here, _target(rule, matched, outcome))
    _merge(back, here)
    return back


def _part(rule: Rule, packets: Packets, facts: Facts) -> tuple[Packets, Packets]:
    """The packets that a rule matches, and the others. Of what it may match either way there is some in both."""
    matched: Packets = {}
    rest: Packets = {}
    for packet, share in packets.items():
        yes, no = share.split(rule_likelihood(rule, packet, facts))
        if yes.most > 0:
            matched[packet] = yes
        if no.most > 0:
            rest[packet] = no
    return matched, rest


def _merge(packets: Packets, others: Packets) -> None:
    for packet, share in others.items():
        _add(packets, packet, share)


def _sum(shares: Iterable[Share]) -> Share:
    total = Share(0.0, 0.0)
    for share in shares:
        total = total + share
    return total


# What the target of a rule does to packets


def _target(rule: Rule, packets: Packets, outcome: Outcome) -> Packets:
    """Apply a target that is no chain; those packets are returned that go on in the chain."""
    if rule.target in _STOPPING:
        _merge(outcome.stopped.setdefault(rule.target, {}), packets)
        return {}
    try:
        changed = _changed(rule, packets)
    except (KeyError, ValueError):  # a target that nobody here knows, or arguments that are none
        return _unknown(rule, packets, outcome)
    if rule.target in _GOING_ON:
        return changed
    _merge(outcome.passed, changed)
    return {}


def _changed(rule: Rule, packets: Packets) -> Packets:
    """The packets as a target makes them. Raises KeyError and ValueError."""
    change = _CHANGES[rule.target]
    changed: Packets = {}
    for packet, share in packets.items():
        _add(changed, change(rule, packet), share)
    return changed


def _unknown(rule: Rule, packets: Packets, outcome: Outcome) -> Packets:
    """Whatever the target is: packets may go on, or not."""
    outcome.unknown.append(rule)
    maybe = {packet: Share(0.0, share.most) for packet, share in packets.items()}
    _merge(outcome.stopped.setdefault("unknown", {}), maybe)
    return maybe


_STOPPING: t.Final = ("DROP", "REJECT")
_GOING_ON: t.Final = (
    "", "MARK", "CONNMARK", "LOG", "NFLOG", "ULOG", "TRACE", "CT", "NOTRACK", "TCPMSS", "CLASSIFY", "CHECKSUM", "SET",
    "TTL", "HL", "TOS", "DSCP", "AUDIT", "CONNSECMARK", "SECMARK", "IDLETIMER", "LED", "RATEEST",
)  # fmt: skip


def _unchanged(_rule: Rule, packet: Packet) -> Packet:
    return packet


def _sent_elsewhere(rule: Rule, packet: Packet) -> Packet:
    address, port = _host_port(rule.argument("--to-destination") or "")
    return replace(
        packet,
        destination=address or packet.destination,
        destination_port=port or packet.destination_port,
        states=packet.states | {"DNAT"},
    )


def _from_elsewhere(rule: Rule, packet: Packet) -> Packet:
    address, port = _host_port(rule.argument("--to-source") or "")
    return replace(packet, source=address or packet.source, source_port=port or packet.source_port)


def _masqueraded(_rule: Rule, packet: Packet) -> Packet:
    return replace(packet, masqueraded=True)


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
