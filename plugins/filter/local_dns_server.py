# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: local_dns_server
short_description: See whether a host can serve DNS to the LAN
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
description:
  - Says at which address it can, and which servers it asks for names that it does not know.
  - Names what speaks against it, such as another program that listens there.
positional: address, upstream, resolvers, peers, runs
options:
  _input:
    description: What M(homecloud.k3s.k3s_info) has read of the host.
    type: dict
    required: true
  address:
    description: The address to serve at; V("") for that of the default route.
    type: str
    required: true
  upstream:
    description: The servers to ask. If empty, those that the host itself uses.
    type: list
    elements: str
    required: true
  resolvers:
    description: The texts of the files, such as C(/etc/resolv.conf), of which the first counts that names servers.
    type: list
    elements: str
    required: true
  peers:
    description: The addresses of all hosts that serve the home, which are not taken for servers to ask.
    type: list
    elements: str
    required: true
  runs:
    description: Whether the dnsmasq that listens at this address is the one that is to serve.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: See whether a host can serve the LAN
  ansible.builtin.debug:
    msg: "{{ reading | homecloud.k3s.local_dns_server('', [], ['nameserver 192.168.1.1'], [], false) }}"
  vars:
    reading:
      os: {id: debian, id_like: [], version_id: "12", pretty_name: Debian GNU/Linux 12 (bookworm)}
      default_route: {interface: eth0, gateway: 192.168.1.1, address: 192.168.1.102}
      interfaces:
        - {name: eth0, kind: ethernet, addresses: [192.168.1.102/24]}
      ports:
        - {protocol: udp, address: 192.168.1.102, port: 53, process: named}
      firewall: []
"""

RETURN = r"""
_value:
  description: How it can serve.
  type: dict
  contains:
    address:
      description: The address to serve at.
      type: str
    upstream:
      description: The servers to ask.
      type: list
      elements: str
    faults:
      description: What speaks against it, each with C(code), C(severity), C(host), C(message), C(evidence), C(advice).
      type: list
      elements: dict
  sample:
    address: 192.168.1.102
    upstream: [192.168.1.1]
    faults:
      - code: port_taken
        severity: error
        host: ""
        message: Another program serves DNS at the address of the host.
        evidence: named on 192.168.1.102 port 53/udp
        advice: Stop it, or have it listen at other addresses, as 127.0.0.1.
"""

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns_server import local_dns_server

if t.TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    def filters(self) -> dict[str, Callable[..., t.Any]]:
        return {"local_dns_server": local_dns_server}
