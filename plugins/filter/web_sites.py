# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: web_sites
short_description: Say where web services are found by their names
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Makes of web services with C(hosts) what M(homecloud.k3s.web_site_info) looks at, each at the address of Traefik.
positional: address, cert_resolver
options:
  _input:
    description: Web services, as the role C(homecloud.k3s.web_service) has them.
    type: list
    elements: dict
    required: true
  address:
    description: The address of Traefik.
    type: str
    required: true
  cert_resolver:
    description: The name of Traefik's certificate resolver. Where it is empty, sites without C(tls) are asked by HTTP.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where a web service is found
  ansible.builtin.debug:
    msg: "{{ [{'name': 'mysite', 'hosts': ['mysite.home.example']}] | homecloud.k3s.web_sites('192.168.1.200', 'le') }}"
"""

RETURN = r"""
_value:
  description: The sites.
  type: list
  elements: dict
  sample: [{url: "https://mysite.home.example/", address: 192.168.1.200}]
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._web_sites import web_sites

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"web_sites": web_sites}
