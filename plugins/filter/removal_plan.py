# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: removal_plan
short_description: Work out what it means to remove nodes from a cluster
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names the pods that move, those that end, the data that is lost, and what speaks against the removal.
positional: hosts, cluster, force
options:
  _input:
    description:
      - The names of the nodes, or of their hosts in the inventory, in the order in which they are to leave.
      - A list, or a text that separates them by commas.
    type: raw
    required: true
  hosts:
    description: The name that each host of the inventory has in the cluster.
    type: dict
    required: true
  cluster:
    description: The C(nodes), C(pods), C(volumes) and C(budgets) of the cluster, as the API gives them.
    type: dict
    required: true
  force:
    description: Whether pods that have no controller may end, and budgets be disregarded.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Work out what it means to remove a node
  ansible.builtin.debug:
    msg: "{{ 'node2' | homecloud.k3s.removal_plan({'node2': 'node2'}, cluster, force=false) }}"
  vars:
    cluster:
      nodes:
        - metadata: {name: node1, labels: {node-role.kubernetes.io/control-plane: "true"}}
        - metadata: {name: node2}
          status: {conditions: [{type: Ready, status: "True"}]}
      pods: []
      volumes: []
      budgets: []
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    removals:
      description:
        - Each of the nodes, with its C(node) name, its C(host) in the inventory (may be empty), whether it is
          C(in_cluster), C(is_ready) and C(is_server), the pods that are C(moving) to other nodes, those that are
          C(ending), as nobody makes them anew, and the volumes that are C(lost).
      type: list
      elements: dict
      sample:
        - node: node2
          host: node2
          in_cluster: true
          is_ready: true
          is_server: false
          moving: [default/mysite-7c5b4d-x2x9z]
          ending: []
          lost: ["/var/lib/rancher/k3s/storage/pvc-1_default_data, claimed as default/data"]
    api:
      description: Where the API is found while a server leaves. Empty if none does.
      type: str
      sample: ""
    faults:
      description: What speaks against it, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
      sample: []
  sample:
    removals:
      - node: node2
        host: node2
        in_cluster: true
        is_ready: true
        is_server: false
        moving: []
        ending: []
        lost: []
    api: ""
    faults: []
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._removal import removal_plan

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"removal_plan": removal_plan}
