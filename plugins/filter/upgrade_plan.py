# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: upgrade_plan
short_description: Work out how the nodes of a cluster are upgraded
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names the nodes to upgrade in their order, servers before agents, and what speaks against it.
  - A node that an earlier run was at comes first among its like. It may be anything but well.
positional: cluster, drain, force
options:
  _input:
    description:
      - The hosts of the run, in the order of the inventory, each with the name of its C(node) in the cluster and the
        C(version) of k3s that it is to have.
      - Hosts whose node is not in the cluster yet are left alone.
    type: dict
    required: true
  cluster:
    description: The C(nodes), C(pods), C(budgets) and C(deployments) of the cluster, as the API gives them.
    type: dict
    required: true
  drain:
    description: Whether pods are to leave a node before k3s is restarted there.
    type: bool
    required: true
  force:
    description: Whether pods that have no controller may end, and budgets be disregarded.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Work out how a node is upgraded
  ansible.builtin.debug:
    msg: "{{ hosts | homecloud.k3s.upgrade_plan(cluster, drain=true, force=false) }}"
  vars:
    hosts:
      node1: {node: node1, version: v1.36.2+k3s1}
    cluster:
      nodes:
        - metadata: {name: node1, labels: {node-role.kubernetes.io/control-plane: "true"}}
          spec: {}
          status:
            conditions: [{type: Ready, status: "True"}]
            nodeInfo: {kubeletVersion: v1.35.6+k3s1}
      pods: []
      budgets: []
      deployments: []
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    steps:
      description:
        - The nodes to upgrade, each with its C(host), the name of its C(node), its C(kind), the versions it goes
          C(from) and C(to), whether it is C(resumed), as an earlier run was at it, whether it C(drains), its pods that
          are C(moving) then and those that are C(ending), as nobody makes them anew, and whether it C(stays_cordoned).
        - C(begun) and C(done) are the patches that mark the node before and take the mark away afterwards.
      type: list
      elements: dict
      sample: []
    untouched:
      description: The nodes of the run that are at their version.
      type: list
      elements: str
      sample: [agent1]
    available:
      description: The Deployments that are available, and are to be again after each node.
      type: list
      elements: str
      sample: [kube-system/coredns]
    faults:
      description: What speaks against it, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
      sample: []
  sample:
    steps:
      - host: node1
        node: node1
        kind: server
        from: v1.35.6+k3s1
        to: v1.36.2+k3s1
        resumed: false
        stays_cordoned: false
        drains: false
        moving: []
        ending: []
        begun: {metadata: {annotations: {homecloud.k3s/upgrade: takes-pods}}, spec: {unschedulable: true}}
        done: {metadata: {annotations: {homecloud.k3s/upgrade: null}}, spec: {unschedulable: false}}
    untouched: []
    available: []
    faults: []
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade import upgrade_plan

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"upgrade_plan": upgrade_plan}
