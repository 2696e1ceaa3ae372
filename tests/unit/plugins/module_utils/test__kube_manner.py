# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import essence
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_manner import fixed_rules, manner_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured, everything


def dump(captured: Captured) -> Dump:
    return read_dump(captured.text.splitlines())


@pytest.mark.parametrize(
    ("captured", "manner"),
    [
        (Captured(), Manner(4, "a", "-s 10.42.0.0/16", counts_localhost=True)),
        (Captured(family=6), Manner(6, "a", "-s fd42::/56")),
        (Captured(configuration="bridge"), Manner(4, "a", "-i cni0", counts_localhost=True)),
        (Captured(configuration="prefix"), Manner(4, "a", "-i cni+", counts_localhost=True)),
        (Captured(configuration="no-pods"), Manner(4, "a", "", counts_localhost=True)),
        (Captured(configuration="no-localhost"), Manner(4, "a", "-s 10.42.0.0/16")),
        (
            Captured(configuration="masquerade-all"),
            Manner(4, "a", "-s 10.42.0.0/16", counts_localhost=True, masquerades_all=True),
        ),
        (
            Captured(configuration="masquerade-all-no-pods"),
            Manner(4, "a", "", counts_localhost=True, masquerades_all=True),
        ),
    ],
    ids=str,
)
def test_the_manner_is_seen_in_the_rules(captured: Captured, manner: Manner) -> None:
    assert manner_of(dump(captured), manner.family, "a") == manner


def test_many_endpoints_are_seen_too() -> None:
    assert manner_of(dump(Captured(configuration="many")), 4, "a").is_large


def test_a_rule_that_was_edited_is_not_the_manner() -> None:
    text = Captured().text
    first = next(line for line in text.splitlines() if line.startswith("-A KUBE-SVC-") and " ! -s " in line)
    edited = read_dump(text.replace(first, first.replace("10.42.0.0/16", "10.9.0.0/16")).splitlines())
    assert manner_of(edited, 4, "a") == manner_of(dump(Captured()), 4, "a")


def test_without_rules_there_is_none() -> None:
    assert manner_of(Dump(), 4, "a") == Manner(4, "a", "")


@pytest.mark.parametrize("captured", everything(), ids=str)
def test_the_fixed_rules_are_those_of_kube_proxy(captured: Captured) -> None:
    there = dump(captured)
    for (table, name), rules in fixed_rules(there).items():
        chain = there.chain(table, name)
        assert chain
        assert [essence(line) for line in rules] == [essence(line) for line in chain.lines]


def test_the_mark_is_what_most_rules_say() -> None:
    text = Captured(configuration="other-bit").text
    marking = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x8000/0x8000"
    assert marking in text
    edited = read_dump(text.replace(marking, marking.replace("8000", "1000")).splitlines())
    assert fixed_rules(edited)["nat", "KUBE-MARK-MASQ"] == [marking]
