#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: metallb_info
short_description: Read what MetalLB there is on a cluster, and what it does
description:
  - Reads MetalLB's parts, its pools, the addresses that Services have of them, which nodes announce these on the LAN,
    and whether MetalLB has accepted its configuration.
  - Recognises a MetalLB of before v0.13, which takes its pools from a ConfigMap, and converts these.
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
  manifest:
    description:
      - A manifest of MetalLB on the host. RV(differences) says what of the cluster is not as it is written there.
    type: path
  field_manager:
    description: The field manager of whatever is to be told apart from what others have made.
    type: str
    default: homecloud.k3s
  wait_for:
    description:
      - To wait until MetalLB is V(ready), see RV(ready), until it is V(configured), so that no part of it refuses its
        configuration, or until it is V(unused), and no Service has an address of it any more.
      - Where this does not come, the task fails and says why.
    type: str
    choices: [ready, configured, unused]
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 120
requirements:
  - kubernetes >= 24.2.0
  - PyYAML
"""

EXAMPLES = r"""
- name: Read what MetalLB does
  homecloud.k3s.metallb_info:
  register: metallb

- name: Wait until MetalLB can take pools
  homecloud.k3s.metallb_info:
    wait_for: ready

- name: Show which node announces which address
  ansible.builtin.debug:
    msg: "{{ item.addresses | join(', ') }} of {{ item.name }}: {{ item.announced_by | join(', ') }}"
  loop: "{{ metallb.services }}"
"""

RETURN = r"""
controller:
  description: The controller. V(null) if there is none.
  returned: success
  type: dict
  sample: {version: v0.16.2, ours: true, wanted: 1, ready: 1}
  contains: &workload
    version:
      description: The tag of its image. Empty if the image has none.
      type: str
      sample: v0.16.2
    ours:
      description: Whether O(field_manager) made it.
      type: bool
      sample: true
    wanted:
      description: How many pods there should be.
      type: int
      sample: 1
    ready:
      description: How many of them are ready. 0 while an older state of it is being replaced.
      type: int
      sample: 1
speakers:
  description: The speakers, one for each node that is Ready. V(null) if there are none.
  returned: success
  type: dict
  sample: {version: v0.16.2, ours: true, wanted: 3, ready: 3}
  contains: *workload
ready:
  description: Whether controller and speakers are ready, and the API can have pools validated by the controller.
  returned: success
  type: bool
  sample: true
