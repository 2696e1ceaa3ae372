# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules as iptables 1.8.9 prints them."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import (
    Malformed,
    Match,
    Option,
    Rule,
    read_rule,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import everything
from hypothesis import given
from hypothesis import strategies as st

LINES = sorted({line for dump in everything() for line in dump.text.splitlines() if line.startswith("-A ")})


def read(line: str) -> Rule:
    return read_rule("nat", 1, line)


def printed(rule: Rule) -> str:
    """The rule again, but for its blanks. iptables puts a comment in quotes unless it is a plain word."""
    target = ["-g" if rule.goes else "-j", rule.target] if rule.target else []
    return " ".join(["-A", rule.chain, *map(_printed_match, rule.matches), *target, *map(str, rule.arguments)])


def _printed_match(match: Match) -> str:
    text = "".join(option.value for option in match.options)
    if match.module != "comment" or re.fullmatch(r"[A-Za-z0-9_-]+", text):
        return str(match)
    return f"-m comment --comment {quoted(text)}"


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_rules_are_read_without_a_loss() -> None:
    assert len(LINES) > 1000
    for line in LINES:
        assert printed(read(line)) == line.replace("  ", " ")


def test_a_rule_is_taken_apart() -> None:
    rule = read(
        '-A KUBE-SVC-X ! -s 10.42.0.0/16 -d 10.43.0.41/32 -p tcp -m comment --comment "default/web:http cluster IP" '
        "-m tcp --dport 80 -j KUBE-MARK-MASQ"
    )
    assert (rule.chain, rule.target, rule.goes) == ("KUBE-SVC-X", "KUBE-MARK-MASQ", False)
    assert rule.comment == "default/web:http cluster IP"
    assert rule.matches == (
        Match(
            "",
            (Option("-s", ("10.42.0.0/16",), negated=True), Option("-d", ("10.43.0.41/32",)), Option("-p", ("tcp",))),
        ),
        Match("comment", (Option("--comment", ("default/web:http cluster IP",)),)),
        Match("tcp", (Option("--dport", ("80",)),)),
    )


def test_a_match_may_have_no_options() -> None:
    rule = read("-A X -m socket -m tcp -j ACCEPT")
    assert rule.matches == (Match("socket"), Match("tcp"))


def test_what_the_target_is_told_belongs_to_it() -> None:
    rule = read("-A KUBE-POSTROUTING -m mark --mark 0x1 -j MARK --set-xmark 0x4000/0x0")
    assert rule.argument("--set-xmark") == "0x4000/0x0"
    assert rule.argument("--or-mark") is None
    assert rule.matches == (Match("mark", (Option("--mark", ("0x1",)),)),)


@pytest.mark.parametrize(
    ("line", "comment"),
    [
        ("-A X -m comment --comment foo", "foo"),
        ('-A X -m comment --comment ""', ""),
        ('-A X -m comment --comment "a -j DROP ! -s 1"', "a -j DROP ! -s 1"),
        ('-A X -m comment --comment "dnat name: \\"cbr0\\" id: \\"a\\\\b\\""', 'dnat name: "cbr0" id: "a\\b"'),
        ('-A X -m comment --comment a -m comment --comment "b c"', "a b c"),
    ],
)
def test_a_comment_is_what_its_author_wrote(line: str, comment: str) -> None:
    rule = read(line)
    assert rule.comment == comment
    assert rule.target == ""


def test_a_goto_is_told_from_a_jump() -> None:
    assert read("-A X -g Y").goes
    assert not read("-A X -j Y").goes


def test_an_exclamation_mark_belongs_to_the_next_option() -> None:
    rule = read("-A X -s 10.0.0.1/32 ! -d 10.0.0.2/32 -p tcp -m tcp ! --dport 80 -j ACCEPT")
    assert [(option.name, option.negated) for match in rule.matches for option in match.options] == [
        ("-s", False),
        ("-d", True),
        ("-p", False),
        ("--dport", True),
    ]


def test_options_that_nobody_knows_are_read() -> None:
    rule = read("-A X -m future --flag --pair a b -1 --then x -j NEW --deep 2 3")
    known = (Option("--flag"), Option("--pair", ("a", "b", "-1")), Option("--then", ("x",)))
    assert rule.matches == (Match("future", known),)
    assert rule.arguments == (Option("--deep", ("2", "3")),)


@pytest.mark.parametrize("line", ["", "-A", "-A X y", "-I X -j Y", ":X - [0:0]", '"-A" X', "*nat"])
def test_what_is_no_rule_is_refused(line: str) -> None:
    with pytest.raises(Malformed):
        read(line)


words = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"!-'), min_size=1, max_size=8)
comments = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(st.lists(st.tuples(words, st.booleans(), st.lists(words, max_size=2)), max_size=5), comments, words)
def test_whatever_is_printed_is_read(options: list[tuple[str, bool, list[str]]], comment: str, target: str) -> None:
    parts = [f"{'! ' if negated else ''}--{name} {' '.join(values)}".rstrip() for name, negated, values in options]
    line = " ".join(["-A X -m any", *parts, "-m comment --comment", quoted(comment), "-j", target])
    rule = read(line)
    assert read(printed(rule)).matches == rule.matches
    assert rule.comment == comment
    assert rule.target == target
    assert [(o.name, o.negated, list(o.values)) for o in rule.matches[0].options] == [
        (f"--{name}", negated, values) for name, negated, values in options
    ]


@given(st.text(max_size=200))
def test_nothing_else_is_raised(line: str) -> None:
    for text in (line, "-A X " + line):
        with suppress(Malformed):
            read(text)
