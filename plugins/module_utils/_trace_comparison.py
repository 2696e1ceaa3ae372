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

from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explanation
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Packet

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Place, Traced
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View

_PROBABILITY: t.Final = re.compile(r"(?:! )?--probability [\d.]+")
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
    hits: Counter[tuple[str, Place]] = Counter()
    by_family = {view.around.family: view for view in views}
    for packet in traced:
        view = by_family[packet.family]
        hits.update((f"{place[0]} {_line(view, place)}", place) for place in packet.places)
        differences += _differences(packet, view, name_of)
    steps = [
        Step(number, place[0], place[1], text.partition(" ")[2], seen)
        for number, ((text, place), seen) in enumerate(hits.items(), 1)
    ]
    told = list(dict.fromkeys(differences))[:_MOST]
    return Trace(len(traced), bool(traced) and not told, steps, told)


def _line(view: View, place: Place) -> str:
    """A rule as it was read; empty if there was none at this place."""
    table, name, number = place
    chain = view.ruleset.dump.chain(table, name)
    return chain.lines[number - 1] if chain and number <= len(chain.lines) else ""


def _differences(packet: Traced, view: View, name_of: Callable[[int], str]) -> list[str]:
    who = f"From {packet.source} to {packet.destination} port {packet.destination_port}: "
    if packet.unknown:
        places = sorted({f"{table}/{chain}" for table, chain in packet.unknown})
        return [f"{who}rules of {', '.join(places)} were written anew meanwhile. Trace again."]
    arrives = name_of(packet.interface) if packet.interface else ""
    ends = (packet.source, packet.destination, packet.source_port, packet.destination_port)
    journey = follow(
        _with_lots(view.ruleset.dump, packet.places), Packet(packet.protocol, *ends, arrives), view.around.node
    )
    explained = [f"{step.table} {_without_lot(step.rule)}" for step in explanation.steps(journey)]
    kernel = [f"{place[0]} {_without_lot(_line(view, place))}" for place in packet.places]
    for number, (one, other) in enumerate(zip(kernel, explained), 1):
        if one != other:
            return [f"{who}at step {number} the kernel matches {one}, and {other} is explained."]
    if len(kernel) > len(explained):
        return [f"{who}the kernel goes on to {kernel[len(explained)]}."]
    if len(kernel) < len(explained):
        return [f"{who}the kernel does not come to {explained[len(kernel)]}."]
    return []


def _without_lot(line: str) -> str:
    return _REMEMBERED.sub("", _PROBABILITY.sub("", line))


def _drawn(line: str, is_hit: bool) -> str:
    """A rule that is sure to match, or not to. A client that is remembered goes where it went before."""
    sure = _PROBABILITY.sub(f"--probability {int(is_hit)}", line)
    return _REMEMBERED.sub("", sure) if is_hit else sure


def _with_lots(dump: Dump, places: Sequence[Place]) -> Dump:
    """The rules, if those that match by lot are sure to match, or not to, as they did for a packet."""
    hit = set(places)
    asked = {place[:2] for place in hit}
    tables = {
        table: {
            name: replace(
                chain,
                lines=[_drawn(line, (table, name, number) in hit) for number, line in enumerate(chain.lines, 1)],
            )
            if (table, name) in asked
            else chain
            for name, chain in chains.items()
        }
        for table, chains in dump.tables.items()
    }
    return Dump(tables)
