# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What a packet is like, as rules of nft ask. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass
from functools import cache
from itertools import product

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import elements_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import rule_text
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import NO, YES

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import (
        Element,
        Elements,
        Expression,
        Table,
    )
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Likelihood, Packet

# What an expression may be for a packet, and how likely each is. Nothing at all if a packet has no such thing, as one
# of UDP has no port of TCP: the kernel then leaves the rule. None if it is not known what it may be.
Value = t.Union[str, int, tuple[t.Any, ...], frozenset[str]]
Values = t.Optional[dict[Value, "Likelihood"]]

_NOT_LOCAL: t.Final = ("unicast", "broadcast", "anycast", "blackhole", "unreachable", "prohibit", "throw")
_STATES: t.Final = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
_STATUSES: t.Final = frozenset({"dnat", "snat", "seen-reply", "assured"})
# What asks how many packets there were before.
HOW_MANY: t.Final = ("ct count", "limit", "quota")
_PORTS: t.Final = {"sport": "source_port", "dport": "destination_port"}
_WITH_PORTS: t.Final = ("tcp", "udp", "sctp", "udplite", "dccp")


@dataclass(frozen=True)
class Scope:
    """What rules of a table can ask for besides the packet."""

    table: Table
    facts: Facts


def values(expression: Expression, packet: Packet, scope: Scope) -> Values:
    if isinstance(expression, (str, int)):
        return {expression: YES}
    try:
        ((kind, body),) = expression.items()
        return _SELECTORS[kind](body, packet, scope)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # what nobody here knows
        return None


def match_likelihood(match: Expression, packet: Packet, scope: Scope) -> Likelihood:
    """How likely a packet is as a match asks."""
    try:
        left, operator, right = match["left"], match["op"], match["right"]
        ask = _OPERATORS[operator]
    except (KeyError, TypeError):
        return None
    known = values(left, packet, scope)
    if known is None:
        return None
    answers = {value: ask(value, right, scope) for value in known}
    if all(answers.values()) and answers:
        return YES
    if all(is_so is False for is_so in answers.values()):
        return NO
    return _sum(known[value] if is_so else None for value, is_so in answers.items() if is_so is not False)


def unknown_parts(expressions: Iterable[Expression], packet: Packet, scope: Scope) -> list[str]:
    """The parts of a rule of which it is not known whether a packet is so."""
    return [rule_text([part], "") for part in expressions if _is_unknown(part, packet, scope)]


def _is_unknown(part: Expression, packet: Packet, scope: Scope) -> bool:
    if not isinstance(part, dict):
        return False
    if "match" in part:
        return match_likelihood(part["match"], packet, scope) is None
    return is_foreign_match(part) or any(kind in part for kind in HOW_MANY)


def is_foreign_match(part: Expression) -> bool:
    """Whether it is a match of iptables, of which nft prints nothing but the name. Of a comment that is enough."""
    body = part.get("xt") if isinstance(part, dict) else None
    return isinstance(body, dict) and body.get("type") == "match" and body.get("name") != "comment"


def is_comment(part: Expression) -> bool:
    """Whether it is a comment of iptables, which nft takes for a match."""
    return bool(part == {"xt": {"type": "match", "name": "comment"}})


def found_elements(data: Expression, keys: dict[Value, Likelihood], scope: Scope) -> dict[Element, Likelihood] | None:
    """The elements of a map for keys, and how likely each is. None if it is not known which."""
    elements = _elements(data, scope)
    if elements is None:
        return None
    found: dict[Element, list[Likelihood]] = {}
    for key, likelihood in keys.items():
        for element, is_it in _lookup(elements, key, scope):
            found.setdefault(element, []).append(likelihood if is_it else None)
    return {element: _sum(likelihoods) for element, likelihoods in found.items()}


def _sum(likelihoods: Iterable[Likelihood]) -> Likelihood:
    found = list(likelihoods)
    return None if None in found else sum(filter(None, found))


def _elements(data: Expression, scope: Scope) -> Elements | None:
    """The elements of a set or map, which has a name or is in the rule itself."""
    if isinstance(data, str):
        return scope.table.sets.get(data[1:])
    return elements_of(data["set"]) if isinstance(data, dict) and isinstance(data.get("set"), list) else None


def _lookup(elements: Elements, value: Value, scope: Scope) -> list[tuple[Element, bool]]:
    """The element for a value, and whether it surely is that; several if it is not known which.

    What rules have added says who came before: a packet is taken for one of whom nothing is remembered.
    """
    if elements.is_updated:
        return []
    if value in elements.exact:
        return [(elements.exact[value], True)]
    maybe: list[tuple[Element, bool]] = []
    for element in elements.wide:
        is_it = _is(value, element.key, scope)
        if is_it:
            return [*maybe, (element, not maybe)]
        if is_it is None:
            maybe.append((element, False))
    return maybe


