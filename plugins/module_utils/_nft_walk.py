# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through chains of nft. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_match import (
    HOW_MANY,
    Scope,
    found_elements,
    is_comment,
    is_foreign_match,
    match_likelihood,
    values,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import opened
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
    from collections.abc import Callable, Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import (
        Chain,
        Element,
        Expression,
        Rule,
        Table,
    )
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Likelihood, Packets, Share

# Statements that leave a packet as it is and where it is; a set that rules add to is not asked who is in it.
_HARMLESS: t.Final = (
    "counter", "ct expectation", "ct helper", "ct timeout", "dup", "flow", "last", "log", "meter", "notrack",
    "secmark", "set",
)  # fmt: skip
_VERDICTS: t.Final = ("accept", "continue", "drop", "goto", "jump", "reject", "return")
_STOPPING: t.Final = {"drop": "DROP", "reject": "REJECT"}
_MARK: t.Final = {"meta": {"key": "mark"}}
# What is left of shares that were divided by lot, as of three thirds.
_NOTHING: t.Final = 1e-9


def walk(table: Table, chain: Chain, packets: Packets, facts: Facts) -> Outcome[Rule]:
    """Send packets through a base chain and all that it calls.

    All packets go together from rule to rule: what a rule says of some of them parts them, and those that have become
    alike are one again. Those for which a map has different elements go one after the other.
    """
    way = _Way(Scope(table, facts))
    passed = way.call(chain, packets, ())
    if chain.policy == "accept":
        merge(way.outcome.passed, passed)
    else:
        way.stop(POLICY, passed)
    return way.outcome


