# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: metallb_plan
short_description: Work out what has to be done to the MetalLB of a cluster
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Compares what M(homecloud.k3s.metallb_info) read with what is wanted.
  - Names what speaks against it, such as Services that would lose their addresses.
positional: pools, state, take_over, drop_addresses
options:
  _input:
    description: The reading.
    type: dict
    required: true
  pools:
    description: The pools, as O(homecloud.k3s.metallb#role:main:metallb_pools).
    type: list
    elements: dict
    required: true
  state:
    description: Whether there shall be a MetalLB.
    type: str
    choices: [present, absent]
    required: true
  take_over:
    description: Whether a MetalLB that others have installed is to be taken over, with its pools.
    type: bool
    required: true
  drop_addresses:
    description: Whether Services may lose their addresses.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Work out what to do for a pool that is not there yet
  ansible.builtin.debug:
    msg: "{{ reading | homecloud.k3s.metallb_plan(pools, 'present', false, false) }}"
  vars:
    reading:
      controller: null
      ready: false
      pools: []
      services: []
      configuration: []
      old_configuration: null
      servicelb: []
      elsewhere: []
      differences: [Deployment metallb-system/controller]
      surplus: []
    pools: [{name: home, addresses: [192.168.1.200-192.168.1.225]}]
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    faults:
      description: What speaks against it, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
      sample: []
    differences:
      description: What of MetalLB is not as wanted, in words.
      type: list
      elements: str
      sample: [Deployment metallb-system/controller is not as in the manifest]
    remove:
      description: The objects of the pools to remove, which the collection has made and that are not wanted any more.
      type: list
      elements: dict
      sample: []
    apply:
      description: The objects of the pools that are not as wanted, in the order in which MetalLB takes them.
      type: list
      elements: dict
      sample:
        - apiVersion: metallb.io/v1beta1
          kind: IPAddressPool
          metadata: {name: home, namespace: metallb-system}
          spec: {addresses: [192.168.1.200-192.168.1.225], autoAssign: true, avoidBuggyIPs: false}
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._metallb_plan import metallb_plan

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"metallb_plan": metallb_plan}
