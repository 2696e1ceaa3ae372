# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: k3s_diagnosis
short_description: Say why k3s does not start
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Looks in the journal of k3s for what is known to keep it from starting.
options:
  _input:
    description: The lines of the journal.
    type: list
    elements: str
    required: true
  host:
    description: The host that they are of.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show a diagnosis
  ansible.builtin.debug:
    msg: "{{ ['level=fatal msg=\"failed to find memory cgroup (v2)\"'] | homecloud.k3s.k3s_diagnosis('node1') }}"
"""

RETURN = r"""
_value:
  description:
    - What is wrong, each with C(code), C(severity), C(host), C(message), C(evidence) and C(advice).
    - Causes come before what may follow from them.
    - Empty if nothing known was found.
  type: list
  elements: dict
  sample:
    - code: no_memory_cgroup
      severity: error
      host: node1
      message: The kernel has no memory cgroup.
      evidence: level=fatal msg="failed to find memory cgroup (v2)"
      advice: Add the flags to the boot file and reboot.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._diagnosis import diagnose

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"k3s_diagnosis": diagnose}
