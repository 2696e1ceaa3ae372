#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_service_info
short_description: Say of Kubernetes Services whether they serve, and why not
description:
  - Reads Services, their endpoints and addresses, and who announces these.
  - Of each that does not serve it says why, and what to do about it.
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
  name:
    description:
      - The names of Services. Each may have its namespace before it, as V(default/mysite).
      - All Services unless set. None with an empty list.
    type: list
    elements: str
  namespace:
    description: The namespace of the Services, for names without one V(default). All namespaces unless set.
    type: str
  label_selectors:
    description: The labels that the Services have, as V(app=mysite) or V(tier!=test).
    type: list
    elements: str
    default: []
  wait:
    description:
      - Whether to wait until all of them serve, and to fail if they do not. Those of O(name) also have to be there.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to wait.
    type: int
    default: 120
  rollouts:
    description:
      - Whether the Deployments and DaemonSets behind them have to be rolled out too. Then all of their pods are ready,
        and there are none left of an earlier state.
    type: bool
    default: false
seealso:
  - module: homecloud.k3s.kube_service
requirements:
  - kubernetes >= 24.2.0
  - PyYAML
"""

EXAMPLES = r"""
- name: Look at all Services
  homecloud.k3s.kube_service_info:
  register: cluster

- name: Show how they are
  ansible.builtin.debug:
    msg: "{{ cluster.table }}"

- name: Wait until what was just deployed serves
  homecloud.k3s.kube_service_info:
    name: [mysite, kube-system/kube-dns]
    wait: true
    rollouts: true

- name: Find what is wrong with those of a label
  homecloud.k3s.kube_service_info:
    namespace: default
    label_selectors: [app.kubernetes.io/name=mysite]
  register: sites
  failed_when: not sites.healthy
"""

RETURN = r"""
healthy:
  description: Whether all of them serve, and those of O(name) are there.
  returned: success
  type: bool
  sample: true
services:
  description: The Services.
  returned: success
  type: list
  elements: dict
  sample:
    - namespace: default
      name: mysite
      healthy: true
      service: {apiVersion: v1, kind: Service, metadata: {name: mysite, namespace: default}, spec: {type: LoadBalancer}}
      addresses: [192.168.1.200]
      node_ports: [{name: web, port: 80, protocol: TCP, node_port: 31234}]
      endpoints: [{address: 10.42.1.7, port: 80, node: node2, pod: mysite-7c5b, ready: true}]
      announced_by: [node2]
      diagnosis: []
  contains:
    namespace:
      description: Its namespace.
      type: str
      sample: default
    name:
      description: Its name.
      type: str
      sample: mysite
    healthy:
      description: Whether it serves.
      type: bool
      sample: true
    service:
      description: The Service as the API has it.
      type: dict
      sample: {apiVersion: v1, kind: Service, metadata: {name: mysite, namespace: default}, spec: {type: LoadBalancer}}
    addresses:
      description: The addresses that a load balancer has given it.
      type: list
      elements: str
      sample: [192.168.1.200]
    node_ports:
      description: The ports of all nodes that lead to it, see RV(homecloud.k3s.kube_service#module:node_ports).
      type: list
      elements: dict
      sample: [{name: web, port: 80, protocol: TCP, node_port: 31234}]
    endpoints:
      description: The pods and other addresses behind it, see RV(homecloud.k3s.kube_service#module:endpoints).
      type: list
      elements: dict
      sample: [{address: 10.42.1.7, port: 80, node: node2, pod: mysite-7c5b, ready: true}]
    announced_by:
      description: The nodes that answer for its addresses on the LAN. Empty if they are not of MetalLB.
      type: list
      elements: str
      sample: [node2]
    diagnosis:
      description: Why it does not serve, see RV(homecloud.k3s.kube_service#module:diagnosis).
      type: list
      elements: dict
      sample: []
diagnosis:
  description: What is wrong with all of them together, see RV(homecloud.k3s.kube_service#module:diagnosis).
  returned: always
  type: list
  elements: dict
  sample: []
table:
  description: The Services as lines of text.
  returned: always
  type: list
  elements: str
  sample:
    - SERVICE         TYPE          ADDRESS        PORTS           ENDPOINTS  ANNOUNCED BY  SERVES
    - default/mysite  LoadBalancer  192.168.1.200  80:31234/TCP    3/3        node2         yes
"""

import typing as t
from dataclasses import asdict
from itertools import chain

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import fail
from ansible_collections.homecloud.k3s.plugins.module_utils._service_answer import answer, service_table
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import Scope
from ansible_collections.homecloud.k3s.plugins.module_utils._service_wait import Wish, serve
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

if t.TYPE_CHECKING:
    from collections.abc import Mapping

ARGUMENT_SPEC = {
    "name": {"type": "list", "elements": "str"},
    "namespace": {"type": "str"},
    "label_selectors": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 120},
    "rollouts": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleK8SModule(argument_spec={**AUTH_ARG_SPEC, **ARGUMENT_SPEC}, supports_check_mode=True)
    try:
        result = read(Cluster(get_api_client(module)), module.params)
    # Whatever the client raises: its exceptions have no base of their own.
    except Exception as exc:  # pylint: disable=broad-exception-caught
        fail(module, "the Services", exc)
        return
    if module.params["wait"] and not result["healthy"]:
        head = f"Not all Services serve after {module.params['wait_timeout']} s."
        # Not the Services themselves, among which the reasons would be lost.
        shown = {name: result[name] for name in ("diagnosis", "table")}
        module.fail_json(msg="\n".join([head, *fault_lines(result["diagnosis"])]), **shown)
    module.exit_json(changed=False, **result)


def read(cluster: Cluster, params: Mapping[str, t.Any]) -> dict[str, t.Any]:
    wish = Wish(_scope(params), _names(params))
    seen, faults = serve(cluster, wish, params["wait_timeout"] if params["wait"] else 0)
    services = [
        {
            "namespace": place[0],
            "name": place[1],
            "healthy": not faults.get(place),
            **answer(service, seen.snapshot, faults.get(place, [])),
        }
        for place, service in seen.services.items()
    ]
    return {
        "healthy": not any(faults.values()),
        "services": services,
        "diagnosis": [asdict(fault) for fault in chain.from_iterable(faults.values())],
        "table": service_table(services),
    }


def _names(params: Mapping[str, t.Any]) -> list[tuple[str, str]] | None:
    """The namespace and the name of each Service that is asked for; None are all."""
    parts = [name.rpartition("/") for name in params["name"] or []]
    places = [(namespace or params["namespace"] or "default", name) for namespace, _slash, name in parts]
    return None if params["name"] is None else places


def _scope(params: Mapping[str, t.Any]) -> Scope:
    """As little of the cluster as has them all."""
    names = _names(params) or []
    namespaces = {namespace for namespace, _name in names} or {params["namespace"] or ""}
    return Scope(
        namespace=namespaces.pop() if len(namespaces) == 1 else "",
        name=names[0][1] if len(names) == 1 else "",
        label_selector=",".join(params["label_selectors"]),
        workloads=params["rollouts"],
    )


if __name__ == "__main__":
    main()
