#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_info
short_description: Ask a DNS server for the addresses of names
description:
  - Asks one server, whatever the resolver of the host is set to, for the IPv4 and the IPv6 addresses of names.
  - Needs nothing on the host but Python.
  - That a name has no address, or that nobody answers, is told and is no failure.
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
    details: Asks the same in check mode.
  diff_mode:
    support: none
    details: There is no difference to show.
  idempotent:
    support: full
    details: Never changes anything.
  platform:
    platforms: posix
    support: full
options:
  server:
    description: The address of the server.
    type: str
    required: true
  port:
    description: The port of the server.
    type: int
    default: 53
  names:
    description: The names, whole ones; no search domain is put behind them.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Ask the router
  homecloud.k3s.dns_info:
    server: 192.168.1.1
    names: [mysite.home.example]
  delegate_to: localhost
  register: dns

- name: Say that clients are led out of the house
  ansible.builtin.debug:
    msg: "The router sends clients to {{ mysite.addresses | join(', ') }}."
  vars:
    mysite: "{{ dns.answers['mysite.home.example'] }}"
  when: mysite.addresses != ['192.168.1.200']
"""

RETURN = r"""
answers:
  description: What the server says of each name.
  returned: success
  type: dict
  sample:
    mysite.home.example: {status: NOERROR, addresses: [192.168.1.200]}
    nosuch.home.example: {status: NXDOMAIN, addresses: []}
  contains:
    status:
      description:
        - V(NOERROR) if the name is there, if only without an address, else the server's reason, such as V(NXDOMAIN).
        - V(no answer:) and what went wrong if nobody answers.
      type: str
    addresses:
      description: The addresses of both families, sorted as text.
      type: list
      elements: str
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._dns import addresses

ARGUMENT_SPEC = {
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
    "names": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        answers = addresses(module.params["server"], module.params["port"], module.params["names"])
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False, answers={name: asdict(answer) for name, answer in answers.items()})


if __name__ == "__main__":
    main()
