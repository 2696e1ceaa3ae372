# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why the API has refused something, by what it said.

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault, fault_lines

if t.TYPE_CHECKING:
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


@dataclass(frozen=True)
class _Kind:
    """What a code says, and what to do, where {name} is what was refused, and other words are parts of the pattern."""

    pattern: str
    message: str
    advice: str


# By what the API server of Kubernetes 1.36 says; the first that is found.
_KINDS: t.Final = {
    "forbidden": _Kind(
        r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "[^"]*"(?P<where>.*)',
        'The user "{user}" may not {verb} {resource}{where}.',
        "Use the kubeconfig of a user who may, or give this one a Role or ClusterRole with {verb} for {resource}.",
    ),
    "field_conflict": _Kind(
        r'conflicts? with "(?P<owner>[^"]+)"',
        "{name} is not only the collection's: {owner} has set fields of it to other values.",
        "Take these fields out of what {owner} applies, or set the same values here. "
        "Or delete the object and run this again.",
    ),
    "immutable_field": _Kind(
        r"(?P<field>spec\.\S+): .*(may not change once set|field is immutable|expected an IPv[46] value as indicated)",
        "{field} of {name} cannot be changed as long as it exists.",
        "Leave it as it is, or delete the object and run this again; homecloud.k3s.kube_service does so "
        "with recreate: true.",
    ),
    "node_port_taken": _Kind(
        r"odePort\D*(?P<port>\d+): provided port is already allocated",
        "The node port {port} of {name} is taken.",
        "Ask for another node port, or for none: the cluster then chooses a free one.",
    ),
    "node_port_out_of_range": _Kind(
        r"odePort\D*(?P<port>\d+): provided port is not in the valid range",
        "The node port {port} of {name} is not one that the cluster gives out.",
        "Ask for a node port of the range that is named, or for none: the cluster then chooses one.",
    ),
    "cluster_ip_taken": _Kind(
        r"failed to allocate IP (?P<address>\S+): provided IP is already allocated",
        "The cluster IP {address} of {name} is taken.",
        "Ask for another cluster IP, or for none: the cluster then chooses a free one.",
    ),
    "cluster_ip_out_of_range": _Kind(
        r"failed to allocate IP (?P<address>\S+): .*(range)",
        "The cluster IP {address} of {name} is outside of the Services' network.",
        'Ask for none: the cluster then chooses one. "service-cidr" of the k3s server, 10.43.0.0/16 unless set, is '
        "the network they are of.",
    ),
    "no_namespace": _Kind(
        r'namespaces "(?P<namespace>[^"]*)" not found',
        'There is no namespace "{namespace}" for {name}.',
        'Correct it, or create it first: "kubectl create namespace {namespace}".',
    ),
    "object_refused": _Kind("", "The API refuses {name}.", "Correct the setting that it names."),
}


class Refused(Exception):
    """Something could not be done, for a reason that is known."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def refusal(name: str, message: str) -> Fault:
    """What the API has refused, by its message."""
    text = " ".join(message.split())
    code, match = next(
        (code, match) for code, kind in _KINDS.items() for match in [re.search(kind.pattern, text)] if match is not None
    )
    owners = dict.fromkeys(re.findall(_KINDS["field_conflict"].pattern, text))
    return known(code, name, text, **{**match.groupdict(), "owner": " and ".join(owners)})


def known(code: str, name: str, evidence: str, **words: str) -> Fault:
    """The fault of a code that is known, for the object NAME."""
    kind = _KINDS[code]
    return Fault(
        code, "error", kind.message.format(name=name, **words), evidence, kind.advice.format(name=name, **words)
    )


def is_outage(error: Exception) -> bool:
    """Whether the API could not answer now, and may later."""
    from urllib3.exceptions import HTTPError

    return isinstance(error, (HTTPError, OSError)) or _status(error) == 429 or _status(error) >= 500


def is_forbidden(error: Exception) -> bool:
    return _status(error) in (401, 403)


def api_fault(name: str, error: Exception) -> Fault | None:
    """What it was that kept the API from doing something with NAME; None if it was not the API."""
    if isinstance(error, Refused):
        return error.fault
    message, access = api_message(error), _no_access(error)
    if not access:
        return refusal(name, message) if _status(error) else None
    return Fault(
        "no_api_access",
        "error",
        access,
        " ".join(message.split()),
        "Look whether the cluster runs and can be reached from here, and whether kubeconfig and context are its own: "
        "the role homecloud.k3s.kubeconfig writes them.",
    )


def _no_access(error: Exception) -> str:
    """Why the API cannot be used at all; empty if it can."""
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

    if isinstance(error, CoreException):
        return "It is not known how to reach the API of the cluster."
    if _status(error) == 401:
        return "The API of the cluster does not accept the credentials."
    # A 500 has a message of what it was.
    return "The API of the cluster does not answer." if is_outage(error) and _status(error) != 500 else ""


def fail(module: AnsibleK8SModule, name: str, error: Exception) -> None:
    """End a module that could not do something with NAME."""
    fault = api_fault(name, error)
    if fault is None:
        module.fail_from_exception(error)
    else:
        faults = [asdict(fault)]
        module.fail_json(msg="\n".join(fault_lines(faults)), diagnosis=faults)


def _status(error: Exception) -> int:
    """The HTTP status of the API's answer; 0 if it has not answered."""
    return int(getattr(error, "status", None) or 0)


def api_message(error: Exception) -> str:
    """The message in the answer of the API, or what the exception says."""
    body = getattr(error, "body", None) or ""
    return message_of(body.decode() if isinstance(body, bytes) else body) or str(error)


def message_of(text: str) -> str:
    """The message of the API in a text that has its answer somewhere; empty if there is none."""
    answer = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        return str(json.loads(answer[0])["message"]) if answer else ""
    except (ValueError, KeyError):
        return ""
