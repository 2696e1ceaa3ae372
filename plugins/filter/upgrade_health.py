# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: upgrade_health
short_description: Say why a cluster is not well enough for the next node to be upgraded
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names the nodes that are not Ready or have no vote in etcd, and the Deployments that were available and are not now.
positional: deployments, available
options:
  _input:
    description: All nodes of the cluster, as the API gives them.
    type: list
    elements: dict
    required: true
  deployments:
    description: The Deployments of the cluster, as the API gives them.
    type: list
    elements: dict
    required: true
  available:
    description:
      - Those that were available before, as P(homecloud.k3s.upgrade_plan#filter) names them. Of others nothing is said.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what is not well
  ansible.builtin.debug:
    msg: "{{ nodes | homecloud.k3s.upgrade_health([], []) }}"
  vars:
    nodes:
      - metadata: {name: node1}
        status: {conditions: [{type: Ready, status: "False", message: container runtime is down}]}
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: node_not_ready
      severity: error
      host: ""
      message: node1 is not Ready.
      evidence: container runtime is down
      advice: Repair it; should it never come back, use the playbook homecloud.k3s.remove_node.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade import upgrade_health

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"upgrade_health": upgrade_health}
