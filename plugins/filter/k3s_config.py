# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: k3s_config
short_description: Lay a user's configuration of k3s over another
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Makes what is to be written to C(/etc/rancher/k3s/config.yaml) of a server or an agent.
  - A key of the user's replaces the same key. A key that ends with V(+) appends to it, as in the files of k3s.
  - What only servers take is left out for agents. So one configuration serves all hosts.
positional: users, kind
options:
  _input:
    description: The configuration that the user's is laid over.
    type: dict
    required: true
  users:
    description: The user's configuration, as O(homecloud.k3s.k3s#role:server:k3s_config).
    type: dict
    required: true
  kind:
    description: What k3s runs as.
    type: str
    choices: [server, agent]
    required: true
"""

EXAMPLES = r"""
- name: Show the configuration of a server that disables Traefik too
  ansible.builtin.debug:
    msg: "{{ {'disable': ['servicelb']} | homecloud.k3s.k3s_config({'disable+': ['traefik']}, 'server') }}"
"""

RETURN = r"""
_value:
  description: The configuration.
  type: dict
  sample: {disable: [servicelb, traefik]}
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import merge_config

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"k3s_config": merge_config}
