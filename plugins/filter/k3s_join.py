# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: k3s_join
short_description: Tell how a node comes into the cluster
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Says whether a node founds the cluster, or at which server it joins, by what there is of k3s on all hosts.
  - No server founds a second cluster where another one has the data of the first, and the first server of the inventory
    joins like any other when it was installed anew.
  - What a node that is in the cluster was told stays as long as it leads there, so none is restarted because another is
    down.
positional: host, servers, endpoint
options:
  _input:
    description: What M(homecloud.k3s.k3s_info) has read, by the names of the hosts.
    type: dict
    required: true
  host:
    description: The host that is asked about.
    type: str
    required: true
  servers:
    description: The servers of the inventory, in its order, each with its address; V("") where it has its name only.
    type: dict
    required: true
  endpoint:
    description: The address of the API, as O(homecloud.k3s.k3s#role:server:k3s_api_endpoint).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where the third of three bare servers joins
  ansible.builtin.debug:
    msg: "{{ {} | homecloud.k3s.k3s_join('pi3', servers, '192.168.1.101') }}"
  vars:
    servers: {pi1: 192.168.1.101, pi2: 192.168.1.102, pi3: 192.168.1.103}
"""

RETURN = r"""
_value:
  description: The answer.
  type: dict
  sample: {config: {server: "https://192.168.1.101:6443"}, by: pi1}
  contains:
    config:
      description: What of the configuration of k3s says it, with C(cluster-init), C(server) or neither.
      type: dict
    by:
      description: The server that has the token for the node and can tell whether it is ready.
      type: str
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_join import k3s_join

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"k3s_join": k3s_join}
