# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What "nft --json list ruleset" prints. Python 3.9, standard library only.

from __future__ import annotations

import json
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import element_text, rule_text

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# A part of a rule, or a value in one, as it is in JSON: it is only taken apart when a packet meets it.
Expression = t.Any


class Unreadable(Exception):
    """What is wrong with a text that should be a ruleset of nft, and what to do."""


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule. table has the family before its name, as in "ip kube-proxy"; number is its place in its chain, from 1."""

    table: str
    chain: str
    number: int
    handle: int
    expressions: tuple[Expression, ...]
    comment: str = ""

    @cached_property
    def text(self) -> str:
        """The rule as nft prints it without JSON."""
        return rule_text(self.expressions, self.comment)


@dataclass(frozen=True)
class Chain:
    """A chain. hook is empty if it is no base chain; then kind, priority and policy say nothing."""

    name: str
    kind: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Element:
    """An element of a set, or of a map, which has a value for it."""

    key: Expression
    value: Expression = None
    comment: str = ""

    @cached_property
    def text(self) -> str:
        return element_text(self.key, self.value, self.comment)


@dataclass(frozen=True, eq=False)
class Elements:
    """The elements of a set or a map. is_updated is whether rules add to it the packets that they see."""

    all: tuple[Element, ...]
    is_updated: bool = False

    @cached_property
    def exact(self) -> dict[t.Any, Element]:
        """Those that stand for a single value, by this value: of a concatenation by the tuple of its parts."""
        return {value: element for element in self.all for value in _exact(element.key)}

    @cached_property
    def wide(self) -> list[Element]:
        """The others, as networks and ranges."""
        return [element for element in self.all if not list(_exact(element.key))]


def _exact(key: Expression) -> Iterator[t.Any]:
    if _is_single(key):
        yield key
    elif isinstance(key, dict) and isinstance(key.get("concat"), list) and all(map(_is_single, key["concat"])):
        yield tuple(key["concat"])


def _is_single(key: Expression) -> bool:
    """Whether it stands for itself: an asterisk stands for any, and after a name for any that begins so."""
    return isinstance(key, int) or (isinstance(key, str) and not key.endswith("*"))


@dataclass(frozen=True)
class Table:
    family: str
    name: str
    is_dormant: bool = False
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Elements] = field(default_factory=dict)


Key = tuple[str, str]
Ruleset = dict[Key, Table]


def read_ruleset(text: str) -> Ruleset:
    """Read tables, by their family and name, in the order in which they were made. Raises Unreadable.

    What a rule says is only understood later, so that one that nobody here knows is no obstacle to the others.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise Unreadable(
            f"This is no JSON: {error}. It must be all that 'nft --json list ruleset' has printed."
        ) from error
    things = content.get("nftables") if isinstance(content, dict) else None
    if not isinstance(things, list):
        raise Unreadable("This JSON has no list \"nftables\", so it is not what 'nft --json list ruleset' prints.")
    return _Reader().read(things)


def elements_of(entries: Sequence[Expression], is_updated: bool = False) -> Elements:
    """The elements of a set or a map, as they are in JSON. Those of a map are pairs of key and value."""
    return Elements(tuple(map(_element, entries)), is_updated)


def _element(entry: Expression) -> Element:
    key, value = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
    wrapped = key.get("elem") if isinstance(key, dict) else None
    if not isinstance(wrapped, dict):
        return Element(key, value)
    return Element(wrapped.get("val"), value, str(wrapped.get("comment", "")))


class _Reader:
    """What was read so far: sets come before the rules that may add to them."""

    def __init__(self) -> None:
        self._tables: Ruleset = {}
        self._entries: dict[Key, dict[str, list[Expression]]] = defaultdict(dict)
        self._updated: dict[Key, set[str]] = defaultdict(set)

    def read(self, things: Sequence[object]) -> Ruleset:
        known = {"table": self._table, "chain": self._chain, "rule": self._rule, "set": self._set, "map": self._set}
        for number, thing in enumerate(things, 1):
            for kind, body in thing.items() if isinstance(thing, dict) else ():
                if kind not in known:  # as "metainfo", counters and quotas
                    continue
                try:
                    known[kind](body)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    what = f"{type(error).__name__}: {error}"
                    raise Unreadable(
                        f'Entry {number} of "nftables" is no {kind} as nft prints one ({what}). Has the text been '
                        "edited, or put together of several?"
                    ) from error
        for key, entries in self._entries.items():
            for name, elements in entries.items():
                self._tables[key].sets[name] = elements_of(elements, name in self._updated[key])
        return self._tables

    def _table(self, body: Mapping[str, t.Any]) -> None:
        key = _string(body, "family"), _string(body, "name")
        self._tables[key] = Table(*key, is_dormant="dormant" in (body.get("flags") or ()))

    def _chain(self, body: Mapping[str, t.Any]) -> None:
        chain = Chain(_string(body, "name"))
        if "hook" in body:
            kind, hook, policy = _string(body, "type"), _string(body, "hook"), body.get("policy", "accept")
            chain = Chain(chain.name, kind, hook, int(body["prio"]), policy)
        self._tables[_key(body)].chains[chain.name] = chain

    def _rule(self, body: Mapping[str, t.Any]) -> None:
        key = _key(body)
        chain = self._tables[key].chains[_string(body, "chain")]
        expressions = tuple(_list(body, "expr"))
        number, comment = len(chain.rules) + 1, str(body.get("comment", ""))
        chain.rules.append(Rule(" ".join(key), chain.name, number, int(body["handle"]), expressions, comment))
        for expression in expressions:
            if isinstance(expression, dict) and "set" in expression:
                self._updated[key].add(str(expression["set"]["set"])[1:])

    def _set(self, body: Mapping[str, t.Any]) -> None:
        self._tables[_key(body)]
        self._entries[_key(body)][_string(body, "name")] = _list(body, "elem")


def _key(body: Mapping[str, t.Any]) -> Key:
    return _string(body, "family"), _string(body, "table")


def _string(body: Mapping[str, t.Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}")
    return value


def _list(body: Mapping[str, t.Any], name: str) -> list[t.Any]:
    value = body.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r}")
    return value
