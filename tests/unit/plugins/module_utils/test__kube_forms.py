# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_forms import FOREIGN, form_of
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured, everything

KINDS: t.Final = {
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-NODEPORTS"),
    *(("nat", f"KUBE-{kind}-*") for kind in ("SVC", "SVL", "EXT", "FW", "SEP")),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-NODEPORTS"),
    ("filter", "KUBE-PROXY-FIREWALL"),
}


def chains(captured: Captured) -> list[Chain]:
    """Those that kube-proxy has rules for Services in."""
    tables = read_dump(captured.text.splitlines()).tables
    return [chain for table in tables.values() for chain in table.values() if form_of(chain.table, chain.name)]


@pytest.mark.parametrize("captured", everything(), ids=str)
def test_all_rules_of_kube_proxy_have_a_form(captured: Captured) -> None:
    for chain in chains(captured):
        form = form_of(chain.table, chain.name)
        assert form
        letters = form.letters(chain)
        assert len(letters) == len(chain.lines)
        assert FOREIGN not in letters, chain
        assert form.whole.fullmatch(letters), chain


def test_all_kinds_of_chains_are_among_them() -> None:
    kinds = {(chain.table, re.sub("-[A-Z2-7]{16}$", "-*", chain.name)) for chain in chains(Captured()) if chain.lines}
    assert kinds == KINDS


@pytest.mark.parametrize(
    ("table", "name"), [("nat", "KUBE-POSTROUTING"), ("nat", "KUBE-SVC-X"), ("mangle", "KUBE-SERVICES"), ("nat", "X")]
)
def test_other_chains_have_none(table: str, name: str) -> None:
    assert form_of(table, name) is None


def letters(table: str, name: str, *rules: str) -> str:
    form = form_of(table, name)
    assert form
    return form.letters(Chain(table, name, lines=[f"-A {name} {rule}".rstrip() for rule in rules]))


OWN: t.Final = "AAAAAAAAAAAAAAAA"
OTHER: t.Final = "BBBBBBBBBBBBBBBB"


def test_a_chain_leads_to_those_of_the_same_port() -> None:
    own = letters(
        "nat", f"KUBE-EXT-{OWN}", f"-j KUBE-SVC-{OWN}", f"-j KUBE-SVL-{OWN}", f"-s 10.0.0.1/32 -j KUBE-SVC-{OWN}"
    )
    assert own == f"sl{FOREIGN}"
    assert letters("nat", f"KUBE-EXT-{OWN}", f"-j KUBE-SVC-{OTHER}", f"-g KUBE-SVC-{OWN}", "") == FOREIGN * 3
    assert (
        letters("nat", f"KUBE-SVC-{OWN}", f"-j KUBE-SEP-{OTHER}", f"-s 10.0.0.1/32 -j KUBE-SEP-{OTHER}")
        == f"s{FOREIGN}"
    )


def test_a_rule_says_which_service_it_is_for() -> None:
    packets = "-d 10.43.0.10/32 -p tcp{} -m tcp --dport 80 -j KUBE-SVC-" + OWN
    told = [
        packets.format(text)
        for text in (' -m comment --comment "a/b:c cluster IP"', "", ' -m comment --comment "my own"')
    ]
    assert letters("nat", "KUBE-SERVICES", *told) == f"c{FOREIGN}{FOREIGN}"


def test_neither_the_order_of_matches_nor_what_counts_is_of_matter() -> None:
    said = '-m comment --comment "a/b:c"'
    counting = "-m nfacct --nfacct-name localhost_nps_accepted_pkts"
    assert (
        letters(
            "nat",
            "KUBE-NODEPORTS",
            f"-p tcp {said} -m tcp --dport 30080 -j KUBE-EXT-{OWN}",
            f"-p tcp -m tcp --dport 30080 {said} -j KUBE-EXT-{OWN}",
            f"-d 127.0.0.0/8 -p tcp {counting} -m tcp --dport 30080 {said} -j KUBE-EXT-{OWN}",
            f"-d 127.0.0.0/8 -p tcp {said} -m tcp --dport 30080 -m socket -j KUBE-EXT-{OWN}",
        )
        == f"ppp{FOREIGN}"
    )


def test_what_is_no_rule_is_foreign() -> None:
    assert letters("nat", "KUBE-NODEPORTS", "what", '"-j" KUBE-EXT-' + OWN) == FOREIGN * 2
