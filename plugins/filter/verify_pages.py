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
    description: Objects of the API. C(Node), C(Service) and C(Deployment) objects are looked at.
    type: list
    elements: dict
    required: true
  asked:
    description: The web services that should be there, as O(homecloud.k3s.web_service#role:main:web_service_services).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show where a web service is
  ansible.builtin.debug:
    msg: "{{ [service, deployment] | homecloud.k3s.verify_pages([{'name': 'mysite'}]) }}"
  vars:
    service:
      kind: Service
      metadata: {name: mysite, namespace: default, uid: 1cba4024-d6a1-4dc6-acc2-2e5c7cd1ecff}
      spec: {type: LoadBalancer, ports: [{port: 80}]}
      status: {loadBalancer: {ingress: [{ip: 192.168.1.200}]}}
    deployment:
      kind: Deployment
      metadata: {name: mysite, namespace: default}
      spec: {replicas: 3}
      status: {availableReplicas: 3}
"""

RETURN = r"""
_value:
  description: The URLs, each with the C(uid) of its Service.
  type: list
  elements: dict
  sample:
    - uid: 1cba4024-d6a1-4dc6-acc2-2e5c7cd1ecff
      url: http://192.168.1.200:80/
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import page_urls

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"verify_pages": page_urls}
