#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: web_site_info
short_description: Look at web sites as a browser does
description:
  - Asks web sites for a page and tells what comes back, and what there is to say of their certificates.
  - A site may be looked for at an address of one's choice, as the one in the public DNS may not be reached from inside
    of a home.
  - What is wrong with a site is returned, and does not fail the task.
  - Needs nothing but Python, and is told nothing by variables for proxies.
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
extends_documentation_fragment:
  - homecloud.k3s._attributes
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
    details: There is no difference to show.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  sites:
    description: The sites to look at, all at the same time.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Where the page is, as V(https://mysite.example.org/), with a port if it is not the usual one.
        type: str
        required: true
      address:
        description: The address to connect to, instead of the one that the host of O(sites[].url) has.
        type: str
  ca:
    description: Certificates of authorities, in PEM form, that are trusted besides those that Python trusts by itself.
    type: str
  timeout:
    description: How many seconds each step of a look may take, such as to connect.
    type: float
    default: 5
  wait_timeout:
    description:
      - How many seconds to wait until all sites are well. V(0) is one look.
      - A site is well if it answers with a status below 500, and with a certificate that is valid where it has one,
        see RV(sites[].certificate.valid).
    type: int
    default: 0
notes:
  - Redirections are not followed.
  - A certificate that is not trusted ends no look. What the site answers then may be from anybody.
"""

EXAMPLES = r"""
- name: Look at a site from inside of the home
  homecloud.k3s.web_site_info:
    sites:
      - url: https://mysite.example.org/
        address: 192.168.1.200
  register: seen

- name: Show what is wrong with its certificate
  ansible.builtin.debug:
    msg: The certificate is {{ seen.sites[0].certificate.problem }}.
  when: seen.sites[0].certificate.problem | default('')

- name: Wait until a site has a certificate of an authority of one's own, and its redirection leads there
  homecloud.k3s.web_site_info:
    sites:
      - url: https://mysite.example.org/
      - url: http://mysite.example.org/
    ca: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
    wait_timeout: 120
"""

RETURN = r"""
sites:
  description: What was seen of each of O(sites).
  returned: success
  type: list
  elements: dict
  sample:
    - url: https://mysite.example.org/
      address: 192.168.1.200
      http_status: 200
      location: ""
      first_line: Hello from node1
      error: ""
      certificate:
        names: [mysite.example.org]
        issuer: R11, Let's Encrypt
        not_after: "2027-02-19T03:14:15+00:00"
        days_left: 88
        self_signed: false
        valid: true
        trusted: true
        problem: ""
  contains:
    url:
      description: The URL that was asked for.
      type: str
      sample: https://mysite.example.org/
    address:
      description: The address that was asked. Where none answered, what O(sites[].address) says.
      type: str
      sample: 192.168.1.200
    http_status:
      description: The status of the answer. V(-1) if there was none.
      type: int
      sample: 200
    location:
      description: Where the answer sends a browser to. Empty if it does not.
      type: str
      sample: ""
    first_line:
      description: The first line of the page.
      type: str
      sample: Hello from node1
    error:
      description: What kept the site from answering. Empty if nothing did.
      type: str
      sample: ""
    certificate:
      description: The certificate of the site. V(null) without HTTPS, and where none was shown.
      type: dict
      sample:
        names: [mysite.example.org]
        issuer: R11, Let's Encrypt
        not_after: "2027-02-19T03:14:15+00:00"
        days_left: 88
        self_signed: false
        valid: true
        trusted: true
        problem: ""
      contains:
        names:
          description: The names and addresses that it is for.
          type: list
          elements: str
          sample: [mysite.example.org]
        issuer:
          description: The authority it is of, by its own name and that of its organization.
          type: str
          sample: R11, Let's Encrypt
        not_after:
          description: When it ends.
          type: str
          sample: "2027-02-19T03:14:15+00:00"
        days_left:
          description: The whole days until then. Negative once it has ended.
          type: int
          sample: 88
        self_signed:
          description: Whether nobody but the site itself has given it.
          type: bool
          sample: false
        valid:
          description: Whether an authority has given it for this host and this time, even one that is not trusted.
          type: bool
          sample: true
        trusted:
          description: Whether it is trusted for the host of O(sites[].url).
          type: bool
          sample: true
        problem:
          description: Why it is not trusted. Empty if it is.
          type: str
          sample: ""
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait
from ansible_collections.homecloud.k3s.plugins.module_utils._web_site import look, site_of, trusting

ARGUMENT_SPEC = {
    "sites": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"url": {"type": "str", "required": True}, "address": {"type": "str"}},
    },
    "ca": {"type": "str"},
    "timeout": {"type": "float", "default": 5},
    "wait_timeout": {"type": "int", "default": 0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    try:
        sites = [site_of(**asked) for asked in params["sites"]]
        trust = trusting(params["ca"])
    except ValueError as exc:
        module.fail_json(msg=str(exc))
    sights = wait(
        lambda: look(sites, trust, params["timeout"]),
        lambda seen: all(sight.is_well for sight in seen),
        params["wait_timeout"],
    )
    module.exit_json(changed=False, sites=[asdict(sight) for sight in sights])


if __name__ == "__main__":
    main()
