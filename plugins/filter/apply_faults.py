# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: apply_faults
short_description: Say which objects the API has refused, and why
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Looks into what M(kubernetes.core.k8s) with O(kubernetes.core.k8s#module:continue_on_error) returned.
options:
  _input:
    description: The objects that were applied.
    type: list
    elements: dict
    required: true
  applied:
    description: What the module returned for them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what was refused
  ansible.builtin.debug:
    msg: "{{ [definition] | homecloud.k3s.apply_faults(applied) }}"
  vars:
    definition: {apiVersion: v1, kind: Namespace, metadata: {name: web}}
    applied:
      changed: false
      result: {}
      error: {reason: Forbidden, msg: "Failed to apply object: namespaces is forbidden"}
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: object_refused
      severity: error
      host: ""
      message: The API refuses Namespace web.
      evidence: "Failed to apply object: namespaces is forbidden"
      advice: Correct the setting that it names.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._apply import apply_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"apply_faults": apply_faults}
