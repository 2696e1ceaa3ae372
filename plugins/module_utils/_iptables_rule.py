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
# which iptables prints two at some places.
_TOKEN: t.Final = re.compile(r'( *)(?:"((?:[^"\\]|\\.)*)"(?= |$)|([^ ]+))')
_OF_EVERY_RULE: t.Final = ("-s", "-d", "-i", "-o", "-p", "-f")
_ESCAPED: t.Final = re.compile(r"\\(.)")


class Malformed(Exception):
    """A line is no rule of iptables-save."""


@dataclass(frozen=True)
class Token:
    """A word of a rule, as it is printed; text is without the quotes."""

    text: str
    quoted: bool = False
    gap: int = 1

    def __str__(self) -> str:
        return " " * self.gap + (f'"{self.text}"' if self.quoted else self.text)

    @property
    def value(self) -> str:
        return _ESCAPED.sub(r"\1", self.text) if self.quoted else self.text

    @property
    def is_option(self) -> bool:
        # A comment may be "-j DROP". A single dash is a value: some matches print it for "none".
        return not self.quoted and self.text.startswith("-") and not _is_number(self.text) and self.text != "-"


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


def tokens(line: str) -> list[Token]:
    """The words of a line; joined they are the line again."""
    found, end = [], 0
    for match in _TOKEN.finditer(line):
        if match.start() != end:
            break
        gap, quoted, word = match.groups()
        found.append(Token(word if quoted is None else quoted, quoted is not None, len(gap)))
        end = match.end()
    # A quote that is not closed is the beginning of a word.
    return found


def read_rule(table: str, number: int, line: str) -> Rule:
    """Read a rule; number is its place in its chain, from 1. Raises Malformed.

    All that is taken for granted is what all options have in common, so also those that nobody here knows are read.
    """
    words = tokens(line)
    if len(words) < 2 or words[0].text != "-A" or words[0].quoted:
        raise Malformed(line)
    # The first has the options of every rule, wherever they stand.
    modules: list[tuple[str, list[Option]]] = [("", [])]
    arguments: list[Option] = []
    target, goes = "", False
    for option in _options(words[2:]):
        if option.name in ("-j", "-g") and not target:
            target, goes = option.value, option.name == "-g"
        elif target:
            arguments.append(option)
        elif option.name == "-m":
            modules.append((option.value, []))
        else:
            modules[0 if option.name in _OF_EVERY_RULE else -1][1].append(option)
    matches = tuple(Match(module, tuple(options)) for module, options in modules if module or options)
    return Rule(table, words[1].value, number, line, matches, target, goes, tuple(arguments))


def _options(words: list[Token]) -> Iterator[Option]:
    """The options with their values: an exclamation mark belongs to the option that follows it."""
    name, negated, negates_next = "", False, False
    values: list[str] = []
    for word in words:
        if word.text == "!" and not word.quoted:
            negates_next = True
        elif word.is_option:
            if name:
                yield Option(name, tuple(values), negated)
            name, values, negated, negates_next = word.text, [], negates_next, False
        elif not name:
            raise Malformed(word.text)
        else:
            # "--option ! value", as old versions print it
            negated, negates_next = negated or negates_next, False
            values.append(word.value)
    if name:
        yield Option(name, tuple(values), negated)


def _is_number(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdigit()
