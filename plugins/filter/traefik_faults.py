# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: traefik_faults
short_description: Find what speaks against configuring the Traefik of a cluster
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Names what keeps Traefik from becoming what is wanted, such as a configuration that somebody else has made, and what
    its user should know of.
positional: wish, take_over
options:
  _input:
    description: What M(homecloud.k3s.traefik_info) returned.
    type: dict
    required: true
  wish:
    description: What P(homecloud.k3s.traefik_wish#filter) returned.
    type: dict
    required: true
  take_over:
    description: Whether a configuration that others have made is to be overwritten.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show what speaks against it
  ansible.builtin.debug:
    msg: "{{ reading | homecloud.k3s.traefik_faults(wish, false) }}"
  vars:
    reading: {chart: null, configuration: null, old_objects: []}
    wish: {chart_values: {additionalArguments: [--accesslog=true]}, dashboard: []}
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: no_traefik
      severity: error
      host: ""
      message: k3s does not package Traefik on this cluster, so there is nothing to configure.
      evidence: no HelmChart kube-system/traefik
      advice: >-
        Take "traefik" out of "disable" in k3s_config and run site.yml again, or leave the variables of the role out.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_wish import traefik_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"traefik_faults": traefik_faults}
