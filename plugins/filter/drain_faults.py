# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drain_faults
short_description: Say why pods have not left their node
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names the budget that holds a pod, or says that it has not ended in time.
  - Of pods that a drain leaves alone, as those of DaemonSets, nothing is said.
positional: budgets, playbook
options:
  _input:
    description: The pods that are on the node, as the API gives them.
    type: list
    elements: dict
    required: true
  budgets:
    description: The PodDisruptionBudgets of the cluster, as the API gives them.
    type: list
    elements: dict
    required: true
  playbook:
    description: The playbook that drains the node. Its variables, as C(remove_node_force), are named in the advice.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show why a pod has not left its node
  ansible.builtin.debug:
    msg: "{{ pods | homecloud.k3s.drain_faults([], 'remove_node') }}"
  vars:
    pods:
      - metadata: {name: mysite, namespace: default}
        spec: {nodeName: node2}
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: pod_does_not_end
      severity: error
      host: ""
      message: Pod default/mysite has not left its node in time.
      evidence: it was not told to end yet
      advice: Set remove_node_timeout to more seconds, or look by kubectl describe at what it waits for.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._drain import drain_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"drain_faults": drain_faults}
