# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import (
    SEVERITIES,
    finding,
    of_drift,
    sort_findings,
)

RULE = "-A PREROUTING -j KUBE-SERVICES"


@pytest.mark.parametrize(
    ("code", "detail", "evidence"),
    [
        ("missing_jump", "KUBE-SERVICES", f"not there: {RULE}"),
        ("dangling_jump", "KUBE-SERVICES", RULE),
        ("missing_rule", "", f"not there: {RULE}"),
        ("missing_rule", "it must be the last", f"it must be the last: {RULE}"),
        ("extra_rule", "", RULE),
        ("stale_endpoint", "its chain is another's", f"its chain is another's: {RULE}"),
        ("skewed_share", "one gets all", RULE),
        ("duplicate_rule", "", RULE),
    ],
)
def test_each_difference_has_words(code: str, detail: str, evidence: str) -> None:
    found = of_drift(Drift(code, "nat", "PREROUTING", RULE, detail))
    assert (found.code, found.evidence) == (code, evidence)
    assert (found.table, found.chain, found.rule) == ("nat", "PREROUTING", RULE)
    assert "PREROUTING" in found.message
    assert detail in found.message + found.evidence
    assert found.severity in SEVERITIES
    assert found.advice


def test_a_chain_that_is_not_there_is_told() -> None:
    assert of_drift(Drift("missing_rule", "nat", "KUBE-SVC-A", "", "no chain")).evidence == "no chain"


def test_a_table_has_no_chain_to_name() -> None:
    found = of_drift(Drift("missing_rule", "ip kube-proxy", "", "", "dormant"))
    assert found.message.startswith("ip kube-proxy lacks ")


@pytest.mark.parametrize(
    ("table", "chain", "pods", "command"),
    [
        ("filter", "FORWARD", "10.42.0.0/16", '"iptables -A FORWARD -s 10.42.0.0/16 -j ACCEPT"'),
        ("filter", "FORWARD", "fd42::/56", '"ip6tables -A FORWARD -s fd42::/56 -j ACCEPT"'),
        ("inet own", "forward", "10.42.0.0/16", '"nft add rule inet own forward ip saddr 10.42.0.0/16 accept"'),
        ("inet own", "forward", "fd42::/56", '"nft add rule inet own forward ip6 saddr fd42::/56 accept"'),
    ],
)
def test_what_lets_pods_pass_is_a_command(table: str, chain: str, pods: str, command: str) -> None:
    assert command in finding("policy_drop", "x", table, chain, pods=pods).advice


def test_a_mode_that_kube_proxy_has_left_is_another_backend() -> None:
    found = finding("both_modes", "x", other="iptables-nft")
    assert found.code == "both_backends"
    assert "what iptables-nft has is left over" in found.message
    assert "systemctl restart k3s" in found.advice


def test_what_there_is_very_often_is_counted() -> None:
    many = [of_drift(Drift("missing_rule", "nat", f"KUBE-SVC-{number}", "", "gone")) for number in range(60)]
    found = sort_findings([*many, *many, finding("no_kube_proxy", "x")])
    assert [one.code for one in found].count("missing_rule") == 51
    (others,) = (one for one in found if one.message == "There are 10 more of missing_rule.")
    assert (others.severity, others.advice) == (many[0].severity, many[0].advice)
    assert "nat/KUBE-SVC-50" in others.evidence
    assert found[-1].code == "no_kube_proxy"


def test_the_worst_comes_first_and_each_once() -> None:
    least = finding("unknown_match", "x", "filter", "FORWARD", "x", detail="-m future")
    worst = finding("no_kube_proxy", "x")
    assert sort_findings([least, worst, least]) == [worst, least]
