# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: traefik_wish
short_description: Make the objects by which Traefik becomes what is wanted
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Makes of the variables of the role C(homecloud.k3s.traefik) the values for the chart of Traefik, and all objects
    that have to be there.
positional: state
options:
  _input:
    description: The variables of the role that are defined, by their names without C(traefik_).
    type: dict
    required: true
  state:
    description: Whether Traefik is to be configured by the role. Otherwise all that the role can make is to be absent.
    type: str
    choices: [present, absent]
    required: true
"""

EXAMPLES = r"""
- name: Show what the chart would be told
  ansible.builtin.debug:
    msg: "{{ (settings | homecloud.k3s.traefik_wish('present')).chart_values }}"
  vars:
    settings:
      acme_email: me@home.example
      acme_resolver: le
      acme_authority: staging
      acme_ca: ""
      acme_challenge: tls
      acme_dns_provider: ""
      acme_dns_secrets: {}
      acme_dns_resolvers: []
      log_level: INFO
      access_log: false
      metrics: true
      entry_points: []
      address: ""
      pool: ""
      traffic_policy: Cluster
      dashboard_host: ""
      values: {}
"""

RETURN = r"""
_value:
  description: What is wanted.
  type: dict
  contains:
    chart_values:
      description: The values for the chart.
      type: dict
      sample: {additionalArguments: [--accesslog=true]}
    secrets:
      description: The objects with secrets.
      type: list
      elements: dict
      sample: []
    configuration:
      description: The objects that bring the values.
      type: list
      elements: dict
      sample: []
    dashboard:
      description: The objects of the dashboard, of kinds that Traefik brings.
      type: list
      elements: dict
      sample: []
    absent:
      description: The other objects that the role can make, without content.
      type: list
      elements: dict
      sample: []
    inputs:
      description: Those of all these that Traefik reads only when it starts, without content.
      type: list
      elements: dict
      sample: []
    storage:
      description: The file in Traefik's pod that has its certificates. Empty if it gets none.
      type: str
      sample: /data/acme.json
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_wish import traefik_wish

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"traefik_wish": traefik_wish}
