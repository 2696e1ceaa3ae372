# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that somebody has edited, or that were damaged on the way: whatever they are, there is an answer."""

from __future__ import annotations

import copy
import json
import re
import typing as t
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Unreadable, read_text
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import (
    Answer,
    Question,
    Unanswerable,
    answer,
    look,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft
from hypothesis import example, settings, strategies
from hypothesis import given as over

RULES: t.Final = Path(__file__).parents[1] / "data/rules"
TEXT: t.Final = "".join((RULES / f"{table}.txt").read_text(encoding="utf-8") for table in ("nat", "filter"))
LINES: t.Final = TEXT.splitlines()
WORDS: t.Final = sorted({word for line in LINES for word in line.split()})
ROUTES: t.Final = [{"dst": "default", "dev": "eth0"}, {"dst": "10.42.0.0/24", "dev": "cni0"}]
# A connection to a pod that is none of the Service.
CONNECTIONS: t.Final = (
    "tcp 6 431999 ESTABLISHED src=192.168.1.77 dst=10.43.0.10 sport=4 dport=80 "
    "src=10.42.0.99 dst=192.168.1.10 sport=80 dport=4 [ASSURED] use=1"
)
WEB: t.Final = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"clusterIP": "10.43.0.41", "clusterIPs": ["10.43.0.41"], "ports": [{"name": "http", "port": 80}]},
}
QUESTIONS: t.Final = (
    Question(),
    Question(service="default/web"),
    Question(destination="10.43.0.41", port="80", source="10.42.0.2"),
    Question(service="default/web", services=[WEB], slices=[], place=Place("node1")),
)


def answers(text: str, questions: tuple[Question, ...] = QUESTIONS) -> list[Answer]:
    """The answers to all questions that have one."""
    found = []
    for question in questions:
        try:
            rulesets = read_text(text.splitlines(keepends=True))
            views = [look(ruleset, given(4, ["192.168.1.10"], ROUTES, "", CONNECTIONS), []) for ruleset in rulesets]
            found.append(answer(question, views))
        except (Unanswerable, Unreadable):
            continue
    return found


def make_sense(found: list[Answer]) -> None:
    for one in found:
        for path in one.paths:
            assert sum(path.verdict_shares.values()) <= 1.000001
            assert all(0 <= step.share <= 1.000001 for step in path.steps)
            assert path.reason


# A word of a line, and what becomes of it: another of the rules, or whatever.
edits = strategies.lists(
    strategies.tuples(
        strategies.integers(0, len(LINES) - 1),
        strategies.integers(0, 30),
        strategies.one_of(
            strategies.sampled_from([*WORDS, "!", "", '"', "-1", "0x", "::1/999"]), strategies.text(max_size=9)
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300)
@over(edits)
@example([(29, 13, "30080")])  # a probability
@example([(29, 13, "nan")])
def test_edited_rules(changes: list[tuple[int, int, str]]) -> None:
    lines = [line.split(" ") for line in LINES]
    for number, place, word in changes:
        line = lines[number]
        line[place % len(line)] = word
    make_sense(answers("\n".join(" ".join(line) for line in lines)))


@settings(max_examples=150)
@over(strategies.lists(strategies.integers(0, len(LINES) - 1), max_size=60))
def test_lines_in_any_order_and_number(numbers: list[int]) -> None:
    make_sense(answers("\n".join(["*nat", *(LINES[number] for number in numbers), "COMMIT"])))


def test_rules_that_end_anywhere() -> None:
    for end in range(0, len(TEXT), 7):
        make_sense(answers(TEXT[:end]))


@settings(max_examples=100)
@over(strategies.text(max_size=200))
def test_anything_at_all(text: str) -> None:
    make_sense(answers(text))


# Of nftables

Way = tuple[t.Union[str, int], ...]
# Those of a few Services of all kinds, so that each damage is met.
OF: t.Final = re.compile(r"default/(web|affinity|none|outside|ranges)/")
TREE: t.Final = [
    thing
    for thing in json.loads(CapturedNft().json)["nftables"]
    for body in thing.values()
    if body.get("family") == "ip"
    and (
        all(OF.search(name) for name in (body.get("name", ""), body.get("chain", "")) if "/" in name)
        and len(str(body)) < 20000
    )
]
OF_NFT: t.Final = (
    Question(),
    Question(service="default/web"),
    Question(service="default/affinity", source="10.42.0.2"),
    Question(destination="10.43.0.15", port="80", source="10.42.0.9"),
    Question(destination="192.168.1.10", port="30106"),
    Question(service="default/web", services=[WEB], slices=[], place=Place("node1")),
)


def ways(thing: object) -> t.Iterator[Way]:
    """The ways to all that is in a thing."""
    items: t.Iterable[tuple[t.Any, object]] = (
        thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list) else ()
    )
    for key, part in items:
        yield (key,)
        yield from ((key, *way) for way in ways(part))


WAYS: t.Final = list(ways(TREE))
damages: strategies.SearchStrategy[list[tuple[Way, t.Any]]] = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(WAYS),
        strategies.one_of(
            strategies.sampled_from(
                [None, True, -1, 0, 1e300, "", "ip", "@service-ips", "10.42.0.2", [], {}, [[]], {"": 1}]
            ),
            strategies.sampled_from(WAYS),
        ),
    ),
    min_size=1,
    max_size=4,
)


def part_of(tree: list[dict[str, t.Any]], way: Way) -> t.Any:  # noqa: ANN401 - it is JSON
    part: t.Any = tree
    for key in way:
        part = part[key]
    return part


@settings(max_examples=200)
@over(damages)
@example([(WAYS[0], "ip"), ((*WAYS[0], 0), None)])  # nothing of a text can be changed
def test_damaged_rules_of_nftables(changes: list[tuple[Way, t.Any]]) -> None:
    tree = copy.deepcopy(TREE)
    for way, new in changes:
        try:
            body = part_of(tree, way[:-1])
            body[way[-1]]  # an earlier change may have taken it, or have put a text there, which cannot be changed
            # A way stands for what is there in the rules as they were.
            body[way[-1]] = copy.deepcopy(part_of(TREE, new)) if isinstance(new, tuple) else new
        except (IndexError, KeyError, TypeError):
            continue
    make_sense(answers(json.dumps({"nftables": tree}), OF_NFT))
