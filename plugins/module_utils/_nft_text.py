# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Rules of nft as it prints them without JSON. Python 3.9, standard library only.

from __future__ import annotations

import json
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Expression = t.Any

# What is printed without the word "meta" before it.
_UNQUALIFIED: t.Final = ("iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "skuid", "skgid")
_OPERATORS: t.Final = ("&", "|", "^", "<<", ">>")
_PORT_UNREACHABLE: t.Final = ("icmp", "icmpv6", "icmpx")


# A rule may have thousands of endpoints in it, and there is a step for each of them.
_LONGEST: t.Final = 600


class _Unprintable(Exception):
    """It is nothing that this module knows how nft prints it."""


def opened(expression: Expression) -> tuple[str, Expression]:
    """The kind of an expression, and what is said of it."""
    if isinstance(expression, dict) and len(expression) == 1:
        ((kind, body),) = expression.items()
        return str(kind), body
    return "", None


def rule_text(expressions: Sequence[Expression], comment: str) -> str:
    """A rule on one line. A part that this module does not know is in it as JSON."""
    return " ".join([*map(_statement, expressions), *_comment(comment)])


def shortened(rule: str) -> str:
    """A rule, but of a very long map in it only the beginning."""
    begin, end = rule[:_LONGEST].rfind(", "), rule.rfind(" }")
    if len(rule) <= _LONGEST or not 0 < begin < end:
        return rule
    more = rule[begin:end].count(", ")
    return f"{rule[:begin]}, ... {more} more{rule[end:]}"


def element_text(key: Expression, value: Expression, comment: str) -> str:
    """An element of a set, or of a map if there is a value."""
    text = " ".join([_known(_value, key), *_comment(comment)])
    return text if value is None else f"{text} : {_known(_mapped, value)}"


def _comment(comment: str) -> list[str]:
    return [f'comment "{comment}"'] if comment else []


def _known(printer: Callable[[Expression], str], expression: Expression) -> str:
    try:
        return printer(expression)
    except (_Unprintable, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return json.dumps(expression, separators=(",", ":"))


def _statement(expression: Expression) -> str:
    return _known(lambda known: _printed(_STATEMENTS, known), expression)


def _printed(printers: dict[str, Callable[[Expression], str]], expression: Expression) -> str:
    """Print an expression, which is an object of one member."""
    ((kind, body),) = expression.items()
    if kind not in printers:
        raise _Unprintable(kind)
    return printers[kind](body)


# What is asked for, and the values that it may have


def _value(expression: Expression, of: Expression = None) -> str:
    """A value or what has one; of is what it is a value of, by which some are printed otherwise."""
    if isinstance(expression, list):
        return ",".join(_value(part, of) for part in expression)
    if isinstance(expression, dict):
        ((kind, body),) = expression.items()
        if kind in _OPERATORS:
            return f"{_value(body[0], of)} {kind} {_value(body[1], body[0])}"
        if kind == "set":
            return f"{{ {', '.join(_entry(entry, of) for entry in body)} }}"
        return _printed(_SELECTORS, expression)
    if isinstance(expression, bool):  # of what may be there or not
        return "exists" if expression else "missing"
    if not isinstance(expression, (str, int)):
        raise _Unprintable(expression)
    meta = _meta_key(of)
    if meta == "mark" and isinstance(expression, int):
        return f"0x{expression:08x}"
    is_name = meta.endswith(("iif", "oif", "ifname")) and not str(expression).startswith("@")
    return f'"{expression}"' if is_name else str(expression)


def _meta_key(expression: Expression) -> str:
    """Of which key of meta or ct something is, also if it is calculated with."""
    while isinstance(expression, dict) and len(expression) == 1:
        ((kind, body),) = expression.items()
        if kind in ("meta", "ct"):
            return str(body["key"])
        expression = body[0] if kind in _OPERATORS else None
    return ""


def _entry(entry: Expression, of: Expression) -> str:
    """An element of a set without a name. In one of a map there are pairs."""
    key, value = entry if isinstance(entry, list) else (entry, None)
    return _value(key, of) if value is None else f"{_value(key, of)} : {_mapped(value)}"


def _mapped(value: Expression) -> str:
    """What a map has for a key: a verdict or a value."""
    if isinstance(value, dict) and set(value) <= set(_VERDICTS):
        return _printed(_VERDICTS, value)
    return _value(value)


def _element(body: Expression) -> str:
    comment = _comment(str(body.get("comment", "")))
    if not set(body) <= {"val", "comment"}:
        raise _Unprintable(body)
    return " ".join([_value(body["val"]), *comment])


def _meta(body: Expression) -> str:
    return str(body["key"]) if body["key"] in _UNQUALIFIED else f"meta {body['key']}"


def _number_generator(body: Expression) -> str:
    offset = f" offset {body['offset']}" if body.get("offset") else ""
    return f"numgen {body['mode']} mod {body['mod']}{offset}"


def _map(body: Expression) -> str:
    return f"{_value(body['key'])} map {_value(body['data'], body['key'])}"


_SELECTORS: t.Final[dict[str, Callable[[Expression], str]]] = {
    "concat": lambda body: " . ".join(map(_value, body)),
    "ct": lambda body: " ".join(["ct", *([body["dir"]] if "dir" in body else []), body["key"]]),
    "elem": _element,
    "fib": lambda body: f"fib {' . '.join(body['flags'])} {body['result']}",
    "map": _map,
    "meta": _meta,
    "numgen": _number_generator,
    "payload": lambda body: f"{body['protocol']} {body['field']}",
    "prefix": lambda body: f"{body['addr']}/{body['len']}",
    "range": lambda body: f"{_value(body[0])}-{_value(body[1])}",
    "rt": lambda body: f"rt {body['key']}",
    "tcp option": lambda body: f"tcp option {body['name']} {body['field']}",
}


# Statements


def _match(body: Expression) -> str:
    left, operator = body["left"], body["op"]
    if _is_of_flags(left):
        name, looked_at = map(_value, left["&"])
        return " ".join([name, *([operator] if operator != "==" else []), _value(body["right"]), "/", looked_at])
    is_calculated = isinstance(left, dict) and bool(set(left) & set(_OPERATORS))
    is_said = operator not in ("==", "in") or (operator == "==" and is_calculated)
    return " ".join([_value(left), *([operator] if is_said else []), _value(body["right"], left)])


def _is_of_flags(left: Expression) -> bool:
    """Whether some of the flags of TCP are looked at."""
    return isinstance(left, dict) and "&" in left and left["&"][0] == {"payload": {"protocol": "tcp", "field": "flags"}}


def _mangle(body: Expression) -> str:
    return f"{_value(body['key'])} set {_value(body['value'], body['key'])}"


def _vmap(body: Expression) -> str:
    return f"{_value(body['key'])} vmap {_value(body['data'], body['key'])}"


def _translation(kind: str) -> Callable[[Expression], str]:
    def text(body: Expression) -> str:
        if body is None:
            return kind
        words = [kind, *([body["family"]] if "family" in body else []), *_to(body)]
        flags = body.get("flags", [])
        return " ".join([*words, *([_value(flags)] if flags else [])])

    return text


def _to(body: Expression) -> list[str]:
    address = _value(body["addr"]) if "addr" in body else ""
    if "port" not in body:
        return ["to", address] if address else []
    host = f"[{address}]" if isinstance(body.get("addr"), str) and ":" in address else address
    return ["to", f"{host}:{_value(body['port'])}"]


def _reject(body: Expression) -> str:
    """A port that cannot be reached is what nft takes by itself in tables of each family."""
    if body["type"] == "tcp reset":
        return "reject with tcp reset"
    is_usual = body["expr"] == "port-unreachable" and body["type"] in _PORT_UNREACHABLE
    return "reject" if is_usual else f"reject with {body['type']} {body['expr']}"


def _counter(body: Expression) -> str:
    if not isinstance(body, dict):
        raise _Unprintable(body)
    return f"counter packets {body['packets']} bytes {body['bytes']}"


def _log(body: Expression) -> str:
    if not set(body or ()) <= {"prefix"}:
        raise _Unprintable(body)
    return f'log prefix "{body["prefix"]}"' if body else "log"


_VERDICTS: t.Final[dict[str, Callable[[Expression], str]]] = {
    "accept": lambda _body: "accept",
    "continue": lambda _body: "continue",
    "drop": lambda _body: "drop",
    "goto": lambda body: f"goto {body['target']}",
    "jump": lambda body: f"jump {body['target']}",
    "return": lambda _body: "return",
}
_STATEMENTS: t.Final[dict[str, Callable[[Expression], str]]] = {
    **_VERDICTS,
    **{kind: _translation(kind) for kind in ("dnat", "snat", "masquerade", "redirect")},
    "counter": _counter,
    "log": _log,
    "mangle": _mangle,
    "match": _match,
    "notrack": lambda _body: "notrack",
    "reject": _reject,
    "set": lambda body: f"{body['op']} {body['set']} {{ {_value(body['elem'])} }}",
    "vmap": _vmap,
}
