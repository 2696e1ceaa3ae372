# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_checks import of_masquerading, services_without
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import read_ruleset
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import (
    CapturedNft,
    all_captured_nft,
)

OF_KUBE_PROXY = [captured for captured in all_captured_nft() if captured.configuration != "others"]
NOBODY = {
    "default/all-gone:http",
    "default/balancer-none:http",
    "default/external-none:http",
    "default/node-port-none:http",
    "default/none:http",
    "default/not-ready:http",
}
NOBODY_HERE = {
    "default/balancer-local-none:http",
    "default/inside-none:http",
    "default/outside-none:http",
    "default/ranges-local:http",
}


@pytest.mark.parametrize("captured", OF_KUBE_PROXY, ids=str)
@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_whom_nobody_answers_is_told_once(captured: CapturedNft, family: str) -> None:
    found = list(services_without(captured.ruleset[family, "kube-proxy"], None))
    for code, names in (("no_endpoint", NOBODY), ("no_local_endpoint", NOBODY_HERE)):
        messages = [one.message for one in found if one.code == code]
        assert len(messages) == len(names)
        assert all(sum(f" for {name}" in message for message in messages) == 1 for name in names)
    assert {one.code for one in found} == {"no_endpoint", "no_local_endpoint"}


def test_it_is_told_where() -> None:
    table = CapturedNft().ruleset["ip", "kube-proxy"]
    (found,) = services_without(table, ["default/none"])
    assert (found.table, found.chain) == ("ip kube-proxy", "no-endpoint-services")
    assert found.rule == found.evidence == '10.43.0.15 . tcp . 80 comment "default/none:http" : goto reject-chain'
    (found,) = services_without(table, ["default/outside-none", "default/web"])
    assert (found.code, found.chain) == ("no_local_endpoint", "no-endpoint-nodeports")
    assert list(services_without(table, ["default/web"])) == []
    assert list(services_without(table, [])) == []


@pytest.mark.parametrize("captured", OF_KUBE_PROXY, ids=str)
@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_only_who_does_not_know_pods_masquerades_nothing(captured: CapturedNft, family: str) -> None:
    found = list(of_masquerading(captured.ruleset[family, "kube-proxy"]))
    expected = [("no_masquerade", f"{family} kube-proxy", "services")] * (captured.configuration == "no-pods")
    assert [(one.code, one.table, one.chain) for one in found] == expected
    assert all(one.evidence.endswith("@service-ips") for one in found)


def test_who_masquerades_all_need_not_know_pods() -> None:
    things = json.loads(CapturedNft(configuration="masquerade-all").json)["nftables"]
    kept = [thing for thing in things if "pod traffic" not in thing.get("rule", {}).get("comment", "")]
    assert kept != things
    assert list(of_masquerading(read_ruleset(json.dumps({"nftables": kept}))["ip", "kube-proxy"])) == []


def test_of_a_table_without_rules_nothing_is_told() -> None:
    things = [{"table": {"family": "ip", "name": "kube-proxy"}}]
    table = read_ruleset(json.dumps({"nftables": things}))["ip", "kube-proxy"]
    assert list(of_masquerading(table)) == []
    assert list(services_without(table, None)) == []
