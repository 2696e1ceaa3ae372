# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How the rules of a node differ from those that kube-proxy would write. Python 3.9, standard
# library only.

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import read_rule
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

# What the kernel makes of a probability differs from what is asked for by less.
_TOLERANCE: t.Final = 1e-8
_SHARED: t.Final = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
_OF_SERVICES: t.Final = re.compile(r"KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$")
# The chains of kube-proxy that the kernel calls itself, and from where: without these calls no other rule is reached.
_CALLS: t.Final = (
    ("nat", "PREROUTING", "KUBE-SERVICES"),
    ("nat", "OUTPUT", "KUBE-SERVICES"),
    ("nat", "POSTROUTING", "KUBE-POSTROUTING"),
    ("filter", "INPUT", "KUBE-NODEPORTS"),
    ("filter", "INPUT", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "INPUT", "KUBE-PROXY-FIREWALL"),
    ("filter", "FORWARD", "KUBE-FORWARD"),
    ("filter", "FORWARD", "KUBE-SERVICES"),
    ("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "FORWARD", "KUBE-PROXY-FIREWALL"),
    ("filter", "OUTPUT", "KUBE-SERVICES"),
    ("filter", "OUTPUT", "KUBE-PROXY-FIREWALL"),
)


@dataclass(frozen=True)
class Drift:
    """A difference: a rule that is there or should be there, and its chain. rule may be empty."""

    code: str
    table: str
    chain: str
    rule: str
    detail: str = ""


def manner_of(dump: Dump, family: int, node_address: str) -> Manner:
    """How kube-proxy writes rules on a node, by those that it has written."""
    pods = ""
    counts = False
    for name, chain in dump.tables.get("nat", {}).items():
        if name == "KUBE-NODEPORTS":
            counts = any("localhost_nps_accepted_pkts" in line for line in chain.lines)
        elif not pods and name.startswith(("KUBE-SVC-", "KUBE-SVL-")) and chain.lines:
            detected = re.match(r"-A \S+ ! (-[si] \S+) -d ", chain.lines[0])
            pods = detected[1] if detected else ""
    return Manner(family, node_address, pods, counts)


def calls(dump: Dump) -> Iterator[Drift]:
    """What keeps packets from the rules: calls of chains that are not there, and calls that lead nowhere."""
    for table, beginning, target in _CALLS:
        chain, callee = dump.chain(table, beginning), dump.chain(table, target)
        if chain and callee is not None and not any(rule.target == target for rule in chain.rules):
            yield Drift("missing_jump", table, beginning, f"-A {beginning} -j {target}")
    for table, chains in dump.tables.items():
        for name, chain in chains.items():
            for number, line in enumerate(chain.lines, 1):
                called = re.search(r" -[jg] (KUBE-\S+)", line)
                # It may stand in a comment; few lines come so far.
                if called and called[1] not in chains:
                    rule = read_rule(table, number, line)
                    if rule.target.startswith("KUBE-") and rule.target not in chains:
                        yield Drift("dangling_jump", table, name, line, rule.target)


def differences(dump: Dump, predicted: Mapping[tuple[str, str], list[str]], names: Iterable[str]) -> Iterator[Drift]:
    """How the rules for Services differ from those that are predicted.

    names are the titles of all ports of the Services that were predicted, as namespace/name:port: in the chains that
    Services share, the rules of others are nobody's affair here.
    """
    titles = set(names)
    for (table, name), texts in predicted.items():
        chain = dump.chain(table, name)
        should = [read_rule(table, number, f"-A {name} {text}") for number, text in enumerate(texts, 1)]
        yield from _of_chain(table, name, should, list(chain.rules) if chain else [], titles)


def _of_chain(table: str, name: str, should: list[Rule], there: list[Rule], titles: set[str]) -> Iterator[Drift]:
    own = there if _OF_SERVICES.match(name) else [rule for rule in there if _title(rule) in titles]
    wanted = {_essence(rule): rule for rule in should}
    found = Counter(_essence(rule) for rule in own)
    for essence, rule in wanted.items():
        if essence not in found:
            yield Drift("missing_rule", table, name, rule.text)
    for rule in own:
        essence = _essence(rule)
        if essence not in wanted:
            yield Drift(_surplus_code(rule, should), table, name, rule.text)
        elif found[essence] > 1:
            found[essence] -= 1
            yield Drift("duplicate_rule", table, name, rule.text)
        else:
            yield from _chance(table, name, wanted[essence], rule)


def _surplus_code(rule: Rule, should: list[Rule]) -> str:
    """Whether a rule that should not be there leads to an endpoint that is none any more."""
    balances = any(other.target.startswith("KUBE-SEP-") for other in should)
    return "stale_endpoint" if balances and rule.target.startswith("KUBE-SEP-") else "extra_rule"


def _chance(table: str, name: str, should: Rule, there: Rule) -> Iterator[Drift]:
    wanted, found = _probability(should), _probability(there)
    if abs(wanted - found) > _TOLERANCE:
        yield Drift("skewed_share", table, name, there.text, f"{found:.4f} instead of {wanted:.4f}")


def _probability(rule: Rule) -> float:
    options = (match.option("--probability") for match in rule.matches)
    return next((float(option.value) for option in options if option), 1.0)


def _essence(rule: Rule) -> tuple[object, ...]:
    """What a rule does, without what people read, how likely it is, and what only counts."""
    matches = tuple(
        match for match in rule.matches if match.module not in ("comment", "statistic", "nfacct") and match.options
    )
    return matches, rule.target, rule.goes, rule.arguments


def _title(rule: Rule) -> str:
    """The port of a Service that a rule says it is for."""
    return rule.comment.partition(" ")[0]