@dataclass
class _Way:
    """What became so far of packets in a base chain. The rest of those that are given to a method is returned."""

    scope: Scope
    outcome: Outcome[Rule] = field(default_factory=Outcome)

    def stop(self, why: str, packets: Packets) -> None:
        if packets:
            merge(self.outcome.stopped.setdefault(why, {}), packets)

    def call(self, chain: Chain, packets: Packets, callers: tuple[str, ...]) -> Packets:
        """Send packets through a chain, and return those that come back from it."""
        here = dict(packets)
        back: Packets = {}
        for rule in chain.rules:
            if not here:
                break
            here = self._rule(rule, here, back, (*callers, chain.name))
        merge(back, here)
        return back

    def _rule(self, rule: Rule, packets: Packets, back: Packets, way: tuple[str, ...]) -> Packets:
        """Send packets through a rule, and return those that go on with the next one."""
        going_on: Packets = {}
        here = packets
        for expression in rule.expressions:
            if not here:
                return going_on
            kind, body = opened(expression)
            if kind == "match":
                here, others = self._asked(body, here)
                merge(going_on, others)
            elif kind in HOW_MANY or is_foreign_match(expression):  # it stays in the rule, or leaves it
                here, others = part(here, lambda _packet: None)
                merge(going_on, others)
            elif kind in _TRANSLATIONS:
                merge(going_on, self._translate(rule, kind, body, here))
                return going_on
            elif kind == "vmap":
                merge(going_on, self._choose(rule, body, here, back, way))
                return going_on
            elif kind in _VERDICTS:
                self._hit(rule, here, stops=_STOPPING.get(kind, ""))
                merge(going_on, self._verdict(rule, expression, here, back, way))
                return going_on
            elif kind == "mangle":
                here, others = self._mangle(rule, body, here)
                merge(going_on, others)
            elif kind not in _HARMLESS and not is_comment(expression):
                here, others = self._unknown(rule, here)
                merge(going_on, others)
        if here:
            self._hit(rule, here)
        merge(going_on, here)
        return going_on

    def _asked(self, match: Expression, packets: Packets) -> tuple[Packets, Packets]:
        return part(packets, lambda packet: match_likelihood(match, packet, self.scope))

    def _hit(self, rule: Rule, packets: Packets, element: Element | None = None, stops: str = "") -> None:
        self.outcome.hits.append(Hit(rule, total(packets.values()), element.text if element else "", stops))

    def _verdict(
        self, rule: Rule, verdict: Expression, packets: Packets, back: Packets, way: tuple[str, ...]
    ) -> Packets:
        """Do to packets what a verdict says, and return those that go on with the next rule."""
        kind, body = opened(verdict)
        if kind == "accept":
            merge(self.outcome.passed, packets)
        elif kind in _STOPPING:
            self.stop(_STOPPING[kind], packets)
        elif kind == "return":
            merge(back, packets)
        elif kind in ("jump", "goto"):
            target = self.scope.table.chains.get(str(body.get("target"))) if isinstance(body, dict) else None
            if (
                target is None or target.name in way
            ):  # as in a ruleset that somebody has edited: the kernel has no loops
                return self._unknown(rule, packets)[1]
            returned = self.call(target, packets, way)
            if kind == "jump":
                return returned
            merge(back, returned)
        elif kind == "continue":
            return packets
        else:
            return self._unknown(rule, packets)[1]
        return {}

    def _choose(self, rule: Rule, vmap: Expression, packets: Packets, back: Packets, way: tuple[str, ...]) -> Packets:
        """Do to packets what a map of verdicts says of each, and return those that go on with the next rule."""
        chosen, going_on = self._by_element(rule, vmap, packets)
        for element, those in chosen.items():
            self._hit(rule, those, element, _STOPPING.get(opened(element.value)[0], ""))
            merge(going_on, self._verdict(rule, element.value, those, back, way))
        return going_on

    def _by_element(self, rule: Rule, mapping: Expression, packets: Packets) -> tuple[dict[Element, Packets], Packets]:
        """Packets by the elements that a map has for them, and those for which it has none."""
        chosen: dict[Element, Packets] = {}
        others: Packets = {}
        for packet, share in packets.items():
            found = self._found(mapping, packet)
            if found is None:
                merge(others, self._unknown(rule, {packet: share})[1])
                continue
            rest = _rest(share, found.values())
            if rest.most > 0:
                add(others, packet, rest)
            for element, likelihood in found.items():
                add(chosen.setdefault(element, {}), packet, share.split(likelihood)[0])
        return chosen, others

    def _found(self, mapping: Expression, packet: Packet) -> dict[Element, Likelihood] | None:
        """The elements that a map has for a packet, and how likely each is. None if it is not known which."""
        if not isinstance(mapping, dict) or not {"key", "data"} <= set(mapping):
            return None
        keys = values(mapping["key"], packet, self.scope)
        return None if keys is None else found_elements(mapping["data"], keys, self.scope)

    def _translate(self, rule: Rule, kind: str, body: Expression, packets: Packets) -> Packets:
        """Give packets other addresses, and return those for which a map has none."""
        address = body.get("addr") if isinstance(body, dict) else None
        if not isinstance(address, dict) or "map" not in address:
            return self._send(rule, kind, body, packets)
        chosen, going_on = self._by_element(rule, address["map"], packets)
        for element, those in chosen.items():
            merge(going_on, self._send(rule, kind, {**body, **_ends(element.value)}, those, element))
        return going_on

    def _send(
        self, rule: Rule, kind: str, body: Expression, packets: Packets, element: Element | None = None
    ) -> Packets:
        """Give packets other addresses, which ends their way through the table."""
        changed: Packets = {}
        try:
            for packet, share in packets.items():
                add(changed, _TRANSLATIONS[kind](body, packet), share)
        except (AttributeError, TypeError, ValueError):  # no address and no port, as a range of them
            return self._unknown(rule, packets)[1]
        self._hit(rule, packets, element)
        merge(self.outcome.passed, changed)
        return {}

    def _mangle(self, rule: Rule, body: Expression, packets: Packets) -> tuple[Packets, Packets]:
        """Change what packets are like, and return them, and those that may have left the rule."""
        if not isinstance(body, dict) or _is_address(body.get("key")):
            return self._unknown(rule, packets)
        if body.get("key") != _MARK:  # nothing that is known of a packet
            return packets, {}
        changed: Packets = {}
        others: Packets = {}
        for packet, share in packets.items():
            marks = values(body.get("value"), packet, self.scope)
            if not marks or not all(isinstance(mark, int) for mark in marks):
                for those, maybe in zip((changed, others), self._unknown(rule, {packet: share})):
                    merge(those, maybe)
                continue
            for mark, likelihood in marks.items():
                add(changed, replace(packet, mark=t.cast("int", mark)), share.split(likelihood)[0])
        return changed, others

    def _unknown(self, rule: Rule, packets: Packets) -> tuple[Packets, Packets]:
        """Whatever a part of a rule does: packets may stay in the rule, leave it, or end here."""
        if rule not in self.outcome.unknown:
            self.outcome.unknown.append(rule)
        maybe = open_ended(packets)
        self.stop("unknown", maybe)
        return maybe, dict(maybe)


def _is_address(key: Expression) -> bool:
    """Whether it is an end of the connection in the packet itself."""
    payload = key.get("payload") if isinstance(key, dict) else None
    return key is None or (isinstance(payload, dict) and payload.get("field") in ("saddr", "daddr", "sport", "dport"))


def _rest(share: Share, likelihoods: Iterable[Likelihood]) -> Share:
    """The part for which there is none of some things."""
    known = list(likelihoods)
    if None in known:
        return share.split(None)[1]
    left = 1.0 - sum(filter(None, known))
    return share.split(left if left > _NOTHING else 0.0)[0]


# Translations. They raise AttributeError, TypeError and ValueError for what is no address and no port.


def _ends(value: Expression) -> dict[str, Expression]:
    """An address and perhaps a port, as a map has them."""
    parts = value.get("concat") if isinstance(value, dict) else [value]
    return dict(zip(("addr", "port"), parts if isinstance(parts, list) else [value]))


def _address(body: Expression) -> str | None:
    return str(ipaddress.ip_address(body["addr"])) if "addr" in body else None


def _port(body: Expression) -> int | None:
    port = body.get("port")
    if port is not None and not isinstance(port, int):
        raise ValueError(port)
    return port


_TRANSLATIONS: t.Final[dict[str, Callable[[Expression, Packet], Packet]]] = {
    "dnat": lambda body, packet: packet.sent_to(_address(body), _port(body)),
    "masquerade": lambda _body, packet: packet.hidden(),
    "snat": lambda body, packet: packet.sent_from(_address(body), _port(body)),
}
