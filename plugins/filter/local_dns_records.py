# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: local_dns_records
short_description: Put the names together that are to be known inside the home
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Takes the user's records and the names of web services, and says what is wrong with them.
  - A record of the user comes before that of a web service.
positional: hosts, web_addresses, format
options:
  _input:
    description: The records of the user, as O(homecloud.k3s.local_dns#role:main:local_dns_records).
    type: dict
    required: true
  hosts:
    description: The names of web services, as O(homecloud.k3s.local_dns#role:main:local_dns_hosts).
    type: list
    elements: str
    required: true
  web_addresses:
    description: The addresses at which web services are reached on the LAN.
    type: list
    elements: str
    required: true
  format:
    description: How they are to be written, see P(homecloud.k3s.local_dns_file#filter).
    type: str
    choices: [dnsmasq, unbound, hosts]
    required: true
"""

EXAMPLES = r"""
- name: Put records together
  ansible.builtin.debug:
    msg: "{{ records | homecloud.k3s.local_dns_records(['mysite.home.example'], ['192.168.1.200'], 'dnsmasq') }}"
  vars:
    records:
      nas.home.example: 192.168.1.10
"""

RETURN = r"""
_value:
  description: What was put together.
  type: dict
  contains:
    records:
      description: The addresses of each name. One that begins with V(*.) stands for all below it.
      type: dict
    questions:
      description: The same for names that can be asked for, to see whether a server has them.
      type: dict
    faults:
      description: What is wrong, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
  sample:
    records: {mysite.home.example: [192.168.1.200], nas.home.example: [192.168.1.10]}
    questions: {mysite.home.example: [192.168.1.200], nas.home.example: [192.168.1.10]}
    faults: []
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns import local_dns_records

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"local_dns_records": local_dns_records}
