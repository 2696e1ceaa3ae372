# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import read_ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import base_chains, table_name
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import NFT, Ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet

DUMP: t.Final = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DNAT --to-destination 10.42.0.1\nCOMMIT\n"
    "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n"
)
NODE: t.Final = Node(Facts(frozenset({"192.168.1.10"})))


def native(**priorities: int) -> str:
    """A table with a chain at each hook, which translates before the way is chosen."""
    kinds = {"prerouting": "nat", "forward": "filter"}
    at = {"family": "ip", "table": "kube-proxy"}
    things: list[dict[str, t.Any]] = [{"table": {"family": "ip", "name": "kube-proxy"}}]
    for hook, priority in priorities.items():
        base = {"type": kinds[hook], "hook": hook, "prio": priority, "policy": "accept"}
        things.append({"chain": {**at, "name": f"at-{hook}", **base}})
        act = {"dnat": {"addr": "10.42.0.2"}} if kinds[hook] == "nat" else {"accept": None}
        things.append({"rule": {**at, "chain": f"at-{hook}", "handle": 1, "expr": [act]}})
    return json.dumps({"nftables": things})


def way(text: str, *made: str) -> list[str]:
    """The chains whose rules a packet meets."""
    ruleset = Ruleset(4, NFT, read_dump(DUMP.splitlines()), native=read_ruleset(text), made=list(made))
    packet = Packet("tcp", "192.168.1.77", "10.43.0.10", 40000, 80, "eth0")
    journey = follow(base_chains(ruleset), packet, NODE)
    return [f"{hit.rule.table} {hit.rule.chain}" for stage in journey.stages for hit in stage.outcome.hits]


@pytest.mark.parametrize(("priority", "is_first"), [(-10, True), (10, False)])
def test_priorities_count_whatever_made_a_chain(priority: int, is_first: bool) -> None:
    found = way(native(forward=priority), "ip kube-proxy", "ip filter", "ip nat")
    ours, others = "ip kube-proxy at-forward", "filter FORWARD"
    assert found == ["nat PREROUTING", *([ours, others] if is_first else [others, ours])]


def test_of_the_same_priority_what_was_made_last_comes_first() -> None:
    # Only the first that translates is asked, the others of nat are not.
    text = native(prerouting=-100)
    assert way(text, "ip nat", "ip kube-proxy", "ip filter")[0] == "ip kube-proxy at-prerouting"
    assert way(text, "ip kube-proxy", "ip nat", "ip filter")[0] == "nat PREROUTING"
    assert len(way(text, "ip kube-proxy", "ip nat", "ip filter")) == 2


def test_tables_of_iptables_have_no_family_of_their_own() -> None:
    assert (table_name(4, "nat"), table_name(6, "nat")) == ("ip nat", "ip6 nat")
    assert table_name(4, "inet firewall") == "inet firewall"