pools:
  description: The pools, as O(homecloud.k3s.metallb#role:main:metallb_pools) writes them.
  returned: success
  type: list
  elements: dict
  sample:
    - name: home
      addresses: [192.168.1.200-192.168.1.225]
      auto_assign: true
      avoid_buggy_ips: false
      priority: 0
      namespaces: []
      namespace_selectors: []
      service_selectors: []
      advertise: {interfaces: [], node_selectors: []}
      ours: true
  contains:
    ours:
      description: Whether O(field_manager) made it.
      type: bool
      sample: true
    advertise:
      description:
        - Where its addresses are announced, by the C(L2Advertisement) of the same name. V(null) if there is none.
        - Other advertisements may name the pool too.
      type: dict
      sample: {interfaces: [eth0], node_selectors: []}
services:
  description: The Services of the type LoadBalancer.
  returned: success
  type: list
  elements: dict
  sample:
    - {namespace: default, name: mysite, addresses: [192.168.1.200], pool: home, announced_by: [node2]}
  contains:
    namespace:
      description: The namespace of the Service.
      type: str
      sample: default
    name:
      description: The name of the Service.
      type: str
      sample: mysite
    addresses:
      description: The addresses it has. Empty while it waits for one.
      type: list
      elements: str
      sample: [192.168.1.200]
    pool:
      description: The pool they are of. Empty if MetalLB gave it none.
      type: str
      sample: home
    announced_by:
      description: The nodes that answer for the addresses on the LAN.
      type: list
      elements: str
      sample: [node2]
configuration:
  description:
    - What each part of MetalLB says of its configuration. Empty with a MetalLB before v0.15.3, which does not say it.
    - A part that refuses its configuration goes on with the last one that it accepted.
  returned: success
  type: list
  elements: dict
  sample:
    - {component: controller, result: Valid, error: ""}
    - {component: speaker-node1, result: Valid, error: ""}
  contains:
    component:
      description: V(controller), or V(speaker-) and the name of its node.
      type: str
      sample: controller
    result:
      description: V(Valid), V(Invalid) or V(Unknown).
      type: str
      sample: Valid
    error:
      description: Why it is not valid.
      type: str
      sample: ""
old_configuration:
  description: What the ConfigMap of a MetalLB before v0.13 says. V(null) if MetalLB is newer, or not there.
  returned: success
  type: dict
  sample: {pools: [{name: default, addresses: [192.168.1.240-192.168.1.250]}], not_converted: []}
  contains:
    pools:
      description: Its pools, as O(homecloud.k3s.metallb#role:main:metallb_pools) writes them.
      type: list
      elements: dict
      sample: [{name: default, addresses: [192.168.1.240-192.168.1.250]}]
    not_converted:
      description: What it says of BGP, for which there is no such form.
      type: list
      elements: str
      sample: []
servicelb:
  description: The DaemonSets of the service load balancer of k3s, which must not run beside MetalLB.
  returned: success
  type: list
  elements: str
  sample: []
elsewhere:
  description: The speakers of another MetalLB, which is not where the manifest puts it. Helm does so.
  returned: success
  type: list
  elements: str
  sample: []
differences:
  description: The objects of O(manifest) that are not there, or not as it says. Secrets are not compared.
  returned: O(manifest) is given
  type: list
  elements: str
  sample: ["Deployment metallb-system/controller"]
surplus:
  description:
    - Objects that O(field_manager) made from another manifest of MetalLB and that are not in O(manifest).
    - Only looked for if there are RV(differences).
  returned: O(manifest) is given
  type: list
  elements: dict
  sample: []
diagnosis:
  description: What is wrong, as far as it is known, see RV(homecloud.k3s.kube_service#module:diagnosis).
  returned: O(wait_for) is not reached
  type: list
  elements: dict
  sample: []
"""

from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb_reading import GOALS, Goal, compare, explain, read
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import fail
from ansible_collections.homecloud.k3s.plugins.module_utils._waiting import wait
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

ARGUMENT_SPEC = {
    "manifest": {"type": "path"},
    "field_manager": {"type": "str", "default": "homecloud.k3s"},
    "wait_for": {"type": "str", "choices": [*GOALS]},
    "wait_timeout": {"type": "int", "default": 120},
}


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENT_SPEC}, supports_check_mode=True)
    params = module.params
    goal = GOALS.get(params["wait_for"], Goal("read", lambda _reading: []))
    timeout = params["wait_timeout"] if params["wait_for"] else 0
    try:
        cluster = Cluster(get_api_client(module))
        reading = wait(lambda: read(cluster, params["field_manager"]), lambda seen: not goal.missing(seen), timeout)
        comparison = compare(cluster, params["manifest"], params["field_manager"]) if params["manifest"] else {}
        missing = goal.missing(reading)
        faults = [asdict(fault) for fault in explain(cluster, reading)] if missing else []
    # Whatever the client raises: its exceptions have no base of their own.
    except Exception as exc:  # pylint: disable=broad-exception-caught
        fail(module, "MetalLB", exc)
        return
    if missing:
        head = f"MetalLB is not {goal.words} after {params['wait_timeout']} s: {', '.join(missing)}."
        module.fail_json(msg="\n".join([head, *fault_lines(faults)]), diagnosis=faults)
    module.exit_json(changed=False, **reading, **comparison)


if __name__ == "__main__":
    main()
