# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _iptables_words as words
from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explain
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import read_rule
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import read_routes
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey, Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured

ROUTES: t.Final = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0"},
    {"dst": "10.42.1.0/24", "dev": "flannel.1"},
]
NODE: t.Final = Node(Facts(frozenset({"192.168.1.10"})), tuple(read_routes(ROUTES, 4)))
ADDRESSES: t.Final = {"cni0": "10.42.0.1", "flannel.1": "10.42.0.0"}
CLIENT: t.Final = Packet("tcp", "192.168.1.77", "192.168.1.10", 40000, 30106, "eth0", None)
POD: t.Final = Packet("tcp", "10.42.0.9", "10.43.0.10", 40000, 80, "cni0", None)


def journey(packet: Packet, rules: str | None = None) -> Journey[t.Any]:
    text = Captured().text if rules is None else rules
    return follow(base_chains(read_dump(text.splitlines())), packet, NODE)


def test_the_way_to_a_node_port() -> None:
    way = journey(CLIENT)
    shares = explain.verdict_shares(way)
    assert shares == {"dnat": pytest.approx(1)}
    assert (explain.verdict(shares), explain.masquerade(way)) == ("dnat", "always")
    assert explain.reason(CLIENT, way, shares) == (
        "What is sent to 192.168.1.10 port 30106 goes to one of 3 endpoints, which see the node instead of its sender."
    )
    found = explain.endpoints(way, ADDRESSES)
    assert [(e.address, e.port, e.masquerade, e.source_seen) for e in found] == [
        ("10.42.0.10", 8080, True, "10.42.0.1"),
        ("10.42.0.2", 8080, True, "10.42.0.1"),
        ("10.42.1.3", 8080, True, "10.42.0.0"),
    ]
    rows = [line.split() for line in explain.table_lines(explain.steps(way))]
    assert rows[0] == ["STEP", "TABLE", "CHAIN", "MATCHED", "ACTION", "SHARE"]
    assert " ".join(rows[3]) == "3 nat KUBE-NODEPORTS -p tcp --dport 30106 go to KUBE-EXT-M6NNOS2BO3X43QPN all"
    assert " ".join(rows[8]) == "8 nat KUBE-SEP-3J3XECA66U7WN4OQ -p tcp send to 10.42.0.10:8080 1/3"


def test_a_pod_is_seen_as_itself() -> None:
    way = journey(POD)
    assert explain.masquerade(way) == "never"
    assert {endpoint.source_seen for endpoint in explain.endpoints(way, ADDRESSES)} == {"10.42.0.9"}


def test_a_pod_that_reaches_itself_is_masqueraded() -> None:
    itself = Packet("tcp", "10.42.0.2", "10.43.0.10", 40000, 80, "cni0", None)
    way = journey(itself)
    assert explain.masquerade(way) == "depends"
    assert {e.address: e.masquerade for e in explain.endpoints(way, ADDRESSES)} == {
        "10.42.0.10": False,
        "10.42.0.2": True,
        "10.42.1.3": False,
    }


@pytest.mark.parametrize(
    ("family", "rest", "seen"),
    [
        (4, ("192.168.1.10", "10.43.0.26"), "10.42.0.1"),
        (6, ("fd00::10", "fd43::26"), "fd00::10"),
    ],
)
def test_the_node_is_seen_by_itself_as_another_of_its_addresses(family: int, rest: tuple[str, str], seen: str) -> None:
    node = Node(Facts(frozenset({rest[0]})))
    own = {"lo": "127.0.0.1", **ADDRESSES, "eth0": rest[0]}
    packet = Packet("tcp", *rest, 40000, 443, "", None)
    way = follow(base_chains(read_dump(Captured(family=family).text.splitlines())), packet, node)
    assert [(end.address, end.masquerade, end.source_seen) for end in explain.endpoints(way, own)] == [
        (rest[0], True, seen)
    ]


@pytest.mark.parametrize(
    ("rules", "shares", "verdict", "reason"),
    [
        ("", {"none": 1.0}, "none", "not translated by any rule"),
        (":FORWARD DROP [0:0]", {"drop": 1.0}, "drop", "dropped by the policy"),
        (':FORWARD ACCEPT\n-A FORWARD -m comment --comment "no" -j DROP', {"drop": 1.0}, "drop", "filter/FORWARD: no."),
        (":FORWARD ACCEPT\n-A FORWARD -j REJECT", {"reject": 1.0}, "reject", "rejected by filter/FORWARD, rule 1."),
        (":FORWARD ACCEPT\n-A FORWARD -m future -j DROP", {"unknown": 1.0}, "unknown", "depends on"),
        (":FORWARD ACCEPT\n-A FORWARD -j NEWEST --deep 1", {"unknown": 1.0}, "unknown", "depends on"),
        (
            ":FORWARD ACCEPT\n-A FORWARD -m statistic --mode random --probability 0.25 -j DROP",
            {"drop": 0.25, "none": 0.75},
            "none",
            "not translated",
        ),
    ],
)
def test_each_end_has_its_verdict(rules: str, shares: dict[str, float], verdict: str, reason: str) -> None:
    packet = Packet("tcp", "192.168.1.77", "10.43.0.10", 40000, 80, "eth0", None)
    way = journey(packet, f"*filter\n{rules}\nCOMMIT")
    found = explain.verdict_shares(way)
    assert found == {end: pytest.approx(share) for end, share in shares.items()}
    assert explain.verdict(found) == verdict
    assert reason in explain.reason(packet, way, found)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "all"), (0.33333333349, "1/3"), (0.0009999, "1/1000"), (0.4, "2/5"), (0.415, "41.5%"), (0.0, "0.0%")],
)
def test_shares_as_people_say_them(share: float, text: str) -> None:
    assert explain.share_text(share) == text


@pytest.mark.parametrize(
    ("rule", "match", "action"),
    [
        ("-j RETURN", "all", "return"),
        ("-m socket -j ACCEPT", "socket", "accept: done with the table nat"),
        ('-p tcp -m comment --comment "x" -m tcp ! --dport 80', "-p tcp ! --dport 80", "count only"),
        ("-g OTHER", "all", "continue in OTHER"),
        ("-j LOG --log-prefix x", "all", "LOG --log-prefix x"),
        ("-j REJECT --reject-with icmp-port-unreachable", "all", "reject with icmp-port-unreachable"),
    ],
)
def test_rules_in_words(rule: str, match: str, action: str) -> None:
    read = read_rule("nat", 1, f"-A X {rule}")
    assert (words.match_text(read), words.action_text(read)) == (match, action)
