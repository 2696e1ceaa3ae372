# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _nft_words as words
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Rule
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import shortened
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft

MARK: t.Final = {"meta": {"key": "mark"}}
TCP: t.Final = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
DADDR: t.Final = {"payload": {"protocol": "ip", "field": "daddr"}}


def rule(*expressions: object) -> Rule:
    return Rule("ip kube-proxy", "services", 1, 1, expressions)


def lots(many: int) -> dict[str, t.Any]:
    return {
        "map": {
            "key": {"numgen": {"mode": "random", "mod": many, "offset": 0}},
            "data": {"set": [[number, {"concat": [f"10.42.0.{number}", 80]}] for number in range(many)]},
        }
    }


@pytest.mark.parametrize(
    ("expressions", "element", "match", "action"),
    [
        ([{"jump": {"target": "a"}}], "", "all", "go to a"),
        ([TCP, {"goto": {"target": "a"}}], "", "meta l4proto tcp", "continue in a"),
        ([TCP, {"accept": None}], "", "meta l4proto tcp", "accept: done with this base chain"),
        ([{"return": None}], "", "all", "return"),
        ([{"drop": None}], "", "all", "drop"),
        (
            [{"reject": {"type": "icmpv6", "expr": "port-unreachable"}}],
            "",
            "all",
            "reject with icmpv6 port-unreachable",
        ),
        ([{"reject": {"type": "tcp reset"}}], "", "all", "reject with tcp reset"),
        ([{"dnat": {"addr": "10.42.0.2", "port": 8080}}], "", "all", "send to 10.42.0.2:8080"),
        ([{"dnat": {"addr": "fd42::2", "port": 8080}}], "", "all", "send to [fd42::2]:8080"),
        ([{"dnat": {"addr": "10.42.0.2"}}], "", "all", "send to 10.42.0.2"),
        (
            [TCP, {"dnat": {"family": "ip6", "addr": lots(2)}}],
            "1 : fd42::2 . 8080",
            "meta l4proto tcp numgen random mod 2",
            "send to [fd42::2]:8080",
        ),
        (
            [{"vmap": {"key": DADDR, "data": "@service-ips"}}],
            '10.43.0.10 comment "a : b" : goto a',
            "ip daddr in @service-ips",
            "continue in a",
        ),
        ([{"vmap": {"key": DADDR, "data": "@no-endpoints"}}], "10.43.0.10 : drop", "ip daddr in @no-endpoints", "drop"),
        (
            [
                {"mangle": {"key": MARK, "value": {"|": [MARK, 16384]}}},
                {"masquerade": {"flags": "fully-random"}},
            ],
            "",
            "all",
            "set the mark meta mark | 0x00004000; masquerade: the source is this node from here on",
        ),
        (
            [{"set": {"op": "update", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@clients"}}],
            "",
            "all",
            "remember ip saddr in @clients",
        ),
        ([{"counter": {"packets": 1, "bytes": 40}}], "", "all", "count only"),
        ([{"xt": {"type": "match", "name": "comment"}}, {"jump": {"target": "a"}}], "", "all", "go to a"),
        ([{"xt": None}], "", "all", "count only"),
        ([{"queue": {"num": 1}}], "", "all", '{"queue":{"num":1}}'),
        ([{"dnat": {"addr": {"range": ["10.0.0.1", "10.0.0.2"]}}}], "", "all", "dnat to 10.0.0.1-10.0.0.2"),
    ],
    ids=str,
)
def test_rules_in_words(expressions: list[object], element: str, match: str, action: str) -> None:
    assert (words.match_text(rule(*expressions)), words.action_text(rule(*expressions), element)) == (match, action)


def test_a_rule_is_told_as_nft_prints_it_but_for_very_many_endpoints() -> None:
    for table in CapturedNft().ruleset.values():
        for chain in table.chains.values():
            assert [shortened(one.text) for one in chain.rules] == [one.text for one in chain.rules]
    text = shortened(rule({"dnat": {"addr": lots(1200)}}).text)
    assert text.startswith("dnat to numgen random mod 1200 map { 0 : 10.42.0.0 . 80, 1 : 10.42.0.1 . 80, ")
    shown = text.count(" . 80")
    assert 20 < shown < 50
    assert text.endswith(f" . 80, ... {1200 - shown} more }}")
    # What has no map in it, as a rule of iptables, is as it is.
    assert shortened("-A X " * 200) == "-A X " * 200
