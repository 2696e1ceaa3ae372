# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import any_selects, selects
from hypothesis import given
from hypothesis import strategies as st

LABELS = {"app": "web", "tier": "front"}

WORDS = st.sampled_from(["", "app", "web", "tier", "front", "zone"])
OWN = st.dictionaries(WORDS, WORDS)


def expression(key: str, operator: str, *values: str) -> dict[str, t.Any]:
    wanted = {"key": key, "operator": operator}
    return {"matchExpressions": [{**wanted, "values": list(values)} if values else wanted]}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "zone": "a"}}, False),
        (expression("app", "In", "api", "web"), True),
        (expression("app", "In", "api"), False),
        (expression("zone", "In", "a"), False),
        (expression("app", "NotIn", "api"), True),
        (expression("app", "NotIn", "web"), False),
        (expression("zone", "NotIn", "a"), True),
        (expression("app", "Exists"), True),
        (expression("zone", "Exists"), False),
        (expression("zone", "DoesNotExist"), True),
        (expression("app", "DoesNotExist"), False),
        ({"matchLabels": {"app": "web"}, **expression("tier", "NotIn", "front")}, False),
    ],
)
def test_what_a_selector_selects(selector: dict[str, t.Any], expected: bool) -> None:
    assert selects(selector, LABELS) is expected


def test_one_of_several_is_enough_and_none_are_all() -> None:
    other, same = ({"matchLabels": {"app": name}} for name in ("api", "web"))
    assert any_selects([other, same], LABELS)
    assert not any_selects([other], LABELS)
    assert any_selects([], LABELS)


@given(OWN, WORDS, st.lists(WORDS, min_size=1))
def test_operators_are_opposites(labels: dict[str, str], key: str, values: list[str]) -> None:
    assert selects(expression(key, "In", *values), labels) != selects(expression(key, "NotIn", *values), labels)
    assert selects(expression(key, "Exists"), labels) != selects(expression(key, "DoesNotExist"), labels)
    assert selects(expression(key, "In", *values), labels) == any(
        selects({"matchLabels": {key: value}}, labels) for value in values
    )


@given(OWN, OWN)
def test_labels_are_all_wanted(labels: dict[str, str], wanted: dict[str, str]) -> None:
    assert selects({"matchLabels": wanted}, labels) == ({**labels, **wanted} == labels)
