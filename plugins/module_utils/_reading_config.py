# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The configuration of k3s: flags as keys, and as values scalars or lists of scalars. It is
# read here since a node need not have PyYAML. What this reader takes, PyYAML reads to the same; the rest of YAML, which
# k3s has no use for, is refused.

from __future__ import annotations

import hashlib
import re
import sys
import typing as t

Scalar = t.Union[str, int, bool, None]
Value = t.Union[Scalar, list[Scalar]]

SECRET_KEYS = {
    "agent-token",
    "datastore-endpoint",
    "etcd-s3-access-key",
    "etcd-s3-secret-key",
    "etcd-s3-session-token",
    "token",
    "vpn-auth",
}

_DOUBLE = r'"(?:[^"\\]|\\.)*"'
_SINGLE = r"'(?:[^']|'')*'"
_PLAIN = r"""(?:[^\s\-?:,\[\]{}#&*!|>'"%@`]|[-?:](?=\S))(?:(?!:\s|:$|\s\#).)*"""
_PLAIN_IN_LIST = r"""(?:[^\s\-?:,\[\]{}#&*!|>'"%@`]|-(?=[^\s,\[\]{}]))(?:(?!:[\s,\[\]{}]|:$|\s\#|[?,\[\]{}]).)*"""
_REST = r"\s*(?:(?<=\s)\#.*)?"

_KEY = re.compile(rf"(?P<key>{_DOUBLE}|{_SINGLE}|[A-Za-z][\w.-]*\+?)\s*:(?:\s+(?P<value>.*))?", re.ASCII)
_SCALAR = re.compile(rf"(?P<scalar>{_DOUBLE}|{_SINGLE}|{_PLAIN}){_REST}")
_NOTHING = re.compile(r"(?:\#.*)?")
_ITEM = re.compile(r"(?P<indent> *)-\s+(?P<value>.*)")
_LIST = re.compile(rf"\[\s*(?P<items>(?:(?:{_DOUBLE}|{_SINGLE}|{_PLAIN_IN_LIST})\s*(?:,\s*|(?=\])))*)\]{_REST}")
_LISTED = re.compile(rf"(?P<scalar>{_DOUBLE}|{_SINGLE}|{_PLAIN_IN_LIST})\s*(?:,\s*|$)")
_START = re.compile(rf"---{_REST}")

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_WORDS: dict[str, Scalar] = {
    **{word: True for name in ("true", "yes", "on") for word in (name, name.capitalize(), name.upper())},
    **{word: False for name in ("false", "no", "off") for word in (name, name.capitalize(), name.upper())},
    **dict.fromkeys(("~", "null", "Null", "NULL")),
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_OCTAL = re.compile(r"[-+]?0[0-7]{1,18}")
# What YAML takes for a number, a time or a mark of its own, and not everyone for the same.
_AMBIGUOUS = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:e[-+]?[0-9]+)?|[-+]?\.inf|\.nan|[-+]?0[bx][0-9a-f_]+"
    r"|[-+]?[0-9][0-9_]*(?::[0-9_]+)+(?:\.[0-9_]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[t\s].*)?|=|<<",
    re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES = dict(zip('0abtnvfre N_LP"/\\', '\0\a\b\t\n\v\f\r\x1b \x85\xa0\u2028\u2029"/\\'))


class ConfigError(ValueError):
    """A line that is not understood. It is named and never shown: there may be a secret in it."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"{line}: {problem}")


def parse(text: str) -> list[tuple[str, Value]]:
    """Return the keys and values of one file, in order."""
    found: list[tuple[str, Value]] = []
    items: list[Scalar] | None = None  # of the key before, while it may be a list
    indent = ""
    started = False  # the document, after which no mark of its start may come
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r ")
        if _NOTHING.fullmatch(line.lstrip(" ")):
            continue
        if _START.fullmatch(line) and not started:
            started = True
            continue
        started = True
        if _UNPRINTABLE.search(line):
            raise ConfigError(number, "there is a tab or another character that cannot be seen; use spaces")
        item, pair = _ITEM.fullmatch(line), _KEY.fullmatch(line)
        if item and items is not None and (not items or item["indent"] == indent):
            indent = item["indent"]
            items.append(_scalar(item["value"], number))
            found[-1] = (found[-1][0], items)
        elif pair:
            value, items = _value(pair["value"] or "", number)
            found.append((_key(pair["key"], number), value))
        else:
            raise ConfigError(number, "this is neither `key: value` nor an item of a list")
    return found


def effective(files: t.Iterable[list[tuple[str, Value]]]) -> dict[str, Value]:
    """Return what k3s makes of its files: a later key replaces an earlier one, unless it ends in `+` and appends."""
    config: dict[str, Value] = {}
    for pairs in files:
        for key, value in pairs:
            name = key[:-1] if key.endswith("+") else key
            config[name] = [*_list(config[name]), *_list(value)] if key != name and name in config else value
    return config


def without_secrets(config: dict[str, Value]) -> dict[str, Value]:
    return {key: f"sha256:{digest(value)}" if key in SECRET_KEYS else value for key, value in config.items()}


def digest(secret: Value) -> str:
    return hashlib.sha256(str(secret).encode()).hexdigest()


def _list(value: Value) -> list[Scalar]:
    return value if isinstance(value, list) else [value]


def _key(text: str, number: int) -> str:
    key = _scalar(text, number)
    if not isinstance(key, str):
        raise ConfigError(number, "the key is not text; write it in quotes")
    return key


def _value(text: str, number: int) -> tuple[Value, list[Scalar] | None]:
    """Return the value behind a key, and a list for the items that may follow if there is none."""
    if _NOTHING.fullmatch(text):
        return None, []
    in_brackets = _LIST.fullmatch(text)
    if in_brackets:
        return [_resolved(item["scalar"], number) for item in _LISTED.finditer(in_brackets["items"])], None
    return _scalar(text, number), None


def _scalar(text: str, number: int) -> Scalar:
    match = _SCALAR.fullmatch(text)
    if match is None:
        raise ConfigError(number, "the value is not plain text, text in quotes or a [list] on one line")
    return _resolved(match["scalar"], number)


def _resolved(text: str, number: int) -> Scalar:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        return _ESCAPE.sub(lambda escape: _unescaped(escape, number), text[1:-1])
    text = text.strip()
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    if _AMBIGUOUS.fullmatch(text):
        raise ConfigError(number, "YAML takes the value for a number or a time; write it in quotes if it is text")
    return text


def _unescaped(escape: re.Match[str], number: int) -> str:
    code = int(escape[1] or escape[2] or escape[3] or "0", 16)
    if escape[4] in _ESCAPES:
        return _ESCAPES[escape[4]]
    if escape[4] or code > sys.maxunicode or 0xD800 <= code < 0xE000:  # halves of a character
        raise ConfigError(number, "a backslash between double quotes is followed by what YAML does not know")
    return chr(code)
