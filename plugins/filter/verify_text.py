# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: verify_text
short_description: Show the report of the verify playbook as text
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Renders a report of P(homecloud.k3s.verify_report#filter) as lines of text.
options:
  _input:
    description: The report.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show a report
  ansible.builtin.debug:
    msg: "{{ [] | homecloud.k3s.verify_report({'services': [], 'diagnosis': []}, []) | homecloud.k3s.verify_text }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import report_lines

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"verify_text": report_lines}
