#!/usr/bin/python
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_path_info
short_description: Explain step by step how a packet to a Service reaches a pod
description:
  - Reads the rules of iptables and nftables on a node, follows a packet through them as the kernel does, and says which
    rules it meets, to which pods it is sent and with which likelihood, and which source these see.
  - Says what is wrong with the rules, as calls, rules and endpoints that are missing, left over or changed.
  - Runs on a node of the cluster, where it needs Python and the programs C(ip) and C(iptables-save), or that of k3s,
    and C(nft) if anything uses nftables by itself. It works the same on rules that were saved elsewhere, see O(ruleset)
    and O(ruleset_src).
  - It explains what kube-proxy writes in its mode C(iptables), by both variants of iptables, and in its mode
    C(nftables), with all that is around it, IPv4 and IPv6.
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
    details: Never changes anything.
  platform:
    platforms: linux
    support: full
options:
  service:
    description:
      - The Service whose ways are explained. It may have its namespace before it, as V(default/mysite).
      - Without it and O(destination) no way is explained, and it is said what is wrong with the rules for all Services.
    type: str
  namespace:
    description: The namespace of O(service).
    type: str
    default: default
  port:
    description:
      - The name or the number of a port of O(service), all of them if not given. The number of a node port is one too.
      - The number of the port at O(destination), where it has to be given.
    type: str
  destination:
    description: An address whose way is explained, be it of a Service, of a pod or of a node.
    type: str
  protocol:
    description: The protocol. For a O(service) all that it has, and for a O(destination) V(tcp), if not given.
    type: str
    choices: [tcp, udp, sctp]
  source:
    description:
      - The address of who asks. If it is one of the node, it is the node that asks.
      - If not given, someone outside of the cluster and its networks.
    type: str
  source_interface:
    description: The interface where the packet arrives, by default the one that the routes have for O(source).
    type: str
  ruleset:
    description:
      - What C(iptables-save) or C(ip6tables-save) has printed, with all tables. This is then explained, and nothing is
        read from the node.
      - Of kube-proxy's mode C(nftables), what C(nft --json list ruleset) has printed, or C(nft --json list table ip
        kube-proxy). What C(nft) prints of rules that C(iptables) has made is not all that these ask for, so it may
        depend on them what becomes of a packet.
    type: str
  ruleset_src:
    description: The path of a file with that, which may be compressed by gzip. It is looked for where the module runs.
    type: path
  local_addresses:
    description: The addresses of the node that the rules are from. Without, those of O(routes).
    type: list
    elements: str
    default: []
  routes:
    description: The routes of the node that the rules are from, as C(ip -json route) prints them.
    type: list
    elements: dict
    default: []
  ipset:
    description: The sets of the node that the rules are from, as C(ipset save) prints them.
    type: str
    default: ""
  conntrack:
    description: The connections of the node that the rules are from, as C(conntrack -L) prints them.
    type: str
    default: ""
  pod_cidrs:
    description: The networks of the cluster's pods. By default what the rules and routes say.
    type: list
    elements: str
    default: []
  services:
    description:
      - The Services of the cluster as the API has them. The rules are compared with those that kube-proxy
        writes for them.
      - Without, it is only found what the rules show by themselves.
    type: list
    elements: dict
  endpoint_slices:
    description: The EndpointSlices of the cluster as the API has them.
    type: list
    elements: dict
  node_name:
    description:
      - The name of the node in the cluster, which decides which endpoints are local to it.
      - By default the name of the host. It has to be given with O(services) for rules that are not read from the node.
    type: str
  zone:
    description: The zone of the node, its label C(topology.kubernetes.io/zone), if it has one.
    type: str
    default: ""
  trace:
    description:
      - For how many seconds to have the kernel trace the first packets of connections to what is asked for, and to
        compare what it tells with what is explained. Make such connections meanwhile.
      - Needs the program C(nft) on the node, and not the variant C(iptables-legacy). It has a table of its own for that
        time, which goes with the module, however that ends. Nothing is traced in check mode.
    type: int
    default: 0
