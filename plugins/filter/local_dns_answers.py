# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: local_dns_answers
short_description: See whether a DNS server answers as it should
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Compares what M(homecloud.k3s.dns_info) was told with the records that the server is to have.
positional: questions, probes, upstream
options:
  _input:
    description: The answers.
    type: dict
    required: true
  questions:
    description: The addresses that names shall have, as P(homecloud.k3s.local_dns_records#filter) puts them together.
    type: dict
    required: true
  probes:
    description: Names that the server has to find outside.
    type: list
    elements: str
    required: true
  upstream:
    description: The servers that it asks for these.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See whether a server leads clients out of the house
  ansible.builtin.debug:
    msg: "{{ answers | homecloud.k3s.local_dns_answers({'mysite.home.example': ['192.168.1.200']}, [], []) }}"
  vars:
    answers:
      mysite.home.example: {status: NOERROR, addresses: [203.0.113.7]}
"""

RETURN = r"""
_value:
  description: What is wrong, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
  type: list
  elements: dict
  sample:
    - code: wrong_answer
      severity: error
      host: ""
      message: The server does not answer as it should.
      evidence: "mysite.home.example: 203.0.113.7; wanted: 192.168.1.200"
      advice: Look at "systemctl status local-dns" on the host. Something in between may answer in its place.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns_server import local_dns_answers

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"local_dns_answers": local_dns_answers}