# Whether a value is as asked


def _is(value: Value, asked: Expression, scope: Scope) -> bool | None:
    """Whether a value is the one that is asked for, or one of these."""
    if isinstance(value, frozenset):
        flags = _flags(asked)
        return None if flags is None else bool(value & flags)
    if isinstance(asked, list):
        return _any(_is(value, part, scope) for part in asked)
    if isinstance(asked, dict) and len(asked) == 1:
        return _is_in(value, asked, scope)
    if isinstance(asked, str) and asked.startswith("@"):
        elements = scope.table.sets.get(asked[1:])
        found = None if elements is None else _lookup(elements, value, scope)
        return None if found is None else _any(is_it or None for _element, is_it in found)
    if isinstance(asked, str) and asked.endswith("*"):
        return str(value).startswith(asked[:-1])
    return str(value) == str(asked) if isinstance(asked, (str, int)) else None


def _is_in(value: Value, asked: dict[str, t.Any], scope: Scope) -> bool | None:
    ((kind, body),) = asked.items()
    try:
        if kind == "elem":
            return _is(value, body["val"], scope)
        if kind == "set":
            return _any(is_it or None for _element, is_it in _lookup(elements_of(body), value, scope))
        if kind == "prefix":
            mask = _mask(body["addr"], body["len"])
            return _same_family(value, body["addr"]) and _number(value) & mask == _number(body["addr"]) & mask
        if kind == "range":
            return _same_family(value, body[0]) and _number(body[0]) <= _number(value) <= _number(body[1])
        if kind == "concat" and isinstance(value, tuple) and len(value) == len(body):
            return _all(_is(part, wanted, scope) for part, wanted in zip(value, body))
    except (KeyError, TypeError, ValueError):
        pass
    return None


def _flags(asked: Expression) -> frozenset[str] | None:
    """Names of flags: one, a list of them, or several by "or"."""
    if isinstance(asked, str):
        return frozenset({asked})
    names = asked.get("|") if isinstance(asked, dict) else asked
    if not isinstance(names, list):
        return None
    parts = [_flags(name) for name in names]
    return None if None in parts else frozenset().union(*filter(None, parts))


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return False if False in found else None if None in found else True


def _same_family(value: Value, asked: str | int) -> bool:
    return (":" in str(value)) == (":" in str(asked))


@cache
def _number(value: str | int) -> int:
    """A number or an address as a number. Raises ValueError."""
    return value if isinstance(value, int) else int(ipaddress.ip_address(value))


def _mask(address: str | int, length: int) -> int:
    bits = 32 if isinstance(address, int) else ipaddress.ip_address(address).max_prefixlen
    return ((1 << length) - 1) << (bits - length)


def _is_exactly(value: Value, asked: Expression, scope: Scope) -> bool | None:
    """Whether it is so, of flags whether there are just these."""
    if not isinstance(value, frozenset):
        return _is(value, asked, scope)
    flags = _flags(asked)
    return None if flags is None else value == flags


def _is_not(value: Value, asked: Expression, scope: Scope) -> bool | None:
    is_it = _is_exactly(value, asked, scope)
    return None if is_it is None else not is_it


Ask = t.Callable[["Value", "Expression", Scope], t.Optional[bool]]


def _ordered(is_so: Callable[[int, int], bool]) -> Ask:
    def ask(value: Value, asked: Expression, _scope: Scope) -> bool | None:
        return is_so(value, asked) if isinstance(value, int) and isinstance(asked, int) else None

    return ask


_OPERATORS: t.Final[dict[str, Ask]] = {
    "in": _is,
    "==": _is_exactly,
    "!=": _is_not,
    "<": _ordered(lambda value, asked: value < asked),
    ">": _ordered(lambda value, asked: value > asked),
    "<=": _ordered(lambda value, asked: value <= asked),
    ">=": _ordered(lambda value, asked: value >= asked),
}


# What a packet is like


def _single(value: Value | None) -> Values:
    return None if value is None else {value: YES}


def _payload(body: Expression, packet: Packet, _scope: Scope) -> Values:
    protocol, name = body["protocol"], body["field"]
    if protocol in ("ip", "ip6"):
        if protocol != _family(packet):
            return {}
        ends = {"saddr": packet.source or None, "daddr": packet.destination}
        return _single(packet.protocol if name in ("protocol", "nexthdr") else ends[name])
    if protocol not in (packet.protocol, "th"):
        return {}
    if name == "flags" and protocol == "tcp":
        return {frozenset({"syn"}): YES}
    return _single(getattr(packet, _PORTS[name])) if packet.protocol in _WITH_PORTS else {}


