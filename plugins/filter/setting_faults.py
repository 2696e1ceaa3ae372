# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: setting_faults
short_description: Find what is wrong with pools and web services
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Checks the settings of what runs on the cluster, for a role that is used without the role
    C(homecloud.k3s.preflight), whose README lists the faults.
positional: accept
options:
  _input:
    description:
      - The settings, of C(metallb_pools) and C(web_service_services). One that is left out is not checked, nor what
        refers to it.
    type: dict
    required: true
  accept:
    description: Codes of errors to live with.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Check the pools alone
  ansible.builtin.debug:
    msg: "{{ {'metallb_pools': pools} | homecloud.k3s.setting_faults([]) }}"
  vars:
    pools:
      - name: home
        addresses: [192.168.1.225-192.168.1.200]
"""

RETURN = r"""
_value:
  description: The faults, each with C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  type: list
  elements: dict
  sample:
    - code: invalid_pool
      severity: error
      host: ""
      message: The pool "home" has addresses that cannot be read.
      evidence: "metallb_pools: 192.168.1.225-192.168.1.200: its first address is higher than its last"
      advice: "Write each pool as {name: home, addresses: [192.168.1.200-192.168.1.225]}."
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_inventory import setting_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"setting_faults": setting_faults}
