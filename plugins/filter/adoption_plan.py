# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: adoption_plan
short_description: Work out what it means to take over a k3s that others have set up
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names what k3s is going to be told on each host instead of what it was told, the Services that get other addresses,
    and what speaks against it, such as a flag that the inventory does not say and that would be lost.
  - Secrets are neither shown nor needed to compare them.
positional: wishes, said, objects, pools, addresses
options:
  _input:
    description: What M(homecloud.k3s.k3s_info) returned, by the name of the host.
    type: dict
    required: true
  wishes:
    description: What k3s is going to be told on each host, as P(homecloud.k3s.k3s_config#filter) makes it.
    type: dict
    required: true
  said:
    description: What of this the inventory says, O(homecloud.k3s.k3s#role:server:k3s_config) of each host.
    type: dict
    required: true
  objects:
    description: The nodes, Services and DaemonSets of the cluster, as the API gives them. None if it does not answer.
    type: list
    elements: dict
    required: true
  pools:
    description: The pools that are going to be there, as O(homecloud.k3s.metallb#role:main:metallb_pools).
    type: list
    elements: dict
    required: true
  addresses:
    description: Addresses that Services are going to ask for, by C(NAMESPACE/NAME). May be empty texts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: See what there is to take over, which is nothing where no host is given
  ansible.builtin.debug:
    msg: "{{ {} | homecloud.k3s.adoption_plan({}, {}, [], [], {}) }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    hosts:
      description: The hosts whose k3s is taken over, each with its name as C(host) and with its C(changes).
      type: list
      elements: dict
      sample: [{host: node1, changes: ["disable: none -> servicelb", "write-kubeconfig-mode: 644 -> 0600"]}]
    blocks:
      description: The lines of YAML that C(k3s_config) lacks, and the hosts for which.
      type: list
      elements: dict
      sample: [{hosts: [node1], lines: ["k3s_config:", '  disable+: ["traefik"]']}]
    daemonsets:
      description: The DaemonSets of k3s's own load balancer, which go.
      type: list
      elements: str
      sample: [kube-system/svclb-mysite-f54d720f]
    services:
      description: The Services that get other addresses.
      type: list
      elements: str
      sample: ["default/mysite: 192.168.1.101 -> an address of the pool home (192.168.1.200-192.168.1.225)"]
    faults:
      description: What speaks against it, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
      sample: []
  sample: {hosts: [], blocks: [], daemonsets: [], services: [], faults: []}
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._adoption import adoption_plan

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"adoption_plan": adoption_plan}
