# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How one chain differs from what kube-proxy writes into it. Python 3.9, standard library
# only.

from __future__ import annotations

import re
import typing as t
from collections import Counter, defaultdict
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Malformed, read_rule
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_forms import FOREIGN

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_forms import Form

# What the kernel makes of a probability differs from what is asked for by less.
_TOLERANCE: t.Final = 1e-8
_PROBABILITY: t.Final = re.compile(r" --probability (\d+(?:\.\d+)?) ")
# Matches that say or count something, and the one that shares out, which is judged by all rules of a chain.
_IDLE: t.Final = ("comment", "nfacct", "statistic")
_PROTOCOLS: t.Final = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Drift:
    """A difference: a rule that is there or should be there, and its chain. rule is empty if it is about the chain.

    detail is the chain that a jump calls, or what is wrong where the rule alone does not say it.
    """

    code: str
    table: str
    chain: str
    rule: str = ""
    detail: str = ""


def essence(line: str) -> tuple[object, ...]:
    """What a rule does, without what people read, how likely it is, what only counts, and the order of its matches."""
    try:
        rule = read_rule("", 0, line)
    except Malformed:
        return (line,)
    matches = [
        match
        for match in rule.matches
        # Without options that of a protocol only says the protocol again.
        if match.module not in _IDLE and (match.options or match.module not in _PROTOCOLS)
    ]
    return tuple(sorted(matches, key=lambda match: match.module)), rule.target, rule.goes, rule.arguments


def from_form(chain: Chain, form: Form) -> Iterator[Drift]:
    """How the rules of a chain differ from any that kube-proxy might write there, whatever Services there are."""
    where = (chain.table, chain.name)
    letters = form.letters(chain)
    once: dict[str, str] = {}
    for letter, line in zip(letters, chain.lines):
        if letter == FOREIGN:
            yield Drift("extra_rule", *where, line)
        elif line in once and letter not in form.may_repeat:
            yield Drift("duplicate_rule", *where, line)
        once.setdefault(line, letter)
    if not form.whole.fullmatch("".join(once.values()).replace(FOREIGN, "")):
        yield Drift("missing_rule", *where, detail=f"it should hold {form.holds}, in this order")
    yield from _shares(chain, form, letters)


def from_rules(chain: Chain, should: Sequence[str], form: Form | None, is_ordered: bool) -> Iterator[Drift]:
    """How a chain differs from the rules that should be in it. Only those that differ in a letter are taken apart."""
    if chain.lines == should:
        return
    where = (chain.table, chain.name)
    if not chain.lines and is_ordered:
        yield Drift("missing_rule", *where, detail=f"it is empty, and should have {len(should)} rules")
        return
    waiting = defaultdict(list)
    for line in _beyond(should, chain.lines):
        waiting[essence(line)].append(line)
    known, is_same = set(should), True
    for line in _beyond(chain.lines, should):
        alike = waiting[essence(line)]
        if alike:
            alike.pop()
        else:
            is_same = False
            yield Drift(_surplus_code(chain, line, known, form), *where, line)
    for line in (line for lines in waiting.values() for line in lines):
        is_same = False
        yield Drift("missing_rule", *where, line)
    if is_ordered and is_same:
        yield from _order(chain, should)
    if form:
        yield from _shares(chain, form, form.letters(chain))


def _beyond(lines: Iterable[str], others: Iterable[str]) -> list[str]:
    """The lines that others do not have, or not as often."""
    left = Counter(others)
    found = []
    for line in lines:
        if left[line]:
            left[line] -= 1
        else:
            found.append(line)
    return found


def _surplus_code(chain: Chain, line: str, known: set[str], form: Form | None) -> str:
    if line in known:
        return "duplicate_rule"
    return "stale_endpoint" if form and form.letter(chain, line) in form.endpoint else "extra_rule"


def _order(chain: Chain, should: Sequence[str]) -> Iterator[Drift]:
    """The first rule before which another stands that would take its packets."""
    for line, wanted in zip(chain.lines, should):
        if essence(line) != essence(wanted):
            yield Drift("missing_rule", chain.table, chain.name, wanted, "it is there, but others stand before it")
            return


def _shares(chain: Chain, form: Form, letters: str) -> Iterator[Drift]:
    """Whether each endpoint gets as many packets as the others."""
    lines = list(dict.fromkeys(line for line, letter in zip(chain.lines, letters) if letter in form.shares))
    chances = [_probability(line) for line in lines]
    even = [1 / left for left in range(len(lines), 0, -1)]
    wrong = [line for line, *both in zip(lines, chances, even) if abs(both[0] - both[1]) > _TOLERANCE]
    if wrong:
        got, rest = [], 1.0
        for chance in chances:
            got.append(rest * chance)
            rest -= got[-1]
        detail = f"of {len(lines)} endpoints each gets {min(got):.1%} to {max(got):.1%} of the packets"
        yield Drift("skewed_share", chain.table, chain.name, wrong[0], f"{detail}, not {even[0]:.1%}")


def _probability(line: str) -> float:
    probability = _PROBABILITY.search(line)
    return float(probability[1]) if probability else 1.0