def _family(packet: Packet) -> str:
    return "ip6" if ":" in packet.destination else "ip"


def _meta(body: Expression, packet: Packet, _scope: Scope) -> Values:
    is_newer = _family(packet) == "ip6"
    known: dict[str, Value | None] = {
        "l4proto": packet.protocol,
        "nfproto": "ipv6" if is_newer else "ipv4",
        "protocol": _family(packet),
        "mark": packet.mark,
        "iif": packet.in_interface,
        "iifname": packet.in_interface,
        "oif": packet.out_interface,
        "oifname": packet.out_interface,
    }
    return _single(known.get(body["key"]))


def _connection(body: Expression, packet: Packet, _scope: Scope) -> Values:
    if "dir" in body:
        return None
    known: dict[str, Value | None] = {
        "state": next((state.lower() for state in _STATES if state in packet.states), None),
        "status": frozenset(state.lower() for state in packet.states) & _STATUSES,
        "direction": "original",
    }
    return _single(known.get(body["key"]))


def _kind_of_address(body: Expression, packet: Packet, scope: Scope) -> Values:
    """By the routes of the node: LOCAL is known by its addresses, of the others only what all nodes agree about."""
    if body["result"] != "type" or body["flags"] not in (["saddr"], ["daddr"]):
        return None
    is_source = body["flags"] == ["saddr"]
    address = packet.source if is_source else packet.destination
    # Without a source it is that of the node which masquerades.
    if not address or address in scope.facts.local_addresses or ipaddress.ip_address(address).is_loopback:
        return {"local": YES}
    if ipaddress.ip_address(address).is_multicast:
        return {"multicast": YES}
    others: dict[Value, Likelihood] = dict.fromkeys(_NOT_LOCAL)
    return others if is_source or scope.facts.knows_all else {**others, "local": None}


def _drawn(body: Expression, _packet: Packet, scope: Scope) -> Values:
    """A number that is drawn by lot, or that is the next each time: as likely as each other."""
    first, many = body.get("offset", 0), body["mod"]
    if scope.facts.drawn is not None:
        return {first + scope.facts.drawn % many: YES}
    return dict.fromkeys(range(first, first + many), 1 / many)


def _joined(body: Expression, packet: Packet, scope: Scope) -> Values:
    parts = [values(part, packet, scope) for part in body]
    if None in parts:
        return None
    found: dict[Value, Likelihood] = {}
    for combination in product(*(part.items() for part in parts if part is not None)):
        likelihood: Likelihood = YES
        for _value, likely in combination:
            likelihood = None if likelihood is None or likely is None else likelihood * likely
        found[tuple(value for value, _likely in combination)] = likelihood
    return found


def _looked_up(body: Expression, packet: Packet, scope: Scope) -> Values:
    """The values that a map has."""
    keys = values(body["key"], packet, scope)
    found = None if keys is None else found_elements(body["data"], keys, scope)
    if found is None:
        return None
    return {key: likely for element, likely in found.items() for key in values(element.value, packet, scope) or {}}


def _calculated(calculate: Callable[[int, int], int]) -> Callable[[Expression, Packet, Scope], Values]:
    def selector(body: Expression, packet: Packet, scope: Scope) -> Values:
        left, right = (values(part, packet, scope) for part in body)
        if left is None or right is None or len(right) != 1:
            return None
        (operand,) = right
        # A number alone can be calculated with, but not an address.
        numbers = {value: likely for value, likely in left.items() if isinstance(value, int)}
        if len(numbers) != len(left) or not isinstance(operand, int):
            return None
        return {calculate(value, operand): likely for value, likely in numbers.items()}

    return selector


def _and(body: Expression, packet: Packet, scope: Scope) -> Values:
    """Of flags those that are looked at."""
    left, looked_at = values(body[0], packet, scope), _flags(body[1])
    if left is not None and looked_at is not None and all(isinstance(value, frozenset) for value in left):
        return {value & looked_at: likely for value, likely in left.items() if isinstance(value, frozenset)}
    return _calculated(lambda value, operand: value & operand)(body, packet, scope)


_SELECTORS: t.Final[dict[str, Callable[[Expression, Packet, Scope], Values]]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _connection,
    "fib": _kind_of_address,
    "numgen": _drawn,
    "concat": _joined,
    "map": _looked_up,
    "&": _and,
    "|": _calculated(lambda value, operand: value | operand),
    "^": _calculated(lambda value, operand: value ^ operand),
    "<<": _calculated(lambda value, operand: value << operand & 0xFFFFFFFF),
    ">>": _calculated(lambda value, operand: value >> operand),
}
