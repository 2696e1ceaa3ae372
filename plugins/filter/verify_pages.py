# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_pages
short_description: Say where web services can be reached
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Works out the URLs at which web services answer outside of the cluster. A C(LoadBalancer) has one for each of its
    addresses, a C(NodePort) one for each node, a C(ClusterIP) none. Without pods that serve there is none either.
options:
  _input:
    description: Objects of the API of the kind C(Node).
    type: list
    elements: dict
    required: true
  services:
    description: The web services, as RV(homecloud.k3s.kube_service_info#module:services).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show where a web service is
  ansible.builtin.debug:
    msg: "{{ [] | homecloud.k3s.verify_pages([mysite]) }}"
  vars:
    mysite:
      namespace: default
      name: mysite
      service: {spec: {type: LoadBalancer, ports: [{port: 80}]}}
      addresses: [192.168.1.200]
      endpoints: [{address: 10.42.1.7, port: 80, node: node2, pod: mysite-7c5b, ready: true}]
"""

RETURN = r"""
_value:
  description: The URLs, each with the namespace and name of its C(service).
  type: list
  elements: dict
  sample:
    - service: default/mysite
      url: http://192.168.1.200:80/
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import page_urls

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"verify_pages": page_urls}