notes:
  - Run it as root; without, rules cannot be read.
  - What cannot be known is said to be V(unknown), or to depend on it, and never guessed.
  - A client whose Service has an affinity is taken for one who comes for the first time.
  - In its mode C(nftables), kube-proxy serves no node ports at 127.0.0.1, rejects what is sent to another port of a
    cluster IP, and drops what is sent to an address of no Service if it knows their network.
seealso:
  - module: homecloud.k3s.kube_service_info
    description: Says whether a Service serves, by what the API knows.
"""

EXAMPLES = r"""
- name: Explain how a packet from outside reaches mysite by this node
  homecloud.k3s.kube_path_info:
    service: mysite
  become: true
  register: way

- name: Show it
  ansible.builtin.debug:
    msg: "{{ way.paths | map(attribute='table') }}"

- name: Explain how a pod reaches the cluster's DNS
  homecloud.k3s.kube_path_info:
    service: kube-system/kube-dns
    port: dns
    source: 10.42.0.9
  become: true

- name: Explain what becomes of a packet to an address
  homecloud.k3s.kube_path_info:
    destination: 192.168.1.200
    port: "80"
    source: 192.168.1.50
  become: true

- name: See whether anything is wrong with the rules of this node
  homecloud.k3s.kube_path_info:
  become: true
  register: rules
  failed_when: rules.findings | selectattr('severity', 'equalto', 'error') | length > 0

- name: Let the kernel confirm it, by the packets of the next ten seconds
  homecloud.k3s.kube_path_info:
    service: mysite
    trace: 10
  become: true

- name: Explain rules that someone has sent
  homecloud.k3s.kube_path_info:
    ruleset_src: /tmp/iptables-save.txt.gz
    service: mysite
    local_addresses: [192.168.1.101]
  delegate_to: localhost
"""

RETURN = r"""
paths:
  description: The ways, one for each front end and port that is asked for.
  returned: success
  type: list
  elements: dict
  sample:
    - frontend:
        kind: cluster_ip
        address: 10.43.0.41
        port: 80
        protocol: tcp
        service: default/mysite
        port_name: ""
      source: {address: 10.42.0.9, kind: pod, interface: cni0}
      verdict: dnat
      verdict_shares: {dnat: 1.0}
      masquerade: never
      reason: What is sent to 10.43.0.41 port 80 goes to one of 2 endpoints, which see its sender.
      endpoints:
        - {address: 10.42.0.7, port: 80, share: 0.5, masquerade: false, source_seen: 10.42.0.9}
        - {address: 10.42.1.4, port: 80, share: 0.5, masquerade: false, source_seen: 10.42.0.9}
      steps:
        - number: 1
          table: nat
          chain: PREROUTING
          rule: -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
          element: ""
          match: all
          action: go to KUBE-SERVICES
          share: 1.0
      table:
        - STEP  TABLE  CHAIN       MATCHED  ACTION               SHARE
        - 1     nat    PREROUTING  all      go to KUBE-SERVICES  all
  contains:
    frontend:
      description: Where the packet is sent to.
      type: dict
      contains:
        kind:
          description: V(cluster_ip), V(node_port), V(load_balancer), V(external_ip), V(host_port) or V(other).
          type: str
        address:
          description: The address. For a node port the one by which the node is reached.
          type: str
        port:
          description: The port.
          type: int
        protocol:
          description: The protocol.
          type: str
        service:
          description: The Service, with its namespace; V("") if it is none's.
          type: str
        port_name:
          description: The name of the Service's port; V("") if it has none.
          type: str
    source:
      description: Where it comes from.
      type: dict
      contains:
        address:
          description: The address.
          type: str
        kind:
          description: V(pod), V(node) or V(external).
          type: str
        interface:
          description: The interface where it arrives; V("") for the node itself, or if it is not known.
          type: str
    verdict:
      description:
        - What becomes of it. V(dnat) is sent to an endpoint, V(reject) and V(drop) are refused with and without a word,
          V(none) is neither, so that it goes on to the address that it was sent to.
        - V(unknown) if it depends on what cannot be known.
        - Where packets differ it is what becomes of most of them.
      type: str
    verdict_shares:
      description: Which part of all packets comes to which end.
      type: dict
    masquerade:
      description: Whether the pod sees another source than that of the packet, V(always), V(never) or V(depends).
      type: str
    reason:
      description: Why, in a sentence.
      type: str
    endpoints:
      description: Where it is sent.
      type: list
      elements: dict
      contains:
        address:
          description: The address of the pod.
          type: str
        port:
          description: The port there.
          type: int
        share:
          description: Which part of all packets is sent there.
          type: float
        masquerade:
          description: Whether it has the source of the node then.
          type: bool
        source_seen:
          description: The source that the pod sees; V("") if it is not known.
          type: str
    steps:
      description: The rules that match, in the order in which the kernel comes to them.
      type: list
      elements: dict
      contains:
        number:
          description: The number of the step, from 1.
          type: int
        table:
          description: The table of iptables, or that of nftables with its family before it.
          type: str
        chain:
          description: The chain.
          type: str
        rule:
          description:
            - The rule as C(iptables-save) or C(nft) prints it.
            - Of a map in it that is very long only the beginning.
          type: str
        element:
          description: The element of a map of nftables by which it matches; V("") if there is none.
          type: str
        match:
          description: What it asks for, without what is only for people.
          type: str
        action:
          description: What becomes of a packet that is so.
          type: str
        share:
          description: Which part of all packets comes so far.
          type: float
    table:
      description: The steps as lines of text.
      type: list
      elements: str
