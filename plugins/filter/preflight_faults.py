# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: preflight_faults
short_description: Find what is wrong with the hosts of an inventory
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Checks what an inventory says and what was read on its hosts, before anything is changed.
  - Reads and changes nothing itself. The README of the role C(homecloud.k3s.preflight) lists the faults that it finds.
positional: hostvars, groups, defaults, started, finished, accept
options:
  _input:
    description: What M(homecloud.k3s.k3s_info) returned, by the name of the host, for those that could be read.
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
  started:
    description: When the first host was about to be read, in seconds since 1970.
    type: float
    required: true
  finished:
    description: When the last host had been read, in seconds since 1970.
    type: float
    required: true
  accept:
    description: Codes of errors that are to be warnings.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
# The role homecloud.k3s.preflight reads the hosts, and passes their readings and the defaults of the other roles.

- name: Look for faults in an inventory before its hosts are read
  ansible.builtin.debug:
    msg: "{{ {} | homecloud.k3s.preflight_faults(hostvars, groups, {}, 0.0, 1.0, []) }}"
"""

RETURN = r"""
_value:
  description: The faults, errors first.
  type: list
  elements: dict
  contains:
    code:
      description: Which fault it is.
      type: str
      sample: pool_outside_lan
    severity:
      description: V(error) if a run must not go on, else V(warning).
      type: str
      sample: error
    host:
      description: The host that has it. Empty if all have it, or none.
      type: str
      sample: node1
    message:
      description: What is wrong.
      type: str
      sample: The pool "home" has addresses outside the LAN of the hosts.
    evidence:
      description: By what it was seen.
      type: str
      sample: "192.168.2.200-192.168.2.225; the LAN: 192.168.1.0/24"
    advice:
      description: What to do.
      type: str
      sample: Choose addresses of the LAN that no host has and that the router's DHCP never gives away.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_inventory import preflight_faults

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"preflight_faults": preflight_faults}
