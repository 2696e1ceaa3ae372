# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is wrong on all nodes, as one list.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import SEVERITIES

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    Finding = Mapping[str, str]
    Answer = Mapping[str, t.Any]


def all_findings(answers: Mapping[str, Answer]) -> list[dict[str, str]]:
    """What is wrong by the answers of all nodes, the worst first, each once with the nodes that have it."""
    nodes: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for node, answer in answers.items():
        for finding in _findings(answer):
            nodes.setdefault(tuple(finding.items()), []).append(node)
    found = [{**dict(finding), "host": ", ".join(having)} for finding, having in nodes.items()]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding["severity"]))


def _findings(answer: Answer) -> list[Finding]:
    if "findings" not in answer:
        advice = "Mend that and run the playbook again: nothing is known of the rules of this node."
        return [_error("no_answer", "The node has given no answer.", answer.get("msg", "it does not say why"), advice)]
    return [*answer["findings"], *_of_trace(answer)]


def _of_trace(answer: Answer) -> list[Finding]:
    trace = answer.get("trace")
    if "untraced" in answer:
        advice = "Mend that, or run the playbook without trace."
        return [_error("no_trace", "The kernel cannot be asked about this node.", answer["untraced"], advice)]
    if not trace or trace["agrees"] or not trace["seen"]:
        return []
    advice = (
        "Run it again, in case that rules were just being written. If it stays so, do not rely on what is explained, "
        'and report it with what "iptables-save" and "nft list ruleset" print.'
    )
    message = "The kernel does something else with packets than what is explained."
    return [_error("trace_disagrees", message, " ".join(trace["differences"]), advice)]


def _error(code: str, message: str, evidence: str, advice: str) -> Finding:
    texts = {"code": code, "severity": "error", "message": message, "evidence": evidence, "advice": advice}
    return {**texts, "table": "", "chain": "", "rule": ""}
