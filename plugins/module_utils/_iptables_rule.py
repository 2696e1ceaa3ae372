# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A rule as iptables-save prints it. Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterator

# A text in quotes, in which a backslash takes the meaning from what follows it, or a word. Before it are blanks, of
# which iptables prints two at some places. A quote that is not closed is the beginning of a word.
_WORD: t.Final = re.compile(r' *(?:"((?:[^"\\]|\\.)*)"(?= |$)|([^ ]+))')
_OF_EVERY_RULE: t.Final = frozenset({"-s", "-d", "-i", "-o", "-p", "-f"})
_ESCAPED: t.Final = re.compile(r"\\(.)")


class Malformed(Exception):
    """A line is no rule of iptables-save."""


@dataclass(frozen=True)
class Option:
    """An option and its values."""

    name: str
    values: tuple[str, ...] = ()
    negated: bool = False

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""

    def __str__(self) -> str:
        return " ".join([*(["!"] if self.negated else []), self.name, *self.values])


@dataclass(frozen=True)
class Match:
    """What a packet must be like, by the options of one module of iptables. Without a module by those of every rule."""

    module: str
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> Option | None:
        return next((option for option in self.options if option.name == name), None)

    def __str__(self) -> str:
        return " ".join([*(["-m", self.module] if self.module else []), *map(str, self.options)])


@dataclass(frozen=True)
class Rule:
    """A rule: what a packet must be like, and what then becomes of it.

    target is a chain or something that iptables knows, as ACCEPT; empty for a rule that only counts.
    goes is whether a return from the target goes on after the caller of this chain (-g), not after this rule (-j).
    """

    table: str
    chain: str
    number: int
    text: str
    matches: tuple[Match, ...] = ()
    target: str = ""
    goes: bool = False
    arguments: tuple[Option, ...] = ()

    @property
    def comment(self) -> str:
        """What its author says of it; several comments are one text."""
        texts = (match.option("--comment") for match in self.matches if match.module == "comment")
        return " ".join(text.value for text in texts if text)

    def argument(self, name: str) -> str | None:
        """The value of an option of the target, None if it has not this option."""
        return next((option.value for option in self.arguments if option.name == name), None)


def read_rule(table: str, number: int, line: str) -> Rule:
    """Read a rule; number is its place in its chain, from 1. Raises Malformed.

    All that is taken for granted is what all options have in common, so also those that nobody here knows are read.
    """
    words = _WORD.findall(line)
    if len(words) < 2 or words[0][1] != "-A":
        raise Malformed(line)
    # The first has the options of every rule, wherever they stand.
    modules: list[tuple[str, list[Option]]] = [("", [])]
    arguments: list[Option] = []
    target, goes = "", False
    for option in _options(words[2:]):
        if target:
            arguments.append(option)
        elif option.name in ("-j", "-g"):
            target, goes = option.value, option.name == "-g"
        elif option.name == "-m":
            modules.append((option.value, []))
        else:
            modules[0 if option.name in _OF_EVERY_RULE else -1][1].append(option)
    matches = tuple(Match(module, tuple(options)) for module, options in modules if module or options)
    return Rule(table, _value(*words[1]), number, line, matches, target, goes, tuple(arguments))


def _options(words: list[tuple[str, str]]) -> Iterator[Option]:
    """The options with their values: an exclamation mark belongs to the option that follows it."""
    name, negated, negates_next = "", False, False
    values: list[str] = []
    for quoted, word in words:
        if word == "!":
            negates_next = True
        elif _is_option(word):
            if name:
                yield Option(name, tuple(values), negated)
            name, values, negated, negates_next = word, [], negates_next, False
        elif not name:
            raise Malformed(word)
        else:
            # "--option ! value", as old versions print it
            negated, negates_next = negated or negates_next, False
            values.append(_value(quoted, word))
    if name:
        yield Option(name, tuple(values), negated)


def _value(quoted: str, word: str) -> str:
    return word or _ESCAPED.sub(r"\1", quoted)


def _is_option(word: str) -> bool:
    """Whether a word is no value: a single dash, which some matches print for "none", and a number are."""
    return word.startswith("-") and word != "-" and not word[1:].replace(".", "", 1).isdigit()
