# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API of Kubernetes 1.36 says when it refuses something, and what is made of it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import (
    api_fault,
    is_forbidden,
    is_outage,
    refusal,
)
from urllib3.exceptions import MaxRetryError

NAME = "Service default/web"
SAID = {
    'services is forbidden: User "bob" cannot patch resource "services" in API group "" in the namespace "default"': (
        "forbidden",
        ["bob", "patch services", 'namespace "default"'],
    ),
    'Apply failed with 1 conflict: conflict with "alice" using v1: .spec.selector': (
        "field_conflict",
        ["alice"],
    ),
    'Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set': (
        "immutable_field",
        ["spec.clusterIPs[0]"],
    ),
    'Service "web" is invalid: spec.clusterIPs[0]: Invalid value: "10.43.140.248": expected an IPv6 value as indicated '
    "by `ipFamilies[0]`": ("immutable_field", ["spec.clusterIPs[0]"]),
    'Service "web" is invalid: spec.healthCheckNodePort: Forbidden: field is immutable': (
        "immutable_field",
        ["spec.healthCheckNodePort"],
    ),
    'Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 32648: provided port is already allocated': (
        "node_port_taken",
        ["32648"],
    ),
    'Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. '
    "The range of valid ports is 30000-32767": ("node_port_out_of_range", ["80"]),
    "Internal error occurred: failed to allocate requested HealthCheck NodePort 32767: provided port is already "
    "allocated": ("node_port_taken", ["32767"]),
    'Service "web" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.1"]: failed to allocate IP 10.43.0.1: '
    "provided IP is already allocated": ("cluster_ip_taken", ["10.43.0.1"]),
    'Service "web" is invalid: spec.clusterIPs: Invalid value: ["10.99.0.7"]: failed to allocate IP 10.99.0.7: '
    "the provided network does not match the current range": ("cluster_ip_out_of_range", ["10.99.0.7"]),
    'Service "web" is invalid: spec.clusterIPs: Invalid value: ["10.99.0.7"]: failed to allocate IP 10.99.0.7: '
    "the provided IP (10.99.0.7) is not in the valid range. The range of valid IPs is 10.43.0.0/16": (
        "cluster_ip_out_of_range",
        ["10.99.0.7"],
    ),
    'namespaces "nowhere" not found': ("no_namespace", ["nowhere"]),
    'Service "web" is invalid: spec.ports: Required value': ("object_refused", []),
}


@pytest.mark.parametrize("said", SAID)
def test_what_is_said_is_understood_and_quoted(said: str) -> None:
    code, words = SAID[said]
    fault = refusal(NAME, said)
    assert fault.code == code
    assert fault.evidence == said
    assert [word for word in words if word not in fault.message] == []
    assert "{" not in fault.message + fault.advice


def test_who_may_not_do_what_is_named() -> None:
    said = 'pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope'
    assert refusal(NAME, said).message == 'The user "bob" may not list pods at the cluster scope.'


class Answered(Exception):
    """What the client raises for an answer that is an error."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.body = json.dumps({"kind": "Status", "message": message})


def test_the_message_of_an_answer_is_what_counts() -> None:
    fault = api_fault(NAME, Answered(422, "spec.ports: Required value"))
    assert fault
    assert (fault.code, fault.evidence) == ("object_refused", "spec.ports: Required value")
    assert NAME in fault.message


def test_an_api_that_says_what_is_wrong_has_answered() -> None:
    said = 'failed to create typed patch object: .spec.ports: duplicate entries for key [port=80,protocol="TCP"]'
    fault = api_fault(NAME, Answered(500, said))
    assert fault
    assert (fault.code, fault.evidence) == ("object_refused", said)


@pytest.mark.parametrize(
    "error",
    [
        Answered(503, "the server is currently unable to handle the request"),
        Answered(401, "Unauthorized"),
        MaxRetryError(pool=None, url="/api", reason=OSError("Connection refused")),  # type: ignore[arg-type]
    ],
)
def test_an_api_that_cannot_be_used(error: Exception) -> None:
    fault = api_fault(NAME, error)
    assert fault
    assert fault.code == "no_api_access"
    assert fault.evidence


def test_what_is_not_the_apis_is_left_to_others() -> None:
    assert api_fault(NAME, ValueError("oops")) is None


@pytest.mark.parametrize(
    ("error", "outage", "forbidden"),
    [
        (Answered(500), True, False),
        (Answered(429), True, False),
        (Answered(504), True, False),
        (ConnectionResetError(), True, False),
        (Answered(403), False, True),
        (Answered(401), False, True),
        (Answered(404), False, False),
        (ValueError(), False, False),
    ],
)
def test_what_may_pass(error: Exception, outage: bool, forbidden: bool) -> None:
    assert (is_outage(error), is_forbidden(error)) == (outage, forbidden)
