# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Rules of nft in words. Python 3.9, standard library only.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import element_text, opened, rule_text
from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Expression, Rule


def match_text(rule: Rule) -> str:
    """What a rule asks for."""
    return " ".join(filter(None, map(_asked, rule.expressions))) or "all"


def _asked(expression: Expression) -> str:
    kind, body = opened(expression)
    if kind == "match":
        return rule_text([expression], "")
    if kind == "vmap":
        return _looked_up(body)
    address = body.get("addr") if kind in ("dnat", "snat") and isinstance(body, dict) else None
    return _looked_up(address["map"]) if isinstance(address, dict) and "map" in address else ""


def _looked_up(mapping: Expression) -> str:
    """What is looked up, and where, if the place has a name."""
    place = mapping["data"] if isinstance(mapping["data"], str) else ""
    return " in ".join(filter(None, [element_text(mapping["key"], None, ""), place]))


def action_text(rule: Rule, element: str) -> str:
    """What becomes of a packet that a rule matches, by an element of its map if it has one."""
    value = element.rpartition(" : ")[2]
    return "; ".join(filter(None, (_done(part, value) for part in rule.expressions))) or "count only"


def _done(expression: Expression, value: str) -> str:
    kind, body = opened(expression)
    if kind in ("match", "xt", "counter"):
        return ""
    if kind == "vmap":
        verdict, _blank, target = value.partition(" ")
        return _WORDS[verdict]({"target": target}) if verdict in _WORDS else value
    if kind == "dnat" and value:
        address, _dot, port = value.partition(" . ")
        return f"send to {host_port(address, int(port) if port.isdigit() else None)}"
    try:
        return _WORDS[kind](body)
    except (AttributeError, KeyError, TypeError):
        return rule_text([expression], "")


def _sent(body: Expression) -> str:
    if not isinstance(body["addr"], str):  # as a range of addresses
        raise TypeError(body)
    return f"send to {host_port(body['addr'], body.get('port'))}"


def _rejected(body: Expression) -> str:
    return f"reject with {body['type']} {body.get('expr', '')}".rstrip()


def _changed(body: Expression) -> str:
    text = rule_text([{"mangle": body}], "")
    return f"set the mark {text[len('meta mark set ') :]}" if text.startswith("meta mark set ") else text


_WORDS: t.Final[dict[str, Callable[[Expression], str]]] = {
    "accept": lambda _body: "accept: done with this base chain",
    "continue": lambda _body: "go on",
    "dnat": _sent,
    "drop": lambda _body: "drop",
    "goto": lambda body: f"continue in {body['target']}",
    "jump": lambda body: f"go to {body['target']}",
    "mangle": _changed,
    "masquerade": lambda _body: "masquerade: the source is this node from here on",
    "reject": _rejected,
    "return": lambda _body: "return",
    "set": lambda body: f"remember {element_text(body['elem'], None, '')} in {body['set']}",
}
