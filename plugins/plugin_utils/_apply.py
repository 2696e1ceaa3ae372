# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the API has refused objects, by what kubernetes.core.k8s returned.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject, named
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import message_of, refusal


def apply_faults(definitions: Iterable[KubernetesObject], applied: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """A fault for each of the objects that was refused; applied is what the module returned, for all or in a loop."""
    # A single object is not returned as a list.
    answers = [answer for call in applied.get("results", [applied]) for answer in call["result"].get("results", [call])]
    return [
        asdict(refusal(named(definition), message_of(text) or text))
        for definition, answer in zip(definitions, answers)
        if answer.get("error")
        for text in [str(answer["error"].get("msg", ""))]
    ]
