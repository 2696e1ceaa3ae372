#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_service
short_description: Have a Kubernetes Service, and wait until it serves
description:
  - Makes a Service what the task says, by server-side apply. What the task does not name any more is removed, what
    others have set stays.
  - Then waits until it serves. Where it does not, it says why, and what to do about it.
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
    details:
      - It asks the API for a dry run, which does not find that a node port is out of range.
  diff_mode:
    support: full
    details:
      - It shows what the user has a say in. Node ports and addresses that the cluster chooses are not among it.
  idempotent:
    support: full
  platform:
    platforms: posix
    support: full
options:
  state:
    description:
      - With V(absent) the Service is removed.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The name of the Service.
    type: str
    required: true
  namespace:
    description: The namespace of the Service, which has to be there.
    type: str
    default: default
  type:
    description: Where the Service can be reached.
    type: str
    choices: [ClusterIP, NodePort, LoadBalancer, ExternalName]
    default: ClusterIP
  ports:
    description: The ports of the Service. If there are several, each needs a name.
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the port.
        type: str
      port:
        description: The port at which the Service is reached.
        type: int
        required: true
      target_port:
        description:
          - The port of the pods, by its number or by the name that the pods give it. O(ports[].port) unless set.
        type: str
      node_port:
        description: The port of all nodes that leads to the Service. The cluster chooses one unless set.
        type: int
      protocol:
        description: The protocol of the port.
        type: str
        choices: [TCP, UDP, SCTP]
        default: TCP
      app_protocol:
        description: What is spoken over the protocol, as V(http) or V(kubernetes.io/h2c).
        type: str
  selector:
    description: The labels of the pods that serve. Without it somebody has to make the EndpointSlices.
    type: dict
  labels:
    description: The labels of the Service.
    type: dict
  annotations:
    description: The annotations of the Service.
    type: dict
  cluster_ip:
    description:
      - An address of the Services' network. The cluster chooses one unless set.
      - V(None), written so, makes the Service headless.
      - It cannot be changed, see O(recreate).
    type: str
  ip_families:
    description: The families of the addresses, in their order.
    type: list
    elements: str
    choices: [IPv4, IPv6]
  ip_family_policy:
    description: Whether it has addresses of one family or of both.
    type: str
    choices: [SingleStack, PreferDualStack, RequireDualStack]
  external_ips:
    description:
      - Addresses for which every node takes what comes for the Service. How it gets to a node is not the cluster's
        affair.
    type: list
    elements: str
  external_name:
    description: The name that an O(type=ExternalName) stands for.
    type: str
  external_traffic_policy:
    description:
      - With V(Local) only pods of the node serve to which something came from outside, and they see who sent it.
      - With V(Cluster) all pods serve, and see an address of that node as the sender.
    type: str
    choices: [Cluster, Local]
  internal_traffic_policy:
    description: With V(Local) only pods of the same node serve what comes from pods.
    type: str
    choices: [Cluster, Local]
  traffic_distribution:
    description: Which pods to prefer, as V(PreferSameNode) or V(PreferSameZone).
    type: str
  health_check_node_port:
    description:
      - The port at which nodes say whether they have pods, with O(external_traffic_policy=Local). The cluster chooses
        one unless set.
      - It cannot be changed, see O(recreate).
    type: int
  session_affinity:
    description: With V(ClientIP) a sender always gets to the same pod.
    type: str
    choices: ["None", ClientIP]
  session_affinity_timeout:
    description: After how many seconds without a word O(session_affinity=ClientIP) forgets a sender.
    type: int
  publish_not_ready_addresses:
    description: Whether pods serve that are not ready, as members of a cluster need that have to find each other first.
    type: bool
  load_balancer_class:
    description:
      - Which load balancer shall serve an O(type=LoadBalancer). The default one unless set.
      - It cannot be changed, see O(recreate).
    type: str
  load_balancer_source_ranges:
    description: The networks that may send something to an O(type=LoadBalancer).
    type: list
    elements: str
  allocate_load_balancer_node_ports:
    description: Whether an O(type=LoadBalancer) also has node ports. MetalLB does not need them.
    type: bool
  load_balancer_ips:
    description: The addresses that MetalLB shall give, one for each family.
    type: list
    elements: str
  address_pool:
    description: The pool from which MetalLB shall give an address.
    type: str
  allow_shared_ip:
    description:
      - A word. Services of O(type=LoadBalancer) that have the same one here may have the same address from MetalLB,
        if they have different ports.
    type: str
  force_conflicts:
    description:
      - Whether to take over fields that others have set to other values. Otherwise the task fails, and names them.
    type: bool
    default: false
  recreate:
    description:
      - Whether to delete the Service and make it anew where something is to be changed that cannot be.
      - It does not serve meanwhile, and may get other addresses and node ports.
    type: bool
    default: false
  wait:
    description:
      - Whether to wait until the Service serves. Then enough of its endpoints are ready, it has the address that it
        asks for, and, if it is MetalLB that gave it, a node announces it.
      - A pod that has no readiness probe counts as ready as soon as it runs, even if it ends at once. An O(probe) is
        not deceived by that.
      - With O(state=absent) whether to wait until it is gone and its address free.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 120
  wait_endpoints:
    description:
      - How many endpoints have to be ready, at each port. With V(0) it is not waited for pods, and not for an
        announcement.
    type: int
    default: 1
  probe:
    description:
      - To wait also until the Service answers from where the task runs. At every address of the load balancer, or with
        O(type=NodePort) at every node that is Ready, or else at the cluster IP, which is reached on nodes only.
    type: dict
    suboptions:
      protocol:
        description: Whether it shall take a connection, or answer a request with one of O(probe.status).
        type: str
        choices: [tcp, http]
        default: tcp
      port:
        description: The port of the Service, by its name or number. The first of TCP unless set.
        type: str
      path:
        description: What to ask for with O(probe.protocol=http).
        type: str
        default: /
      status:
        description: The HTTP statuses that are an answer. Redirections are not followed.
        type: list
        elements: int
        default: [200]
