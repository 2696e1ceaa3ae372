# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: differences
short_description: Name what of a host is not as it should be
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Compares what M(homecloud.k3s.k3s_info) read with what is wanted, so that a role has tasks to run only where there
    is a difference.
options:
  _input:
    description: The reading.
    type: dict
    required: true
  wanted:
    description:
      - A part of the reading as it should be. What it does not name is not compared.
      - A value of V(null) means that there should be none.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Name what is wrong with a file
  ansible.builtin.debug:
    msg: "{{ reading | homecloud.k3s.differences({'files': {'/etc/motd': {'mode': '0644'}}}) }}"
  vars:
    reading: {files: {/etc/motd: {mode: "0777", owner: root}}}
"""

RETURN = r"""
_value:
  description: Each difference as a line of text. Empty if there is none.
  type: list
  elements: str
  sample: ["files /etc/motd mode: 0777, wanted 0644"]
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._differences import differences

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"differences": differences}