findings:
  description: What is wrong, the worst first. With a Service asked for, what matters for it.
  returned: success
  type: list
  elements: dict
  sample:
    - code: missing_jump
      severity: error
      message: "PREROUTING of nat does not call KUBE-SERVICES: packets that come this way miss the rules of kube-proxy."
      evidence: "not there: -A PREROUTING -j KUBE-SERVICES"
      advice: "Restart k3s on this node: kube-proxy then writes all of its rules anew. Pods keep running."
      table: nat
      chain: PREROUTING
      rule: -A PREROUTING -j KUBE-SERVICES
  contains:
    code:
      description:
        - V(missing_jump), V(dangling_jump), V(missing_rule), V(extra_rule), V(stale_endpoint), V(skewed_share) and
          V(duplicate_rule) are differences from what kube-proxy writes.
        - V(no_kube_proxy), V(both_backends), V(foreign_rule_first), V(refused_by_others), V(policy_drop),
          V(lossy_dump), V(unknown_match), V(stale_conntrack) and V(affinity_table_full) are about what is around it.
        - V(no_endpoint), V(no_local_endpoint), V(no_masquerade) and V(no_loopback_node_port) are what kube-proxy does
          where it can do no better.
      type: str
    severity:
      description: V(error), V(warning), or V(info) for what is by design.
      type: str
    message:
      description: What is wrong.
      type: str
    evidence:
      description: By what it was seen.
      type: str
    advice:
      description: What to do.
      type: str
    table:
      description: The table of the rule; V("") if it is not about one.
      type: str
    chain:
      description: The chain of the rule; V("") if it is not about one.
      type: str
    rule:
      description: The rule; V("") if it is not about one.
      type: str
trace:
  description: What the kernel has shown.
  returned: with O(trace), not in check mode
  type: dict
  sample:
    seen: 3
    agrees: true
    steps:
      - number: 1
        table: nat
        chain: PREROUTING
        rule: -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        seen: 3
    differences: []
  contains:
    seen:
      description: How many packets were traced.
      type: int
    agrees:
      description: Whether there were any, and all went as explained.
      type: bool
    steps:
      description: The rules that they matched.
      type: list
      elements: dict
      contains:
        number:
          description: The number of the step, from 1.
          type: int
        table:
          description: The table of iptables, or that of nftables with its family before it.
          type: str
        chain:
          description: The chain.
          type: str
        rule:
          description: The rule as C(iptables-save) or C(nft) prints it.
          type: str
        seen:
          description: How many of the packets matched it.
          type: int
    differences:
      description: Where they went otherwise, in sentences, or why nothing can be said.
      type: list
      elements: str
