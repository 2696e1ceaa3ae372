# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: path_text
short_description: Show the ways of packets as text
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Renders the ways that M(homecloud.k3s.kube_path_info) has returned as lines of text, and what the kernel has shown.
  - What is wrong is shown by P(homecloud.k3s.path_findings#filter) and P(homecloud.k3s.fault_text#filter).
options:
  _input:
    description:
      - The result of the module. With C(trace) in it, C(connections) has what became of those that were made meanwhile,
        each with C(address), C(port), how many were C(tried) and C(made), and the last C(error).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what the kernel has shown
  ansible.builtin.debug:
    msg: "{{ answer | homecloud.k3s.path_text }}"
  vars:
    answer:
      paths: []
      trace: {seen: 3, agrees: true, steps: [], differences: []}
      connections: []
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_text import path_lines

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"path_text": path_lines}
