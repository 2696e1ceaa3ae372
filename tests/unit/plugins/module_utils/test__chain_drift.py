# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift, essence, from_form, from_rules
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_forms import form_of

NAME: t.Final = "KUBE-SVC-AAAAAAAAAAAAAAAA"


def balancing(*probabilities: str) -> list[str]:
    """The rules of a chain that shares out among endpoints, of which the last one takes what is left."""
    return [
        f"-A {NAME} "
        + (f"-m statistic --mode random --probability {probability} " if probability else "")
        + f"-j KUBE-SEP-{letter * 16}"
        for letter, probability in zip("BCDEFG", probabilities)
    ]


def by_form(lines: list[str]) -> list[Drift]:
    form = form_of("nat", NAME)
    assert form
    return list(from_form(Chain("nat", NAME, lines=lines), form))


def by_rules(lines: list[str], should: list[str], is_ordered: bool = True) -> list[Drift]:
    return list(from_rules(Chain("nat", NAME, lines=lines), should, form_of("nat", NAME), is_ordered))


EVEN: t.Final = balancing("0.33333333349", "0.50000000000", "")


@pytest.mark.parametrize(
    ("probabilities", "detail"),
    [
        (("0.33333333349", "0.33333333349", ""), "of 3 endpoints each gets 22.2% to 44.4% of the packets, not 33.3%"),
        (("0.33333333349", ""), "of 2 endpoints each gets 33.3% to 66.7% of the packets, not 50.0%"),
        (("0.33333333349", "0.50000000000"), "of 2 endpoints each gets 33.3% to 33.3% of the packets, not 50.0%"),
        (("", "0.50000000000", ""), "of 3 endpoints each gets 0.0% to 100.0% of the packets, not 33.3%"),
        (("1.2.3", ""), "of 2 endpoints each gets 0.0% to 100.0% of the packets, not 50.0%"),
        (("0.00000000000", "1.00000000000"), "of 2 endpoints each gets 0.0% to 100.0% of the packets, not 50.0%"),
    ],
)
def test_shares_that_are_not_even_are_told_once(probabilities: tuple[str, ...], detail: str) -> None:
    (skewed,) = by_form(balancing(*probabilities))
    assert (skewed.code, skewed.detail) == ("skewed_share", detail)


@pytest.mark.parametrize(
    "lines", [EVEN, EVEN[2:], balancing("0.16666666651", "0.20000000019", "0.25", "0.33333333349", "0.5", "")]
)
def test_even_shares_are_none(lines: list[str]) -> None:
    assert by_form(lines) == []


def test_without_what_should_be_known_only_the_form_counts() -> None:
    foreign = f"-A {NAME} -j RETURN"
    assert [(one.code, one.rule) for one in by_form([foreign, *EVEN, EVEN[2]])] == [
        ("extra_rule", foreign),
        ("duplicate_rule", EVEN[2]),
    ]
    (empty,) = by_form([])
    assert empty.code == "missing_rule"
    assert "a rule for each endpoint" in empty.detail


def test_what_network_may_come_twice() -> None:
    name = "KUBE-FW-AAAAAAAAAAAAAAAA"
    form = form_of("nat", name)
    assert form
    said = '-m comment --comment "a/b:c loadbalancer IP"'
    network = f"-A {name} -s 192.168.1.10/32 {said} -j KUBE-EXT-AAAAAAAAAAAAAAAA"
    rest = f'-A {name} -m comment --comment "other traffic to a/b:c will be dropped by KUBE-PROXY-FIREWALL"'
    assert list(from_form(Chain("nat", name, lines=[network, network, rest]), form)) == []
    assert [one.code for one in from_form(Chain("nat", name, lines=[network]), form)] == ["missing_rule"]


def test_the_same_rules_are_no_drift_whatever_is_said_in_them() -> None:
    said = [line.replace(" -j", ' -m comment --comment "a/b:c -> 10.42.0.2:80" -j') for line in EVEN]
    assert by_rules(said, EVEN) == []
    assert by_rules(EVEN, said) == []


def test_each_rule_that_differs_is_told() -> None:
    foreign, unknown = (
        f"-A {NAME} -j RETURN",
        f"-A {NAME} -m statistic --mode random --probability 0.25 -j KUBE-SEP-{'Z' * 16}",
    )
    found = by_rules([foreign, unknown, EVEN[0], EVEN[0], EVEN[1]], EVEN)
    assert [(one.code, one.rule) for one in found] == [
        ("extra_rule", foreign),
        ("stale_endpoint", unknown),
        ("duplicate_rule", EVEN[0]),
        ("missing_rule", EVEN[2]),
        ("skewed_share", unknown),
    ]


def test_the_order_counts_where_it_decides() -> None:
    marking = f"-A {NAME} -m mark --mark 0x1/0x1 -j KUBE-MARK-MASQ"
    (late,) = by_rules([*EVEN, marking], [marking, *EVEN])
    assert (late.code, late.rule) == ("missing_rule", marking)
    assert by_rules([*EVEN, marking], [marking, *EVEN], is_ordered=False) == []


def test_an_empty_chain_is_told_once() -> None:
    (empty,) = by_rules([], EVEN)
    assert (empty.code, empty.rule, empty.detail) == ("missing_rule", "", "it is empty, and should have 3 rules")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('-A X -p tcp -m comment --comment "a" -m tcp --dport 80 -j Y', "-A X -p tcp -m tcp --dport 80 -j Y"),
        ("-A X -p tcp -m tcp -j Y", "-A X -p tcp -j Y"),
        ("-A X -m nfacct --nfacct-name  n -j Y", "-A X -j Y"),
        ("-A X -m mark --mark 1 -m tcp --dport 80 -j Y", "-A X -m tcp --dport 80 -m mark --mark 1 -j Y"),
    ],
)
def test_the_essence_is_the_same(one: str, other: str) -> None:
    assert essence(one) == essence(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-A X -j Y", "-A X -g Y"),
        ("-A X -s 10.0.0.1/32 -j Y", "-A X ! -s 10.0.0.1/32 -j Y"),
        ("-A X -m socket -j Y", "-A X -j Y"),
        ("-A X -j DNAT --to-destination 10.0.0.1:80", "-A X -j DNAT --to-destination 10.0.0.1:81"),
        ("-A X y", "-A X z"),
    ],
)
def test_the_essence_differs(one: str, other: str) -> None:
    assert essence(one) != essence(other)
