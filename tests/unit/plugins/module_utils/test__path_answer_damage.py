# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules that somebody has edited, or that were damaged on the way: whatever they are, there is an answer."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import read_iptables
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import (
    Answer,
    Question,
    Unanswerable,
    answer,
    look,
)
from hypothesis import example, settings, strategies
from hypothesis import given as over

RULES: t.Final = Path(__file__).parents[1] / "data/rules"
TEXT: t.Final = "".join((RULES / f"{table}.txt").read_text(encoding="utf-8") for table in ("nat", "filter"))
LINES: t.Final = TEXT.splitlines()
WORDS: t.Final = sorted({word for line in LINES for word in line.split()})
ROUTES: t.Final = [{"dst": "default", "dev": "eth0"}, {"dst": "10.42.0.0/24", "dev": "cni0"}]
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


def answers(text: str) -> list[Answer]:
    """The answers to all questions that have one."""
    found = []
    for question in QUESTIONS:
        try:
            ruleset = read_iptables(text.splitlines())
            found.append(answer(question, [look(ruleset, given(4, ["192.168.1.10"], ROUTES, "", ""), [])]))
        except Unanswerable:
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


@settings(max_examples=300, deadline=None)
@over(edits)
@example([(29, 13, "30080")])  # a probability
@example([(29, 13, "nan")])
def test_edited_rules(changes: list[tuple[int, int, str]]) -> None:
    lines = [line.split(" ") for line in LINES]
    for number, place, word in changes:
        line = lines[number]
        line[place % len(line)] = word
    make_sense(answers("\n".join(" ".join(line) for line in lines)))


@settings(max_examples=150, deadline=None)
@over(strategies.lists(strategies.integers(0, len(LINES) - 1), max_size=60))
def test_lines_in_any_order_and_number(numbers: list[int]) -> None:
    make_sense(answers("\n".join(["*nat", *(LINES[number] for number in numbers), "COMMIT"])))


def test_rules_that_end_anywhere() -> None:
    for end in range(0, len(TEXT), 7):
        make_sense(answers(TEXT[:end]))


@settings(max_examples=100, deadline=None)
@over(strategies.text(max_size=200))
def test_anything_at_all(text: str) -> None:
    make_sense(answers(text))
