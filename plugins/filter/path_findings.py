# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: path_findings
short_description: List what is wrong with the rules of all nodes
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Joins the findings of M(homecloud.k3s.kube_path_info) of several nodes to one list, the worst first. What several
    nodes have is in it once.
  - A node that has given no answer is a finding too, and so is a trace that cannot be made, or does not agree with what
    is explained.
options:
  _input:
    description: The results of the module, by the names of the nodes.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ answers | homecloud.k3s.path_findings }}"
  vars:
    answers:
      node1: {paths: [], findings: []}
      node2: {failed: true, msg: There are no rules of kube-proxy here.}
"""

RETURN = r"""
_value:
  description:
    - What is wrong, as RV(homecloud.k3s.kube_path_info#module:findings), each with the nodes that have it as C(host).
    - P(homecloud.k3s.fault_text#filter) shows it as text.
  type: list
  elements: dict
  sample:
    - code: no_answer
      severity: error
      message: The node has given no answer.
      evidence: There are no rules of kube-proxy here.
      advice: "Mend that and run the playbook again: nothing is known of the rules of this node."
      table: ""
      chain: ""
      rule: ""
      host: node2
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_findings import all_findings

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"path_findings": all_findings}
