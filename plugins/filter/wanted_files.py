# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: wanted_files
short_description: Say how files that a role writes will be read
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Turns the files that a role wants on a host into the part RV(homecloud.k3s.k3s_info#module:files) of a reading,
    for P(homecloud.k3s.differences#filter) to compare.
options:
  _input:
    description:
      - The files. Each has a C(path) and one of C(content), C(sha256) and C(link), which is a symbolic link's target.
      - A C(mode) other than V(0644) may be given. All belong to root.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what is to be read of a file
  ansible.builtin.debug:
    msg: "{{ [{'path': '/etc/motd', 'content': 'Hello\n'}] | homecloud.k3s.wanted_files }}"
"""

RETURN = r"""
_value:
  description: The files by path.
  type: dict
  sample:
    /etc/motd:
      sha256: 66a045b452102c59d840ec097d59d9467e13a3f34f6494e539ffd32c1bb35f18
      mode: "0644"
      owner: root
      group: root
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._differences import wanted_files

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"wanted_files": wanted_files}