backend:
  description: By what kube-proxy has its rules here.
  returned: success
  type: dict
  sample:
    variant: iptables-nft
    decided_by: it has the rules of kube-proxy
    counts: {iptables-nft: {rules: 142, kube_rules: 117}}
  contains:
    variant:
      description: V(iptables-nft), V(iptables-legacy) or V(nftables).
      type: str
    decided_by:
      description: How it is known that kube-proxy uses it.
      type: str
    counts:
      description:
        - For each of these how many rules it has, and how many of them are kube-proxy's.
        - Those that iptables makes by nftables are counted with iptables only.
      type: dict
"""

import ipaddress
import platform
import socket
import typing as t
from dataclasses import asdict, replace
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.homecloud.k3s.plugins.module_utils import _node_rules, _node_surroundings
from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_watch import Untraceable, watch
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import Question, Unanswerable, answer, look
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_checks import of_backends
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import sort_findings
from ansible_collections.homecloud.k3s.plugins.module_utils._trace_comparison import compare

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Ruleset
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import Surroundings
    from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import Answer
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View

ARGUMENT_SPEC: t.Final[dict[str, dict[str, t.Any]]] = {
    "service": {"type": "str"},
    "namespace": {"type": "str", "default": "default"},
    "port": {"type": "str"},
    "destination": {"type": "str"},
    "protocol": {"type": "str", "choices": ["tcp", "udp", "sctp"]},
    "source": {"type": "str"},
    "source_interface": {"type": "str"},
    "ruleset": {"type": "str"},
    "ruleset_src": {"type": "path"},
    "local_addresses": {"type": "list", "elements": "str", "default": []},
    "routes": {"type": "list", "elements": "dict", "default": []},
    "ipset": {"type": "str", "default": ""},
    "conntrack": {"type": "str", "default": ""},
    "pod_cidrs": {"type": "list", "elements": "str", "default": []},
    "services": {"type": "list", "elements": "dict"},
    "endpoint_slices": {"type": "list", "elements": "dict"},
    "node_name": {"type": "str"},
    "zone": {"type": "str", "default": ""},
    "trace": {"type": "int", "default": 0},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        mutually_exclusive=[("service", "destination"), ("ruleset", "ruleset_src")],
        required_by={"destination": ["port"]},
        required_together=[("services", "endpoint_slices")],
        supports_check_mode=True,
    )
    try:
        result = explain(
            {**module.params, "trace": 0 if module.check_mode else module.params["trace"]}, Tree(Path("/"))
        )
    except (Unanswerable, Untraceable, _node_rules.Unreadable) as exc:
        module.fail_json(msg=str(exc))
    # What was asked is told with the answer, but not what the cluster has: that may be many megabytes.
    asked = {name: value for name, value in module.params.items() if name not in ("services", "endpoint_slices")}
    module.exit_json(changed=False, invocation={"module_args": asked}, **result)


def explain(params: Mapping[str, t.Any], tree: Tree) -> dict[str, t.Any]:
    """Read the rules that are asked about, and answer. Raises Unanswerable and Unreadable."""
    _require_sense(params)
    question = _question(params)
    rulesets = _given(params) if _is_offline(params) else _on_this_node(question, tree)
    backend = _node_rules.decide(rulesets)
    if question.service and not backend.counts[backend.variant]["kube_rules"]:
        raise Unanswerable("There are no rules of kube-proxy here. Does k3s run on this node?")
    if params["trace"] and backend.variant == _node_rules.LEGACY:
        raise Unanswerable("trace is given, but the rules are of iptables-legacy, of which nftables has no trace.")
    views = [
        look(ruleset, _around(ruleset.family, params, tree), params["pod_cidrs"], backend.variant)
        for ruleset in _node_rules.of_variant(rulesets, backend.variant)
    ]
    found = answer(question, views)
    seen_by_kernel = _trace(question, params["trace"], found, views) if params["trace"] else {}
    findings = sort_findings([*of_backends(backend), *found.findings])
    return {
        "paths": [asdict(path) for path in found.paths],
        "findings": [asdict(finding) for finding in findings],
        "backend": asdict(backend),
        **seen_by_kernel,
    }


def _trace(question: Question, seconds: int, found: Answer, views: Sequence[View]) -> dict[str, t.Any]:
    """What the kernel tells of packets to what was asked for. Raises Untraceable."""
    fronts = [path.frontend for path in found.paths]
    traced, is_all = watch(fronts, question.source, seconds)
    trace = compare(traced, views, socket.if_indextoname)
    lacking = [] if is_all else ["There were more packets than could be read."]
    if not traced:
        lacking.append(f"No first packet of a connection to it came by in {seconds} s.")
    return {"trace": asdict(replace(trace, differences=[*trace.differences, *lacking]))}


def _is_offline(params: Mapping[str, t.Any]) -> bool:
    return params["ruleset"] is not None or params["ruleset_src"] is not None


def _require_sense(params: Mapping[str, t.Any]) -> None:
    """Raises Unanswerable where a value is not what it should be."""
    for name in ("destination", "source", "local_addresses"):
        _require_each(name, params[name], ipaddress.ip_address, "an IPv4 or IPv6 address")
    _require_each("pod_cidrs", params["pod_cidrs"], ipaddress.ip_network, "a network, as 10.42.0.0/16")
    if params["destination"] and not (params["port"].isdigit() and 0 < int(params["port"]) < 65536):
        raise Unanswerable(f"port is {params['port']}. With a destination it is a number from 1 to 65535.")
    if params["port"] and not (params["service"] or params["destination"]):
        raise Unanswerable(f"port is {params['port']}, but neither service nor destination is given. Give one of them.")
    for name, part in (("services", "spec"), ("endpoint_slices", "addressType")):
        for thing in params[name] or []:
            if not {"name", "namespace"} <= (thing.get("metadata") or {}).keys() or not thing.get(part):
                raise Unanswerable(f"{name} has an object without a name, a namespace or {part}. Give them whole.")
    if params["trace"] and (_is_offline(params) or not (params["service"] or params["destination"])):
        raise Unanswerable(
            "trace needs a service or destination, and no ruleset: it watches the node for packets to it."
        )
    if _is_offline(params) and params["services"] is not None and not params["node_name"]:
        raise Unanswerable("node_name is not given. Say of which node of the cluster the rules are.")


def _require_each(name: str, values: str | list[str] | None, read: t.Callable[[str], object], kind: str) -> None:
    for value in [values] if isinstance(values, str) else values or []:
        try:
            read(value)
        except ValueError as exc:
            raise Unanswerable(f'{name} has "{value}", which is not {kind}: {exc}.') from exc


def _question(params: Mapping[str, t.Any]) -> Question:
    namespace, _slash, name = (params["service"] or "").rpartition("/")
    return Question(
        service=f"{namespace or params['namespace']}/{name}" if name else "",
        port=params["port"] or "",
        destination=params["destination"] or "",
        protocol=params["protocol"] or "",
        source=params["source"] or "",
        source_interface=params["source_interface"] or "",
        services=params["services"],
        slices=params["endpoint_slices"],
        place=Place(params["node_name"] or platform.node().lower(), params["zone"]),
    )


def _given(params: Mapping[str, t.Any]) -> list[Ruleset]:
    """The rules of another node."""
    if params["ruleset_src"] is not None:
        rulesets = _node_rules.read_file(Path(params["ruleset_src"]))
    else:
        rulesets = _node_rules.read_text(params["ruleset"].splitlines())
    if all(ruleset.is_empty for ruleset in rulesets):
        where = params["ruleset_src"] or "ruleset"
        raise Unanswerable(
            f"{where} has no table, so it is neither what iptables-save prints nor what nft --json list ruleset does. "
            "Save the rules by one of these."
        )
    return rulesets


def _on_this_node(question: Question, tree: Tree) -> list[Ruleset]:
    """The rules of this node, by the families of addresses that it uses and that are asked for."""
    used = (4, 6) if tree.text("/proc/net/if_inet6") else (4,)
    asked = {ipaddress.ip_address(address).version for address in (question.destination, question.source) if address}
    return [
        ruleset for family in used if not asked or family in asked for ruleset in _node_rules.read_node(tree, family)
    ]


def _around(family: int, params: Mapping[str, t.Any], tree: Tree) -> Surroundings:
    """What decides about the way besides the rules."""
    if not _is_offline(params):
        return _node_surroundings.read_node(tree, family)
    return _node_surroundings.given(
        family, *(params[name] for name in ("local_addresses", "routes", "ipset", "conntrack"))
    )


if __name__ == "__main__":
    main()
