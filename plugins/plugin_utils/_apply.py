# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the API has refused objects, by what kubernetes.core.k8s returned.

Private to the collection.
"""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject, named
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault


def apply_faults(definitions: Iterable[KubernetesObject], applied: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """A fault for each of the objects that was refused; applied is what the module returned, for all or in a loop."""
    # A single object is not returned as a list.
    answers = [answer for call in applied.get("results", [applied]) for answer in call["result"].get("results", [call])]
    return [
        asdict(_fault(named(definition), answer["error"]))
        for definition, answer in zip(definitions, answers)
        if answer.get("error")
    ]


def _fault(name: str, error: Mapping[str, t.Any]) -> Fault:
    message = _api_message(str(error.get("msg", "")))
    managers = dict.fromkeys(re.findall(r'conflicts? with "([^"]+)"', message))
    if managers:
        others = " and ".join(managers)
        return Fault(
            "field_conflict",
            "error",
            f"{name} is not only the collection's: {others} has set fields of it to other values.",
            " ".join(message.split()),
            f"Take these fields out of what {others} applies, or set the same values in the inventory. "
            "Or delete the object and run the playbook again.",
        )
    return Fault(
        "object_refused",
        "error",
        f"The API refuses {name}.",
        " ".join(message.split()),
        "Correct the setting that it names.",
    )


def _api_message(text: str) -> str:
    """The message of the API: the module shows the whole answer."""
    answer = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        return str(json.loads(answer[0])["message"]) if answer else text
    except (ValueError, KeyError):
        return text
