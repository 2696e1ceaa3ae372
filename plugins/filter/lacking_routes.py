# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lacking_routes
short_description: Find the routes for which Traefik has no certificate
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Of the objects of web services, these are the IngressRoutes that have Traefik get certificates, for sites that have
    none.
positional: sites
options:
  _input:
    description: The objects.
    type: list
    elements: dict
    required: true
  sites:
    description: What was seen of the sites, as RV(homecloud.k3s.web_site_info#module:sites).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which routes have no certificate
  ansible.builtin.debug:
    msg: "{{ [route] | homecloud.k3s.lacking_routes(sites) }}"
  vars:
    route:
      apiVersion: traefik.io/v1alpha1
      kind: IngressRoute
      metadata: {name: mysite, namespace: default}
      spec:
        entryPoints: [websecure]
        routes: [{kind: Rule, match: Host(`mysite.home.example`), services: [{name: mysite, port: 80}]}]
        tls: {certResolver: le}
    sites:
      - url: https://mysite.home.example/
        certificate: {self_signed: true}
"""

RETURN = r"""
_value:
  description: The IngressRoutes, as they are among the objects.
  type: list
  elements: dict
  sample:
    - apiVersion: traefik.io/v1alpha1
      kind: IngressRoute
      metadata: {name: mysite, namespace: default}
      spec:
        entryPoints: [websecure]
        routes: [{kind: Rule, match: Host(`mysite.home.example`), services: [{name: mysite, port: 80}]}]
        tls: {certResolver: le}
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._web_sites import lacking_routes

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"lacking_routes": lacking_routes}
