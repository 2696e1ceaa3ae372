# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What iptables-save prints, by tables and chains. Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Malformed, read_rule

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

# ":NAME POLICY [packets:bytes]"; a chain that is not built in has the policy "-".
_CHAIN: t.Final = re.compile(r":(\S+) (\S+)(?: \[\d+:\d+\])?$")
# "[packets:bytes] ", as iptables-save --counters prints it before a rule.
_COUNTERS: t.Final = re.compile(r"\[\d+:\d+\] ")
# A rule for packets to a single address. iptables-save prints -s, and then -d, before all else.
_TO_ONE_ADDRESS: t.Final = re.compile(r"-A \S+ -d ([^/ ]+)/(?:32|128) ")
# Of so many lines that cannot be read it is said which; a dump that has more is something else.
_MOST_MISREAD: t.Final = 20


@dataclass(frozen=True)
class Misread:
    """A line of a dump that is none of iptables-save's, by its number from 1."""

    number: int
    line: str
    why: str


@dataclass
class Chain:
    """A chain. policy is empty if it is not built in. lines are its rules as they are printed, without counters."""

    table: str
    name: str
    policy: str = ""
    lines: list[str] = field(default_factory=list)

    # There may be very many chains, of which few are ever looked at: what these need they do not have before.
    @cached_property
    def malformed(self) -> dict[int, str]:
        """Those of its lines that turned out to be no rules when they were read, by their numbers."""
        return {}

    @cached_property
    def rules(self) -> list[Rule]:
        """Its rules, but for those that are none."""
        return list(filter(None, (self._rule(number, line) for number, line in enumerate(self.lines, 1))))

    def rules_to(self, destinations: Collection[str]) -> Iterator[Rule]:
        """Its rules but for those that are surely for other addresses than these, which are not even read.

        KUBE-SERVICES has a rule for each address of each Service.
        """
        for number, line in enumerate(self.lines, 1):
            exactly = _TO_ONE_ADDRESS.match(line)
            if exactly is None or exactly[1] in destinations:
                rule = self._rule(number, line)
                if rule:
                    yield rule

    def rules_with(self, text: str) -> Iterator[Rule]:
        """Those of its rules that have a text in them. The others are not even read."""
        for number, line in enumerate(self.lines, 1):
            if text in line:
                rule = self._rule(number, line)
                if rule:
                    yield rule

    def _rule(self, number: int, line: str) -> Rule | None:
        try:
            return read_rule(self.table, number, line)
        except Malformed:
            self.malformed[number] = line
            return None


@dataclass
class Dump:
    """The chains of a dump by table and name. whole are the tables whose end was there too."""

    tables: dict[str, dict[str, Chain]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    misread: list[Misread] = field(default_factory=list)

    def chain(self, table: str, name: str) -> Chain | None:
        return self.tables.get(table, {}).get(name)


def read_dump(lines: Iterable[str]) -> Dump:
    """Read what iptables-save or ip6tables-save prints: one table or several, in any order, with counters or without.

    Nothing is raised: what is no line of a dump is in its misread.
    """
    dump = Dump()
    table: dict[str, Chain] = {}
    name = ""
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if line.startswith("["):
            line = _COUNTERS.sub("", line, count=1)
        if line.startswith("-A "):
            chain = table.get(line[3:].partition(" ")[0])
            if chain is not None:
                chain.lines.append(line)
                continue
        elif line.startswith("*") and line[1:].isidentifier():
            name = line[1:]
            table = dump.tables.setdefault(name, {})
            continue
        elif line == "COMMIT" and name:
            dump.whole.add(name)
            table, name = {}, ""
            continue
        elif line.startswith(":") and name:
            match = _CHAIN.match(line)
            if match:
                table[match[1]] = Chain(name, match[1], "" if match[2] == "-" else match[2])
                continue
        elif not line or line.startswith("#"):
            continue
        if len(dump.misread) < _MOST_MISREAD:
            dump.misread.append(Misread(number, raw[:200].rstrip("\r\n"), _why(line)))
    return dump


def _why(line: str) -> str:
    if line.startswith("-A "):
        return "its chain is not declared"
    return "it declares no chain of a table" if line.startswith(":") else "it is no line of iptables-save"
