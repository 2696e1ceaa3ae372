# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: workload_faults
short_description: Say why workloads and Services are not ready
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names what is not ready among objects of the API, and why, as far as the C(Pod) and C(Event) objects among them say.
options:
  _input:
    description:
      - Objects of the API, in any order. C(Deployment), C(DaemonSet) and C(Service) objects are looked at.
      - Of Services only the load balancer address is looked at.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is not ready
  ansible.builtin.debug:
    msg: "{{ [deployment, pod] | homecloud.k3s.workload_faults }}"
  vars:
    deployment:
      kind: Deployment
      metadata: {name: mysite, namespace: default, generation: 1}
      spec: {replicas: 1, selector: {matchLabels: {app: mysite}}}
      status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1}
    pod:
      kind: Pod
      metadata: {name: mysite-6f7b, namespace: default, labels: {app: mysite}}
      status:
        conditions:
          - {type: PodScheduled, status: "False", reason: Unschedulable, message: "0/3 nodes are available."}
"""

RETURN = r"""
_value:
  description:
    - What is not ready, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
    - Of several pods with the same fault the first one is shown.
  type: list
  elements: dict
  sample:
    - code: unschedulable
      severity: error
      host: ""
      message: No node takes a pod of Deployment default/mysite.
      evidence: "pod mysite-6f7b: 0/3 nodes are available."
      advice: Ask for less in "resources", free or add nodes.
"""

import typing as t
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject


def faults(objects: Iterable[KubernetesObject]) -> list[dict[str, t.Any]]:
    return [asdict(fault) for fault in workload_faults(objects)]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"workload_faults": faults}
