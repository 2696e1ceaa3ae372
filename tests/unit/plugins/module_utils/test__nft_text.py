# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import element_text, rule_text
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft, all_captured_nft


def printed(text: str) -> list[str]:
    """The rules that nft has printed, each after the names of its table and chain."""
    lines, table, chain = [], "", ""
    for line in text.splitlines():
        if line.startswith("table "):
            table = line[len("table ") : -2]
        elif line.startswith("\tchain "):
            chain = line[len("\tchain ") : -2]
        elif line == "\t}":
            chain = ""
        elif chain and not line.startswith(("\t\ttype ", "\t\tcomment ")):
            lines.append(f"{table} {chain}: {line.strip()}")
    return lines


@pytest.mark.parametrize("captured", all_captured_nft(), ids=str)
def test_rules_are_printed_as_nft_does(captured: CapturedNft) -> None:
    chains = [chain for table in captured.ruleset.values() for chain in table.chains.values()]
    rules = [rule for chain in chains for rule in chain.rules]
    assert [f"{rule.table} {rule.chain}: {rule.text}" for rule in rules] == printed(captured.text)


@pytest.mark.parametrize("captured", all_captured_nft(), ids=str)
def test_elements_are_printed_as_nft_does(captured: CapturedNft) -> None:
    # nft breaks the lines of elements.
    whole = re.sub(r"\s+", " ", captured.text)
    sets = [elements for table in captured.ruleset.values() for elements in table.sets.values()]
    texts = [element.text for elements in sets for element in elements.all]
    assert texts
    assert [text for text in texts if not re.search(f"[{{,] {re.escape(text)}(,| }})", whole)] == []


def match(left: object, right: object, operator: str = "==") -> object:
    return {"match": {"op": operator, "left": left, "right": right}}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (match({"meta": {"key": "iifname"}}, "cni*", "!="), 'iifname != "cni*"'),
        (match({"meta": {"key": "iifname"}}, "@inside"), "iifname @inside"),
        (match({"meta": {"key": "mark"}}, {"set": [1, 2]}), "meta mark { 0x00000001, 0x00000002 }"),
        (match({"ct": {"key": "state"}}, ["established", "related"], "in"), "ct state established,related"),
        (match({"ct": {"key": "daddr", "dir": "original"}}, "10.1.0.1"), "ct original daddr 10.1.0.1"),
        (match({"payload": {"protocol": "tcp", "field": "dport"}}, {"range": [80, 90]}), "tcp dport 80-90"),
        ({"snat": {"addr": "10.1.0.1", "flags": ["random", "persistent"]}}, "snat to 10.1.0.1 random,persistent"),
        ({"dnat": {"addr": "fd42::2", "port": 80}}, "dnat to [fd42::2]:80"),
        ({"redirect": {"port": 8080}}, "redirect to :8080"),
        ({"masquerade": None}, "masquerade"),
        ({"reject": {"type": "tcp reset"}}, "reject with tcp reset"),
        ({"reject": {"type": "icmp", "expr": "host-prohibited"}}, "reject with icmp host-prohibited"),
        ({"counter": {"packets": 1, "bytes": 60}}, "counter packets 1 bytes 60"),
        ({"log": {"prefix": "x: "}}, 'log prefix "x: "'),
        ({"tproxy": {"port": 80}}, '{"tproxy":{"port":80}}'),
        ({"xt": {"type": "match", "name": "statistic"}}, '{"xt":{"type":"match","name":"statistic"}}'),
        ({"log": {"group": 1}}, '{"log":{"group":1}}'),
        ({"match": {"left": 1}}, '{"match":{"left":1}}'),
        (match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False), "fib saddr . iif oif missing"),
        ("accept", '"accept"'),
    ],
)  # fmt: skip
def test_forms_that_kube_proxy_has_not(expression: object, text: str) -> None:
    assert rule_text([expression], "") == text


def test_a_comment_is_at_the_end() -> None:
    assert rule_text([{"accept": None}], "who knows") == 'accept comment "who knows"'
    assert element_text("tcp", {"drop": None}, "who knows") == 'tcp comment "who knows" : drop'
