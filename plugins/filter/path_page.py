# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: path_page
short_description: Show the ways of packets on a page
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Works out what a page shows of the ways of packets, with a picture of each. The template of the playbook
    C(homecloud.k3s.path) makes it a page.
  - Of very many endpoints only the first are shown, and the others counted.
options:
  _input:
    description:
      - What M(homecloud.k3s.kube_path_info) has returned. With C(trace) in it, C(connections) has what became of those
        that were made meanwhile, each with C(address), C(port), how many were C(tried) and C(made), and the last
        C(error).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what becomes of packets
  ansible.builtin.debug:
    msg: "{{ {'paths': [way]} | homecloud.k3s.path_page }}"
  vars:
    way:
      frontend:
        {kind: cluster_ip, address: 10.43.0.41, port: 80, protocol: tcp, service: default/mysite, port_name: ""}
      source: {address: 10.42.0.9, kind: pod, interface: cni0}
      verdict: dnat
      verdict_shares: {dnat: 1.0}
      masquerade: never
      reason: What is sent to 10.43.0.41 port 80 goes to the endpoint 10.42.1.4 port 80, which sees its sender.
      endpoints:
        - {address: 10.42.1.4, port: 80, share: 1.0, masquerade: false, source_seen: 10.42.0.9}
      steps:
        - number: 1
          table: nat
          chain: PREROUTING
          rule: -A PREROUTING -j KUBE-SERVICES
          element: ""
          match: all
          action: go to KUBE-SERVICES
          share: 1.0
"""

RETURN = r"""
_value:
  description:
    - In C(ways) for each way its heading, verdict and reason, its steps and endpoints with their shares as texts, how
      many more of them there are, and the picture, whose boxes, edges and bands have their places in pixels.
    - In C(trace) what the kernel has shown, empty if it was not asked.
  type: dict
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_page import page_of

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"path_page": page_of}