seealso:
  - module: homecloud.k3s.kube_service_info
  - module: homecloud.k3s.metallb_info
requirements:
  - kubernetes >= 24.2.0
  - PyYAML
"""

EXAMPLES = r"""
- name: Publish a web site on the LAN, and wait for its page
  homecloud.k3s.kube_service:
    name: mysite
    type: LoadBalancer
    selector: {app.kubernetes.io/name: mysite}
    ports:
      - {name: web, port: 80, target_port: web}
    probe: {protocol: http}
  register: mysite

- name: Show where it is
  ansible.builtin.debug:
    msg: "{{ mysite.addresses | join(', ') }}, announced by {{ mysite.announced_by | join(', ') }}"

- name: Have an address of a certain pool, and no node ports
  homecloud.k3s.kube_service:
    name: mysite-of-home
    type: LoadBalancer
    selector: {app.kubernetes.io/name: mysite}
    ports:
      - {name: web, port: 8080, target_port: web}
    address_pool: home
    allocate_load_balancer_node_ports: false

- name: Reach it on a port of every node
  homecloud.k3s.kube_service:
    name: everywhere
    type: NodePort
    selector: {app.kubernetes.io/name: mysite}
    ports:
      - {name: web, port: 80, target_port: 80, node_port: 30090}

- name: Make it reachable inside of the cluster only, with a name for each pod
  homecloud.k3s.kube_service:
    name: everywhere
    cluster_ip: None
    selector: {app.kubernetes.io/name: mysite}
    ports:
      - {name: web, port: 80}
    recreate: true

- name: Remove them
  homecloud.k3s.kube_service:
    name: "{{ item }}"
    state: absent
  loop: [mysite-of-home, everywhere]
"""

RETURN = r"""
service:
  description:
    - The Service as the API has it. In check mode as it would be, with node ports and addresses that will be others.
  returned: success and O(state=present)
  type: dict
  sample: {apiVersion: v1, kind: Service, metadata: {name: mysite, namespace: default}, spec: {type: LoadBalancer}}
addresses:
  description: The addresses that a load balancer has given it.
  returned: O(state=present)
  type: list
  elements: str
  sample: [192.168.1.200]
node_ports:
  description: The ports of all nodes that lead to it.
  returned: O(state=present)
  type: list
  elements: dict
  sample:
    - {name: web, port: 80, protocol: TCP, node_port: 31234}
  contains:
    name:
      description: The name of its port. Empty if it has none.
      type: str
      sample: web
    port:
      description: Its port.
      type: int
      sample: 80
    protocol:
      description: V(TCP), V(UDP) or V(SCTP).
      type: str
      sample: TCP
    node_port:
      description: The port of the nodes.
      type: int
      sample: 31234
endpoints:
  description: The pods and other addresses behind it, one record for each of its ports.
  returned: O(state=present)
  type: list
  elements: dict
  sample:
    - {address: 10.42.1.7, port: 80, node: node2, pod: mysite-7c5b, ready: true}
  contains:
    address:
      description: The address of the pod.
      type: str
      sample: 10.42.1.7
    port:
      description: The port of the pod. V(null) if the Service has none.
      type: int
      sample: 80
    node:
      description: The node of the pod. Empty if the endpoint is no pod's.
      type: str
      sample: node2
    pod:
      description: The name of the pod. Empty if the endpoint is no pod's.
      type: str
      sample: mysite-7c5b
    ready:
      description: Whether it serves.
      type: bool
      sample: true
