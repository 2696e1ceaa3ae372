# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: claim_faults
short_description: Say which hosts of web services others ask for, too
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Compares the C(hosts) of web services with what other objects on the cluster have Traefik serve.
positional: claims
options:
  _input:
    description: Web services, as the role C(homecloud.k3s.web_service) has them, with C(namespace) and C(path).
    type: list
    elements: dict
    required: true
  claims:
    description: The claims, as RV(homecloud.k3s.traefik_info#module:claims).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who else asks for a host
  ansible.builtin.debug:
    msg: "{{ [mysite] | homecloud.k3s.claim_faults(claims) }}"
  vars:
    mysite: {name: mysite, namespace: default, hosts: [mysite.home.example], path: /}
    claims:
      - {host: mysite.home.example, path: /, kind: Ingress, namespace: default, name: old}
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: host_of_others
      severity: error
      host: ""
      message: The host mysite.home.example of default/mysite is asked for by somebody else, too.
      evidence: Ingress default/old has mysite.home.example/
      advice: Delete that object if the web service is to take its place, or give one of them another host or path.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._web_sites import claim_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"claim_faults": claim_faults}
