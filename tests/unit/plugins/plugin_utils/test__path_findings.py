# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_findings import all_findings

SAMPLES = {key: part["sample"] for key, part in yaml.safe_load(kube_path_info.RETURN).items()}
MISSING: t.Final = SAMPLES["findings"][0]
TRACE: t.Final = SAMPLES["trace"]


def finding(code: str, severity: str = "error") -> dict[str, str]:
    return {**MISSING, "code": code, "severity": severity}


def answer(*findings: dict[str, str], **more: object) -> dict[str, t.Any]:
    return {"paths": [], "findings": list(findings), **more}


def test_what_several_nodes_have_is_there_once() -> None:
    alike, other = finding("missing_jump"), finding("stale_endpoint")
    assert all_findings({"a": answer(alike), "b": answer(other, alike), "c": answer()}) == [
        {**alike, "host": "a, b"},
        {**other, "host": "b"},
    ]


def test_what_differs_in_anything_is_not_the_same() -> None:
    changed = [{**MISSING, key: "error" if key == "severity" else "other"} for key in MISSING if key != "severity"]
    found = all_findings({"a": answer(MISSING), "b": answer(*changed)})
    assert [one["host"] for one in found] == ["a", *["b"] * len(changed)]


def test_the_worst_is_first() -> None:
    nodes = {
        "a": answer(finding("1", "info"), finding("2", "warning")),
        "b": answer(finding("3"), finding("2", "warning")),
        "c": answer(finding("4")),
    }
    assert [(one["code"], one["host"]) for one in all_findings(nodes)] == [
        ("3", "b"),
        ("4", "c"),
        ("2", "a, b"),
        ("1", "a"),
    ]


def test_a_node_without_an_answer_does_not_hide_others() -> None:
    found = all_findings({"a": {"failed": True, "msg": "No way."}, "b": {}, "c": answer(MISSING)})
    assert [(one["code"], one["severity"], one["host"], one["evidence"]) for one in found] == [
        ("no_answer", "error", "a", "No way."),
        ("no_answer", "error", "b", "it does not say why"),
        ("missing_jump", "error", "c", MISSING["evidence"]),
    ]
    assert all(one.keys() == {*MISSING, "host"} for one in found)


def test_a_trace_that_disagrees_is_an_error() -> None:
    trace = {**TRACE, "agrees": False, "differences": ["At step 1.", "At step 2."]}
    (found,) = all_findings({"a": answer(trace=trace)})
    assert (found["code"], found["severity"], found["evidence"]) == (
        "trace_disagrees",
        "error",
        "At step 1. At step 2.",
    )


@pytest.mark.parametrize(
    "trace", [TRACE, {"seen": 0, "agrees": False, "steps": [], "differences": ["No first packet came by in 5 s."]}]
)
def test_a_trace_that_agrees_or_has_seen_nothing_is_no_finding(trace: dict[str, t.Any]) -> None:
    assert all_findings({"a": answer(trace=trace)}) == []


def test_a_trace_that_cannot_be_made_is_an_error() -> None:
    (found,) = all_findings({"a": answer(untraced="There is no program nft.")})
    assert (found["code"], found["severity"], found["evidence"]) == ("no_trace", "error", "There is no program nft.")
