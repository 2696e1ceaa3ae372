#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traefik_info
short_description: Read what Traefik there is on a k3s cluster, and why it gets no certificates
description:
  - Reads the Traefik that k3s packages, which values its chart was given over those of k3s, whether they are in force,
    which hosts it is asked to serve, and what its log says of certificates that it does not get.
  - Runs where the API of the cluster is within reach, as on the controller, not on a node.
author: homecloud.k3s contributors (@homecloud-k3s)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - homecloud.k3s._attributes
  - homecloud.k3s._attributes.actiongroup_k3s
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  values:
    description:
      - The values of the chart that are to be in force, as P(homecloud.k3s.traefik_wish#filter) makes them.
        Without any, Traefik is to be as k3s has it.
    type: dict
    default: {}
  present:
    description: Objects that are to be there. RV(differences) says which are not, or not as they are here.
    type: list
    elements: dict
    default: []
  absent:
    description: Objects that are not to be there. RV(surplus) says which are, if O(field_manager) made them.
    type: list
    elements: dict
    default: []
  inputs:
    description: Objects that Traefik reads only when it starts, see RV(outdated).
    type: list
    elements: dict
    default: []
  storage:
    description: The file in Traefik's pod that it keeps certificates in, see RV(storage).
    type: str
  certificates:
    description: The names to look for in Traefik's log, see RV(diagnosis).
    type: list
    elements: str
    default: []
  certificates_since:
    description: How many seconds ago Traefik may have spoken of O(certificates). Without it, whatever it said counts.
    type: int
  field_manager:
    description: The field manager of whatever is to be told apart from what others have made.
    type: str
    default: homecloud.k3s
  wait:
    description:
      - Whether to wait until O(values) are in force. Where they do not come into force, the task fails and says why.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 120
requirements:
  - kubernetes >= 24.2.0
  - PyYAML
"""

EXAMPLES = r"""
- name: Read what Traefik does
  homecloud.k3s.traefik_info:
  register: traefik

- name: Show who serves what
  ansible.builtin.debug:
    msg: "{{ item.host }}{{ item.path }} by {{ item.kind }} {{ item.namespace }}/{{ item.name }}"
  loop: "{{ traefik.claims }}"

- name: Ask why a site has no certificate
  homecloud.k3s.traefik_info:
    certificates: [mysite.home.example]
"""

RETURN = r"""
chart:
  description: The chart by which k3s installs Traefik. V(null) if it does not.
  returned: success
  type: dict
  sample: {version: 39.0.701+up39.0.7, major: 39}
  contains:
    version:
      description: Its version. Empty if the chart is not one of k3s's own.
      type: str
      sample: 39.0.701+up39.0.7
    major:
      description: The first number of it.
      type: int
      sample: 39
configuration:
  description: The HelmChartConfig of Traefik. V(null) if there is none.
  returned: success
  type: dict
  sample:
    ours: true
    settings: {additionalArguments: [--accesslog=true]}
    values_content: "additionalArguments: [--accesslog=true]\n"
  contains:
    ours:
      description: Whether O(field_manager) made it.
      type: bool
      sample: true
    settings:
      description: The values that it gives to the chart.
      type: dict
      sample: {additionalArguments: [--accesslog=true]}
    values_content:
      description: The same as it is written.
      type: str
      sample: "additionalArguments: [--accesslog=true]\n"
deployment:
  description: Traefik itself. V(null) if it is not there.
  returned: success
  type: dict
  sample: {version: 3.6.12, arguments: [--ping=true], wanted: 1, ready: 1}
  contains:
    version:
      description: The tag of its image.
      type: str
      sample: 3.6.12
    arguments:
      description: What it is started with.
      type: list
      elements: str
      sample: [--ping=true]
    wanted:
      description: How many pods there should be.
      type: int
      sample: 1
    ready:
      description: How many of them are ready. 0 while an older state of it is being replaced.
      type: int
      sample: 1
in_force:
  description: Whether Traefik runs as O(values) say.
  returned: success
  type: bool
  sample: true
outdated:
  description: Whether Traefik was started before one of O(inputs) was last written.
  returned: success
  type: bool
  sample: false
addresses:
  description: The addresses at which it is reached on the LAN.
  returned: success
  type: list
  elements: str
  sample: [192.168.1.200]
claims:
  description: The hosts and paths that IngressRoutes and Ingresses ask for.
  returned: success
  type: list
  elements: dict
  sample: [{host: mysite.home.example, path: /, kind: IngressRoute, namespace: default, name: mysite}]
  contains:
    host:
      description: The host.
      type: str
      sample: mysite.home.example
    path:
      description: The path, or what it begins with.
      type: str
      sample: /
    kind:
      description: The kind of the object that asks for it.
      type: str
      sample: IngressRoute
    namespace:
      description: The namespace of the object.
      type: str
      sample: default
    name:
      description: The name of the object.
      type: str
      sample: mysite
old_objects:
  description: Objects of the group C(traefik.containo.us), which no Traefik since 3.0 serves.
  returned: success
  type: list
  elements: str
  sample: []
differences:
  description: The objects of O(present) that are not there, or not as they are written.
  returned: success
  type: list
  elements: str
  sample: [HelmChartConfig kube-system/traefik]
surplus:
  description: The objects of O(absent) that are there, if O(field_manager) made them.
  returned: success
  type: list
  elements: dict
  sample: []
storage:
  description: What O(storage) holds. V(null) if it is not given, or Traefik does not run. Keys are never told.
  returned: success
  type: dict
  sample: {pod: traefik-6c5f, sha256: 9f86d081884c7d65, certificates: [[mysite.home.example]]}
  contains:
    pod:
      description: The pod that has it.
      type: str
      sample: traefik-6c5f
    sha256:
      description: The hash of the file. Empty if there is none yet.
      type: str
      sample: 9f86d081884c7d65
    certificates:
      description: The names of each certificate.
      type: list
      elements: list
      sample: [[mysite.home.example]]
diagnosis:
  description:
    - Why the certificates of O(certificates) are not there, or why O(values) do not come into force.
    - Each fault has C(code), C(severity), C(host) (empty), C(message), C(evidence) and C(advice).
  returned: always
  type: list
  elements: dict
  sample: []
"""

import typing as t
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import fail
from ansible_collections.homecloud.k3s.plugins.module_utils._traefik_reading import (
    Look,
    Wish,
    certificate_faults,
    compare,
    explain,
    look,
    read_storage,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

ARGUMENT_SPEC = {
    "values": {"type": "dict", "default": {}},
    "present": {"type": "list", "elements": "dict", "default": []},
    "absent": {"type": "list", "elements": "dict", "default": []},
    "inputs": {"type": "list", "elements": "dict", "default": []},
    "storage": {"type": "str"},
    "certificates": {"type": "list", "elements": "str", "default": []},
    "certificates_since": {"type": "int"},
    "field_manager": {"type": "str", "default": "homecloud.k3s"},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
}


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENT_SPEC}, supports_check_mode=True)
    params = module.params
    try:
        cluster = Cluster(get_api_client(module))
        seen, faults = read(cluster, params)
        beside = read_beside(cluster, params, seen)
    # Whatever the client raises: its exceptions have no base of their own.
    except Exception as exc:  # pylint: disable=broad-exception-caught
        fail(module, "Traefik", exc)
        return
    diagnosis = [asdict(fault) for fault in faults]
    if params["wait"] and seen.lacking:
        head = f"Traefik is not as it should be after {params['wait_timeout']} s at most: {', '.join(seen.lacking)}."
        module.fail_json(msg="\n".join([head, *fault_lines(diagnosis)]), diagnosis=diagnosis)
    module.exit_json(changed=False, **seen.told, **beside, diagnosis=diagnosis)


def read(cluster: Cluster, params: Mapping[str, t.Any]) -> tuple[Look, list[Fault]]:
    wish = Wish(params["values"], params["inputs"], params["field_manager"])
    timeout = params["wait_timeout"] if params["wait"] else 0
    first = wait(lambda: look(cluster, wish), lambda _state: True, timeout)
    seen = (
        wait(
            lambda: look(cluster, wish),
            lambda state: not state.lacking or state.has_failed_since(first),
            timeout,
        )
        if first.lacking
        else first
    )
    if params["wait"] and seen.lacking:
        return seen, explain(cluster)
    names, seconds = params["certificates"], params["certificates_since"]
    return seen, certificate_faults(cluster, names, seconds) if names else []


def read_beside(cluster: Cluster, params: Mapping[str, t.Any], seen: Look) -> dict[str, t.Any]:
    """What is only told if it is asked for, or compared with what is given."""
    if seen.told["chart"] is None:
        return {"differences": [], "surplus": [], "storage": None}
    storage = read_storage(cluster, params["storage"]) if params["storage"] else None
    return {**compare(cluster, params["present"], params["absent"], params["field_manager"]), "storage": storage}


if __name__ == "__main__":
    main()
