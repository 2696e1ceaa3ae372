# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: local_dns_file
short_description: Write names for a DNS server
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Writes records in the way in which a server reads them.
  - Of a name that is known here, nothing is asked for outside; names below it are, unless a record has them, too.
positional: format
options:
  _input:
    description: The addresses of each name, as P(homecloud.k3s.local_dns_records#filter) puts them together.
    type: dict
    required: true
  format:
    description:
      - V(dnsmasq), 2.86 or newer, and V(unbound) are for files that their configuration includes.
      - V(hosts) is C(/etc/hosts), which Pi-hole and AdGuard Home read, too. It knows no C(*.), and nothing in it
        keeps back an IPv6 address that a name has outside.
    type: str
    choices: [dnsmasq, unbound, hosts]
    required: true
"""

EXAMPLES = r"""
- name: Write records for dnsmasq
  ansible.builtin.debug:
    msg: "{{ {'mysite.home.example': ['192.168.1.200']} | homecloud.k3s.local_dns_file('dnsmasq') }}"
"""

RETURN = r"""
_value:
  description: The content of the file.
  type: str
  sample: |
    local=/mysite.home.example/
    server=/*.mysite.home.example/#
    host-record=mysite.home.example,192.168.1.200
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns import local_dns_file

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"local_dns_file": local_dns_file}
