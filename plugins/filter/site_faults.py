# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: site_faults
short_description: Say what is wrong with web sites
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Judges what M(homecloud.k3s.web_site_info) saw of sites behind Traefik.
positional: cert_resolver, reasons
options:
  _input:
    description: The sites, as RV(homecloud.k3s.web_site_info#module:sites).
    type: list
    elements: dict
    required: true
  cert_resolver:
    description: The name of the certificate resolver that gets their certificates. Empty if there is none.
    type: str
    required: true
  reasons:
    description:
      - Why Traefik has no certificates, as RV(homecloud.k3s.traefik_info#module:diagnosis).
      - They are only told where a certificate is lacking.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what is wrong with sites
  ansible.builtin.debug:
    msg: "{{ sites | homecloud.k3s.site_faults('le') }}"
  vars:
    sites:
      - url: https://mysite.home.example/
        address: 192.168.1.200
        http_status: -1
        first_line: ""
        error: connection refused
        certificate: null
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: no_site
      severity: error
      host: ""
      message: https://mysite.home.example/ does not answer.
      evidence: "at 192.168.1.200: connection refused"
      advice: >-
        Look at "kubectl --namespace kube-system get service traefik", and whether this machine is on the LAN of the
        nodes.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._web_sites import site_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"site_faults": site_faults}
