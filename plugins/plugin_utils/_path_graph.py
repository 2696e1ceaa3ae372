# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The picture of a packet's way: which boxes and lines it has, and where they lie.

from __future__ import annotations

import textwrap
import typing as t
from dataclasses import dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import share_text
from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Thing = Mapping[str, t.Any]

# So many endpoints are drawn side by side; of more, all but the first are one box.
_MOST_ENDPOINTS: t.Final = 6

# Pixels. A line has so many letters as fit into a box, in a font whose letters are all 0.6 as wide as it is high.
_BOX_WIDTH: t.Final = 250
_PITCH: t.Final = 264
_LETTERS: t.Final = 35
_STAGE_LETTER: t.Final = 8
_LINE: t.Final = 16
_TITLE: t.Final = 26
_MARGIN: t.Final = 12
_BETWEEN_ROWS: t.Final = 40
_THICKEST: t.Final = 12

# What becomes of packets that reach no endpoint, by the verdicts of the module.
ENDS: t.Final = {
    "reject": "rejected",
    "drop": "dropped",
    "none": "not translated",
    "unknown": "cannot be told",
}


@dataclass(frozen=True)
class Line:
    """A line of text in a box. aside is whether it may be passed over."""

    text: str
    y: int
    aside: bool


@dataclass(frozen=True)
class Box:
    """A chain, or an end of the way. kind is chain, endpoint, or a verdict. names are the lines of its title."""

    kind: str
    title: str
    x: int
    y: int
    width: int
    height: int
    names: tuple[Line, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Edge:
    """What goes from box to box.

    kind is call, or main on the way to an end, or a verdict that stops packets. path is that of SVG, width is by share.
    It has no text where the box at its end says it.
    """

    kind: str
    path: str
    width: float
    text: str
    x: int
    y: int


@dataclass(frozen=True)
class Band:
    """A built-in chain of a table, with all chains that are called from it."""

    title: str
    y: int
    height: int

    @property
    def bottom(self) -> int:
        return self.y + self.height


@dataclass(frozen=True)
class Picture:
    """All of it, to be drawn in this order."""

    width: int
    height: int
    bands: tuple[Band, ...]
    edges: tuple[Edge, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Folded:
    """What is only counted of a way to very many endpoints: these, and the chains that send to nothing else."""

    places: frozenset[str] = frozenset()
    chains: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        return f"{len(self.places):,} more endpoints"

    def hides(self, step: Thing) -> bool:
        """Whether a step is only there for them."""
        # Of nftables one chain sends to all of them, by the elements of a map.
        return step["chain"] in self.chains or _called(step) in self.chains or _sent_to(step) in self.places


def fold(path: Thing) -> Folded:
    """Which endpoints are too many to be shown."""
    sent = [(step["chain"], place) for step in path["steps"] if (place := _sent_to(step))]
    places = list(dict.fromkeys([*map(place_of, path["endpoints"]), *(place for _chain, place in sent)]))
    if len(places) <= _MOST_ENDPOINTS:
        return Folded()
    shown = frozenset(places[: _MOST_ENDPOINTS - 1])
    needed = {chain for chain, place in sent if place in shown}
    return Folded(frozenset(places) - shown, frozenset(chain for chain, _place in sent) - needed)


def place_of(endpoint: Thing) -> str:
    """An endpoint as rules name it."""
    return host_port(endpoint["address"], endpoint["port"])


def each_share(shares: Iterable[float]) -> str:
    """What those that are only counted get."""
    shares = list(shares)
    if max(shares) - min(shares) < 1e-6:
        return f"{share_text(shares[0])} each"
    return f"{share_text(sum(shares))} together"


def _called(step: Thing) -> str:
    """The chain where packets go to."""
    return _after(step["action"], "go to ", "continue in ")


def _sent_to(step: Thing) -> str:
    return _after(step["action"], "send to ")


def _stopped(step: Thing) -> str:
    """The verdict, if it is one that stops packets."""
    word = step["action"].partition(" ")[0]
    return word if word in ("drop", "reject") else ""


def _after(action: str, *beginnings: str) -> str:
    return next((action.removeprefix(words) for words in beginnings if action.startswith(words)), "")


@dataclass
class _Node:
    """A box before it has a place. column is its place from the left, row that from the top of its stage."""

    kind: str
    title: str
    row: int = 0
    column: int = 0
    texts: list[tuple[str, bool]] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)
    children: list[_Node] = field(default_factory=list)  # those that it is the first to call
    y: int = 0

    @property
    def names(self) -> list[str]:
        return textwrap.wrap(self.title, _LETTERS)

    @property
    def head(self) -> int:
        """The height of the title."""
        return _TITLE + _LINE * (len(self.names) - 1)

    @property
    def height(self) -> int:
        return self.head + _LINE * len(self.texts) + (_MARGIN // 2 if self.texts else 0)

    @property
    def middle(self) -> int:
        return _MARGIN + self.column * _PITCH + _PITCH // 2

    def say(self, text: str, aside: bool = False) -> None:
        lines = textwrap.wrap(text, _LETTERS, subsequent_indent="  ", break_on_hyphens=False)
        self.texts += [(line, aside) for line in lines]

    def leads_to_any(self, others: list[_Node]) -> bool:
        return any(self is other for other in others) or any(child.leads_to_any(others) for child in self.children)

    def box(self) -> Box:
        names = tuple(Line(text, self.y + _LINE * n + 18, False) for n, text in enumerate(self.names))
        top = self.y + self.head + 10
        lines = tuple(Line(text, top + _LINE * n, aside) for n, (text, aside) in enumerate(self.texts))
        place = (self.middle - _BOX_WIDTH // 2, self.y, _BOX_WIDTH, self.height)
        return Box(self.kind, self.title, *place, names, lines)


@dataclass
class _Stage:
    """What packets meet between coming to a built-in chain and leaving it."""

    title: str
    nodes: dict[str, _Node] = field(default_factory=dict)

    @property
    def roots(self) -> list[_Node]:
        return [node for node in self.nodes.values() if node.row == 0]


@dataclass
class _End:
    """An end, and the box that packets come from there, the one that sends or stops them."""

    node: _Node
    share: float
    origin: _Node | None


def draw(path: Thing) -> Picture:
    """The picture of a way, as the module kube_path_info returns it."""
    folded = fold(path)
    stages, origins = _stages(path["steps"], folded)
    ends = _ends(path, folded, origins)
    for stage in stages:
        free: dict[int, int] = {}
        for root in stage.roots:
            _place(root, 0, free, list(origins.values()))
    _line_up(ends)
    bands, bottom = _stack(stages)
    for end in ends:
        end.node.y = bottom
    nodes = [node for stage in stages for node in stage.nodes.values()] + [end.node for end in ends]
    return Picture(
        width=max(*(node.middle + _PITCH // 2 for node in nodes), *map(_title_width, bands), 0) + _MARGIN,
        height=bottom + max(end.node.height for end in ends) + _MARGIN,
        bands=tuple(bands),
        edges=(*_ways_out(bands, ends), *_calls(stages, ends)),
        boxes=tuple(node.box() for node in nodes),
    )


def _stages(steps: Sequence[Thing], folded: Folded) -> tuple[list[_Stage], dict[str, _Node]]:
    """The chains of all stages, and which of them sends to a destination or stops packets."""
    stages = []
    origins: dict[str, _Node] = {}
    for part in _parts(steps):
        stages.append(_Stage(f"{part[0]['table']} {part[0]['chain']}"))
        nodes, chains = stages[-1].nodes, {step["chain"] for step in part}
        for step in part:
            hidden, called = step["chain"] in folded.chains, _called(step)
            name = folded.title if hidden else step["chain"]
            node = nodes.setdefault(name, _Node("chain", name))
            if end := _sent_to(step) or _stopped(step):
                origins.setdefault(folded.title if end in folded.places else end, node)
            if not folded.hides(step):
                _tell(node, step)
            if called in chains and not hidden:
                _call(nodes, node, folded.title if called in folded.chains else called, step["share"])
    return stages, origins


def _parts(steps: Sequence[Thing]) -> list[list[Thing]]:
    """The steps, parted where packets come to a chain that no other has called."""
    parts: list[list[Thing]] = []
    reached: set[tuple[str, str]] = set()
    for step in steps:
        table, chain = step["table"], step["chain"]
        if (table, chain) not in reached:
            parts.append([])
            reached = {(table, chain)}
        reached.add((table, _called(step)))
        parts[-1].append(step)
    return parts


def _tell(node: _Node, step: Thing) -> None:
    node.say(f"{step['number']} {step['action']}")
    if step["match"] != "all":
        node.say(f"if {step['match']}", aside=True)


def _call(nodes: dict[str, _Node], caller: _Node, name: str, share: float) -> None:
    if name not in nodes:
        nodes[name] = _Node("chain", name, row=caller.row + 1)
        caller.children.append(nodes[name])
    caller.calls[name] = min(1.0, caller.calls.get(name, 0.0) + share)


def _place(node: _Node, column: int, free: dict[int, int], origins: list[_Node]) -> None:
    """Put a node below its caller or as near to it as others leave room, first what is on the way to an end.

    So the main way is on the left, where a small screen shows it.
    """
    node.column = max(column, free.get(node.row, 0))
    free[node.row] = node.column + 1
    for child in sorted(node.children, key=lambda child: not child.leads_to_any(origins)):
        _place(child, node.column, free, origins)


def _ends(path: Thing, folded: Folded, origins: Mapping[str, _Node]) -> list[_End]:
    """Where packets end: the endpoints, those that are only counted as one, and what else becomes of packets."""
    ends, counted = [], []
    for endpoint in path["endpoints"]:
        place = place_of(endpoint)
        if place in folded.places:
            counted.append(endpoint["share"])
            continue
        end = _End(_Node("endpoint", place), endpoint["share"], origins.get(place))
        end.node.say(_part(end.share))
        end.node.say(f"sees {endpoint['source_seen'] or 'an unknown source'}", aside=True)
        ends.append(end)
    if counted:
        end = _End(_Node("endpoint", folded.title), sum(counted), origins.get(folded.title))
        end.node.say(each_share(counted))
        ends.append(end)
    for verdict, title in ENDS.items():
        if share := path["verdict_shares"].get(verdict):
            end = _End(_Node(verdict, title), share, origins.get(verdict))
            end.node.say(_part(share))
            ends.append(end)
    return ends


def _part(share: float) -> str:
    return "all packets" if share_text(share) == "all" else f"{share_text(share)} of the packets"


def _line_up(ends: list[_End]) -> None:
    """Put each end below where packets come from, or as near to it as others leave room."""
    free = 0
    ends.sort(key=lambda end: end.origin.column if end.origin else 0)
    for end in ends:
        end.node.column = max(free, end.origin.column if end.origin else 0)
        free = end.node.column + 1


def _stack(stages: list[_Stage]) -> tuple[list[Band], int]:
    """Give all nodes of stages their height on the page, and say where the next row begins."""
    bands, y = [], _MARGIN
    for stage in stages:
        top, y = y, y + _TITLE + _MARGIN
        for row in range(1 + max(node.row for node in stage.nodes.values())):
            nodes = [node for node in stage.nodes.values() if node.row == row]
            for node in nodes:
                node.y = y
            y += max(node.height for node in nodes) + _BETWEEN_ROWS
        y += _MARGIN - _BETWEEN_ROWS
        bands.append(Band(stage.title, top, y - top))
        y += _BETWEEN_ROWS // 2
    return bands, y + _BETWEEN_ROWS // 2


def _title_width(band: Band) -> int:
    return _MARGIN + _STAGE_LETTER * len(band.title)


def _calls(stages: list[_Stage], ends: list[_End]) -> list[Edge]:
    origins = [end.origin for end in ends if end.origin]
    return [
        _call_edge(caller, called, share, called.leads_to_any(origins))
        for stage in stages
        for caller in stage.nodes.values()
        for name, share in caller.calls.items()
        for called in [stage.nodes[name]]
    ]


def _call_edge(caller: _Node, called: _Node, share: float, is_main: bool) -> Edge:
    # One may have been called by others before, and be higher up.
    upper, lower = sorted((caller, called), key=lambda node: node.y)
    top = upper.y + upper.height
    # Three quarters down the curve, where others from the same box have parted from it.
    x, y = (upper.middle * 5 + lower.middle * 27) // 32, top + _BETWEEN_ROWS * 7 // 10
    path = _bend(upper.middle, top, lower.middle, lower.y)
    return Edge("main" if is_main else "call", path, _width(share if is_main else 0), share_text(share), x, y)


def _ways_out(bands: list[Band], ends: list[_End]) -> list[Edge]:
    """What leads to the ends, from where packets leave the first band that they come through."""
    if not bands:
        return []
    parting = min(_band_of(end, bands) for end in ends)
    # Until then all go together, on the left as all that is called first.
    together = _gaps(_MARGIN + _PITCH // 2, bands[:parting], bands[parting].y)
    common = [Edge("main", together, _width(1), "", 0, 0)] if parting else []
    return [*common, *(Edge(*_way_out(bands, parting, end), _width(end.share), "", 0, 0) for end in ends)]


def _band_of(end: _End, bands: list[Band]) -> int:
    """The number of the band where packets are sent or stopped."""
    bottom = end.origin.y + end.origin.height if end.origin else 0
    return next(number for number, band in enumerate(bands) if band.bottom >= bottom)


def _way_out(bands: list[Band], parting: int, end: _End) -> tuple[str, str]:
    """From band to band to the end, and within that where packets are sent or stopped from there.

    It is hidden by the bands that packets come through, and passes those that they no longer come to.
    """
    x, own = end.node.middle, _band_of(end, bands)
    is_stopped = end.node.kind in ("drop", "reject")
    passed = bands[parting : own + 1] if is_stopped else bands[parting:]
    path = _gaps(x, passed, end.node.y)
    if end.origin:
        path = _bend(end.origin.middle, end.origin.y + end.origin.height, x, bands[own].bottom) + path
    return end.node.kind if is_stopped else "main", path


def _gaps(x: int, bands: list[Band], bottom: int) -> str:
    """The line from each of them to the next, and from the last to there."""
    tops = [*(band.y for band in bands[1:]), bottom]
    return "".join(f"M{x} {band.bottom}V{top}" for band, top in zip(bands, tops))


def _bend(x: int, top: int, to_x: int, bottom: int) -> str:
    """A line that bends just below where it begins, so that it does not hide behind other boxes."""
    end = min(bottom, top + _BETWEEN_ROWS)
    middle = (top + end) // 2
    return f"M{x} {top}C{x} {middle} {to_x} {middle} {to_x} {end}V{bottom}"


def _width(share: float) -> float:
    return round(max(1.5, _THICKEST * share), 1)