announced_by:
  description: The nodes that answer for its addresses on the LAN. Empty if they are not of MetalLB.
  returned: O(state=present)
  type: list
  elements: str
  sample: [node2]
diagnosis:
  description: Why it does not serve. Empty if it does, and if it was not waited for.
  returned: always
  type: list
  elements: dict
  sample:
    - code: pool_exhausted
      severity: error
      host: ""
      message: The pool home has no free address for Service default/mysite.
      evidence: default/a has 192.168.1.200
      advice: Give the pool more addresses in metallb_pools.
  contains:
    code:
      description: A word for what is wrong.
      type: str
      sample: pool_exhausted
    severity:
      description: V(error) or V(warning).
      type: str
      sample: error
    host:
      description: Empty. It is there because all modules of the collection have the same record.
      type: str
      sample: ""
    message:
      description: What is wrong.
      type: str
      sample: The pool home has no free address for Service default/mysite.
    evidence:
      description: By what it was seen.
      type: str
      sample: default/a has 192.168.1.200
    advice:
      description: What to do.
      type: str
      sample: Give the pool more addresses in metallb_pools.
"""

import typing as t
from dataclasses import replace

from ansible_collections.homecloud.k3s.plugins.module_utils import _service as wished
from ansible_collections.homecloud.k3s.plugins.module_utils import _service_probe as probing
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, named
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import fail
from ansible_collections.homecloud.k3s.plugins.module_utils._service_answer import answer
from ansible_collections.homecloud.k3s.plugins.module_utils._service_apply import Manner, apply, remove
from ansible_collections.homecloud.k3s.plugins.module_utils._service_change import changes
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import Scope
from ansible_collections.homecloud.k3s.plugins.module_utils._service_wait import Wish, look, serve
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import place
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

ARGUMENT_SPEC = {
    **wished.OPTIONS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "force_conflicts": {"type": "bool", "default": False},
    "recreate": {"type": "bool", "default": False},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 120},
    "wait_endpoints": {"type": "int", "default": 1},
    "probe": {"type": "dict", "options": probing.OPTIONS},
}


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENT_SPEC}, supports_check_mode=True)
    service = wished.identity(module.params)
    try:
        cluster = Cluster(get_api_client(module))
        run = present if module.params["state"] == "present" else absent
        result = run(cluster, module.params, module.check_mode)
    # Whatever the client raises: its exceptions have no base of their own.
    except Exception as exc:  # pylint: disable=broad-exception-caught
        fail(module, named(service), exc)
        return
    if result["diagnosis"]:
        head = f"{named(service)} is as asked, but does not serve after {module.params['wait_timeout']} s."
        # Not the Service itself, in which the reasons would be lost.
        shown = {name: value for name, value in result.items() if name != "service"}
        module.fail_json(msg="\n".join([head, *fault_lines(result["diagnosis"])]), **shown)
    module.exit_json(**result)


def present(cluster: Cluster, params: Mapping[str, t.Any], dry_run: bool) -> dict[str, t.Any]:
    wished.refuse_contradiction(params)
    wanted = wished.desired(params)
    probe = probing.Probe(**params["probe"]) if params["probe"] else None
    if probe:
        probing.asked_port(wanted, probe.port)  # refuses one that is not there before anything is changed
    before = cluster.current(wanted)
    manner = Manner(params["force_conflicts"], params["recreate"], dry_run, params["wait_timeout"])
    after = apply(cluster, wanted, before, manner)
    change = _change(before, after, wanted)
    name = place(after)
    # The pods show which endpoints are left of what it was before a change.
    scope = Scope(*name, pods=bool(before) and change["changed"])
    wish = Wish(scope, [name], params["wait_endpoints"], probe)
    if params["wait"] and not dry_run:
        seen, faults = serve(cluster, wish, params["wait_timeout"])
    else:
        seen, faults = look(cluster, replace(wish, probe=None)), {}
    now = after if dry_run else seen.services.get(name, after)
    return {**change, **answer(now, seen.snapshot, faults.get(name, []))}


def absent(cluster: Cluster, params: Mapping[str, t.Any], dry_run: bool) -> dict[str, t.Any]:
    wanted = wished.identity(params)
    before = cluster.current(wanted)
    if before and not dry_run:
        remove(cluster, before, params["wait_timeout"] if params["wait"] else None)
    return {**_change(before, None, wanted), "diagnosis": []}


def _change(
    before: KubernetesObject | None, after: KubernetesObject | None, wanted: KubernetesObject
) -> dict[str, t.Any]:
    old, new = changes(before, after, wanted)
    return {
        "changed": old != new,
        "diff": {"before": old, "after": new, "before_header": named(wanted), "after_header": named(wanted)},
    }


if __name__ == "__main__":
    main()
