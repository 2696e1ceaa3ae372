# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_report
short_description: Make the report of the verify playbook
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Joins what the API says of nodes and Services with the pages they answered.
  - Names what is wrong.
options:
  _input:
    description:
      - The objects of the API, of the kinds C(Node), C(Service) and, of MetalLB, C(ServiceL2Status) and
        C(ConfigurationState).
    type: list
    elements: dict
    required: true
  services:
    description: What M(homecloud.k3s.kube_service_info) returned of the web services.
    type: dict
    required: true
  pages:
    description:
      - The results of a loop of M(ansible.builtin.uri) over what P(homecloud.k3s.verify_pages#filter) gave.
    type: list
    elements: dict
    required: true
  sites:
    description: What M(homecloud.k3s.web_site_info) saw of the web services by their names.
    type: list
    elements: dict
    default: []
  site_faults:
    description: What is wrong with them, as P(homecloud.k3s.site_faults#filter) says.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Make a report of nodes alone
  ansible.builtin.debug:
    msg: "{{ [] | homecloud.k3s.verify_report({'services': [], 'diagnosis': []}, []) }}"
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    ok:
      description: Whether nothing is wrong, but for warnings.
      type: bool
      sample: true
    nodes:
      description: The nodes, each with C(name), C(address), C(ready) and C(version).
      type: list
      elements: dict
      sample: [{name: node1, address: 192.168.1.101, ready: true, version: v1.36.2+k3s1}]
    web_services:
      description:
        - The web services, each with C(name), C(namespace), C(type), C(cluster_url) (where pods reach it), C(address),
          C(pool), C(announced_by) (names of nodes), C(endpoints) and C(pages).
        - C(endpoints) says how many pods are C(ready) and how many there are, C(all).
        - Each of the C(pages) has C(url), C(http_status) and C(first_line). A ClusterIP has none, a NodePort one for
          each node. C(http_status) is V(-1) for no answer.
      type: list
      elements: dict
      sample:
        - name: mysite
          namespace: default
          type: LoadBalancer
          cluster_url: http://mysite.default:80/
          address: 192.168.1.200
          pool: home
          announced_by: [node1]
          endpoints: {ready: 3, all: 3}
          pages: [{url: "http://192.168.1.200:80/", http_status: 200, first_line: hello}]
    addresses:
      description: All addresses that MetalLB has given, each with C(address), C(service), C(pool) and C(announced_by).
      type: list
      elements: dict
      sample: [{address: 192.168.1.200, service: default/mysite, pool: home, announced_by: [node1]}]
    metallb_configuration:
      description: What each part of MetalLB says of its configuration, as C(component), C(result) and C(error).
      type: list
      elements: dict
      sample: [{component: controller, result: Valid, error: ""}]
    sites:
      description: The web services by their names, as RV(homecloud.k3s.web_site_info#module:sites).
      type: list
      elements: dict
      sample: []
    faults:
      description: What is wrong, each with C(code), C(severity), C(host) (empty), C(message), C(evidence), C(advice).
      type: list
      elements: dict
      sample: []
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import make_report

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"verify_report": make_report}
