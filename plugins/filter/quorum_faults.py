# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: quorum_faults
short_description: Say whether nodes can leave a cluster without its datastore being lost
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Servers with embedded etcd are those with the label C(node-role.kubernetes.io/etcd). They are healthy if they are
    C(Ready) and C(EtcdIsVoter). Of all members of etcd more than half must be, or nothing can be written any more.
  - A cluster without such servers has no majority to lose, only its last server.
positional: leaving, for_good
options:
  _input:
    description: All nodes of the cluster, as the API gives them.
    type: list
    elements: dict
    required: true
  leaving:
    description: The names of those that leave. Of others nothing is said.
    type: list
    elements: str
    required: true
  for_good:
    description:
      - Whether they are removed from the cluster, one after the other in the order of O(leaving).
      - Otherwise they are away together for a while, as for a restart. With one or two members of etcd that ends the
        majority for this while, so it is only asked that those who stay are healthy.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Show what speaks against the removal of a server
  ansible.builtin.debug:
    msg: "{{ nodes | homecloud.k3s.quorum_faults(['server1'], for_good=true) }}"
  vars:
    nodes:
      - metadata:
          name: server1
          labels: {node-role.kubernetes.io/control-plane: "true"}
"""

RETURN = r"""
_value:
  description:
    - The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
    - Empty if nothing speaks against it.
  type: list
  elements: dict
  sample:
    - code: last_server
      severity: error
      host: ""
      message: No server would remain, and with the last one the cluster is lost.
      evidence: its servers are server1
      advice: Add another server first. To end the cluster, use the playbook homecloud.k3s.reset.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._quorum import quorum_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"quorum_faults": quorum_faults}
