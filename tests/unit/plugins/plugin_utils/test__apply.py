# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API refuses, in answers as kubernetes.core.k8s returns them."""

from __future__ import annotations

import json

from ansible_collections.homecloud.k3s.plugins.plugin_utils._apply import apply_faults

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mysite", "namespace": "web"}}
CONFLICT = (
    'Apply failed with 2 conflicts: conflicts with "bob":\n- .spec.replicas\nconflicts with "helm":\n- .spec.paused'
)


def refused(message: str, reason: str) -> dict[str, object]:
    answer = json.dumps({"kind": "Status", "message": message, "reason": reason, "code": 409})
    return {"changed": False, "result": {}, "error": {"reason": reason, "msg": f"Failed to apply object: {answer}"}}


def test_objects_that_were_applied_one_by_one() -> None:
    applied = {"results": [{"result": NAMESPACE, "changed": True}, refused(CONFLICT, "Conflict")]}
    (fault,) = apply_faults([NAMESPACE, DEPLOYMENT], applied)
    assert fault["code"] == "field_conflict"


def test_what_was_applied_has_no_fault() -> None:
    applied = {"changed": True, "result": {"results": [{"changed": True, "result": NAMESPACE}] * 2}}
    assert apply_faults([NAMESPACE, DEPLOYMENT], applied) == []
    assert apply_faults([NAMESPACE], {"changed": False, "result": NAMESPACE}) == []


def test_a_conflict_names_the_object_and_the_others() -> None:
    applied = {"result": {"results": [{"result": NAMESPACE}, refused(CONFLICT, "Conflict")]}}
    (fault,) = apply_faults([NAMESPACE, DEPLOYMENT], applied)
    assert fault["code"] == "field_conflict"
    assert "Deployment web/mysite" in fault["message"]
    assert "bob and helm" in fault["message"]
    assert ".spec.replicas" in fault["evidence"]


def test_the_api_is_quoted() -> None:
    (fault,) = apply_faults([NAMESPACE], refused('namespaces "web" is forbidden', "Forbidden"))
    assert (fault["code"], fault["evidence"]) == ("object_refused", 'namespaces "web" is forbidden')


def test_an_answer_that_is_not_the_apis_is_shown_as_it_is() -> None:
    for text in ("Failed to apply object: no route to host", "Failed to apply object: {oops}"):
        (fault,) = apply_faults([NAMESPACE], {"result": {}, "error": {"msg": text}})
        assert fault["evidence"] == text
