# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the kernel did to packets, beside what is explained. Python 3.9, standard library
# only.

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass, field, replace

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import TABLES as IPTABLES
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import shortened
from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import base_chains, table_name
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Packet

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
    from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Place, Traced
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Expression, Table
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Ruleset
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View

_PROBABILITY: t.Final = re.compile(r"(?:! )?--probability [\d.]+")
_LOT: t.Final = re.compile(r"\bnumgen \w+ mod (\d+)")
# What asks whether a client is remembered.
_REMEMBERED: t.Final = re.compile(r"-m recent --rcheck .*?--rsource ")
_MOST: t.Final = 20  # differences that are told


@dataclass(frozen=True)
class Step:
    """A rule that packets matched, and how many of them."""

    number: int
    table: str
    chain: str
    rule: str
    seen: int


@dataclass(frozen=True)
class Trace:
    """What the kernel has shown: how many packets, whether they went as explained, and where they did not."""

    seen: int = 0
    agrees: bool = False
    steps: list[Step] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def compare(traced: Sequence[Traced], views: Sequence[View], name_of: Callable[[int], str]) -> Trace:
    """Compare the way of each packet with what is explained for it. name_of tells the interface of an index."""
    differences: list[str] = []
    hits: Counter[tuple[int, Place]] = Counter()
    by_family = {view.around.family: view for view in views}
    for packet in traced:
        hits.update((packet.family, place) for place in packet.places)
        differences += _differences(packet, by_family[packet.family], name_of)
    steps = [
        Step(number, _shown(place[0], family), place[1], _text(by_family[family].ruleset, place), seen)
        for number, ((family, place), seen) in enumerate(hits.items(), 1)
    ]
    told = list(dict.fromkeys(differences))[:_MOST]
    return Trace(len(traced), bool(traced) and not told, steps, told)


def _shown(table: str, family: int) -> str:
    """A table as rules name it: those of iptables without a family."""
    own, _blank, name = table.partition(" ")
    return name if table == table_name(family, name) and name in IPTABLES else f"{own} {name}"


def _text(ruleset: Ruleset, place: Place) -> str:
    """A rule as it was read; empty if there was none at this place."""
    table, name, number = place
    family, _blank, own_name = table.partition(" ")
    if (family, own_name) in ruleset.native:
        chain = ruleset.native[family, own_name].chains.get(name)
        return shortened(chain.rules[number - 1].text) if chain and number <= len(chain.rules) else ""
    of_iptables = ruleset.dump.chain(own_name, name)
    return of_iptables.lines[number - 1] if of_iptables and number <= len(of_iptables.lines) else ""


def _differences(packet: Traced, view: View, name_of: Callable[[int], str]) -> list[str]:
    who = f"From {packet.source} to {packet.destination} port {packet.destination_port}: "
    if packet.unknown:
        places = sorted({f"{_shown(table, packet.family)}/{chain}" for table, chain in packet.unknown})
        return [f"{who}rules of {', '.join(places)} were written anew meanwhile. Trace again."]
    arrives = name_of(packet.interface) if packet.interface else ""
    ends = (packet.source, packet.destination, packet.source_port, packet.destination_port)
    ways = _ways(Packet(packet.protocol, *ends, arrives), packet.places, view)
    # Of ways that depend on a lot the one that is most like it.
    explained = max(ways, key=lambda way: _common(way, packet.places))
    common = _common(explained, packet.places)
    kernel, ours = (_named(way, common, view.ruleset) for way in (packet.places, explained))
    if kernel and ours:
        return [f"{who}at step {common + 1} the kernel matches {kernel}, and {ours} is explained."]
    if kernel:
        return [f"{who}the kernel goes on to {kernel}."]
    return [f"{who}the kernel does not come to {ours}."] if ours else []


def _common(way: Sequence[Place], other: Sequence[Place]) -> int:
    """How many steps two ways have in common from their beginning."""
    pairs = enumerate(zip(way, other))
    return next((index for index, (one, another) in pairs if one != another), min(len(way), len(other)))


def _named(way: Sequence[Place], index: int, ruleset: Ruleset) -> str:
    """A step of a way; empty if it has ended before."""
    if index >= len(way):
        return ""
    table, chain, _number = way[index]
    text = _text(ruleset, way[index])
    # A rule of iptables names its chain itself.
    return " ".join([_shown(table, ruleset.family), *([] if text.startswith("-A ") else [chain]), text])


def _ways(packet: Packet, places: Sequence[Place], view: View) -> list[list[Place]]:
    """The ways that a packet may go for which lots fell as the places say, as far as these do."""
    ruleset = replace(
        view.ruleset,
        dump=_with_lots(view.ruleset.dump, places, view.ruleset.family),
        native={key: _remembering(table, places) for key, table in view.ruleset.native.items()},
    )
    chains = base_chains(ruleset)
    lots = [int(many) for place in places for many in _LOT.findall(_text(view.ruleset, place))]
    node = view.around.node
    ways = []
    for drawn in range(max(lots, default=1)):
        journey = follow(chains, packet, replace(node, facts=replace(node.facts, drawn=drawn)))
        rules = [hit.rule for stage in journey.stages for hit in stage.outcome.hits]
        ways.append([(table_name(ruleset.family, rule.table), rule.chain, rule.number) for rule in rules])
    return ways


def _drawn(line: str, is_hit: bool) -> str:
    """A rule that is sure to match, or not to. A client that is remembered goes where it went before."""
    sure = _PROBABILITY.sub(f"--probability {int(is_hit)}", line)
    return _REMEMBERED.sub("", sure) if is_hit else sure


def _with_lots(dump: Dump, places: Sequence[Place], family: int) -> Dump:
    """The rules, if those that match by lot are sure to match, or not to, as they did for a packet."""
    hit = set(places)
    asked = {place[:2] for place in hit}
    tables: dict[str, dict[str, Chain]] = {}
    for table, chains in dump.tables.items():
        name = table_name(family, table)
        tables[table] = {
            chain.name: replace(
                chain,
                lines=[_drawn(line, (name, chain.name, number) in hit) for number, line in enumerate(chain.lines, 1)],
            )
            if (name, chain.name) in asked
            else chain
            for chain in chains.values()
        }
    return Dump(tables)


def _remembering(table: Table, places: Sequence[Place]) -> Table:
    """A table whose rules that ask whether a client is remembered are sure to match, if they did for a packet."""
    chains = dict(table.chains)
    for name, chain, number in places:
        if name == f"{table.family} {table.name}" and chain in chains and number <= len(chains[chain].rules):
            rules = list(chains[chain].rules)
            asked = [part for part in rules[number - 1].expressions if not _asks_who_came(part, table)]
            rules[number - 1] = replace(rules[number - 1], expressions=tuple(asked))
            chains[chain] = replace(chains[chain], rules=rules)
    return replace(table, chains=chains)


def _asks_who_came(expression: Expression, table: Table) -> bool:
    match = expression.get("match") if isinstance(expression, dict) else None
    name = str(match.get("right")) if isinstance(match, dict) else ""
    return name.startswith("@") and name[1:] in table.sets and table.sets[name[1:]].is_updated
