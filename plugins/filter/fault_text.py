# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fault_text
short_description: Show faults as text
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Renders faults as lines of text, whatever found them, as P(homecloud.k3s.preflight_faults#filter) or
    M(homecloud.k3s.kube_service_info).
options:
  _input:
    description: The faults.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ faults | homecloud.k3s.fault_text }}"
  vars:
    faults:
      - code: no_pool
        severity: warning
        host: ""
        message: MetalLB gets no pool.
        evidence: metallb_pools is empty
        advice: Set metallb_pools.
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"fault_text": fault_lines}
