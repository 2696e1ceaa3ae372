# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: restore_faults
short_description: Find what speaks against bringing an archive back
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Compares the manifest of an archive with an inventory and its hosts, before anything is changed. The nodes are
    checked by P(homecloud.k3s.preflight_faults#filter) as they would be with what is in the archive.
positional: readings, hostvars, groups, defaults, accept
options:
  _input:
    description: The manifest, as M(homecloud.k3s.backup_archive) returns it.
    type: dict
    required: true
  readings:
    description: What M(homecloud.k3s.k3s_info) returned, by the name of the host.
    type: dict
    required: true
  hostvars:
    description: The variables of all hosts, as C(hostvars).
    type: dict
    required: true
  groups:
    description: The groups of the inventory, as C(groups).
    type: dict
    required: true
  defaults:
    description: The defaults of the roles whose variables are checked.
    type: dict
    required: true
  accept:
    description: Codes of errors that are to be warnings.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse an archive of something else
  ansible.builtin.debug:
    msg: "{{ {'format': 1} | homecloud.k3s.restore_faults({}, {}, {}, {}, []) }}"
"""

RETURN = r"""
_value:
  description: The faults, errors first, each with C(code), C(severity), C(host), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: not_of_a_cluster
      severity: error
      host: ""
      message: The archive is not one of a cluster.
      evidence: its manifest names no nodes and no datastore
      advice: Take an archive that the playbook homecloud.k3s.backup has made.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._restore import restore_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"restore_faults": restore_faults}
