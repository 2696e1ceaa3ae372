# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import datetime

from figures import KEYS, Series, as_json, as_text
from playbook_run import Run, Span


def run(seconds: float) -> Run:
    """A run of three spans, of which the last takes all that is more than 2 s."""
    begin = datetime.fromisoformat("2026-11-22T06:10:00+00:00")
    spans = [
        Span("start of Ansible", "", "", begin, 1),
        Span("Nodes", "", "", begin, 0.25),
        Span("Nodes", "node", "Load", begin, 0.75),
        Span("Nodes", "node", "Reboot", begin, seconds - 2, ["a"]),
    ]
    return Run(
        seconds / 10,
        seconds,
        2,
        {"a": {"ok": 2, "changed": 1, "skipped": 0}, "b": {"ok": 1, "changed": 0, "skipped": 1}},
        spans,
    )


SERIES = Series("unchanged run", [run(5), run(3), run(9)])


def test_shares_are_medians_and_the_largest_comes_first() -> None:
    assert SERIES.shares(KEYS["play"]) == {"Nodes": 4, "start of Ansible": 1}
    assert SERIES.shares(KEYS["role"]) == {"node": 3.75, "no role": 1.25}
    assert list(SERIES.shares(KEYS["task"]).items()) == [
        ("node: Reboot", 3),
        ("start of Ansible", 1),
        ("node: Load", 0.75),
        ("Nodes", 0.25),
    ]


def test_text() -> None:
    text = as_text([SERIES], top=1).split("\n", 1)[1]
    assert (
        text
        == """
               runs  median    min    max  load  tasks  ok  changed  skipped
unchanged run     3   5.0 s  3.0 s  9.0 s   0.9      2   3        1        1

== unchanged run ==

host  ok  changed  skipped
a      2        1        0
b      1        0        1

play   seconds
Nodes     4.00

role  seconds
node     3.75

task          seconds
node: Reboot     3.00

changed by
  node: Reboot
"""
    )


def test_json() -> None:
    (series,) = json.loads(as_json([SERIES]))["series"]
    assert series["seconds"] == {"median": 5, "min": 3, "max": 9}
    assert series["shares"]["role"] == {"node": 3.75, "no role": 1.25}
    assert [len(one["spans"]) for one in series["runs"]] == [4, 4, 4]
