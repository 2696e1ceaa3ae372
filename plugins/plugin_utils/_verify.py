# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster and its web services look like from outside, as a record and as text.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault, fault_lines

KubernetesObject = Mapping[str, t.Any]


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    ready: bool
    version: str


@dataclass(frozen=True)
class WebService:
    """A web service and the answer it gave.

    address is empty where it has none, http_status is -1 where nothing answered.
    """

    name: str
    namespace: str
    address: str
    url: str
    http_status: int
    first_line: str


def read_node(node: KubernetesObject) -> Node:
    status = node["status"]
    return Node(
        name=node["metadata"]["name"],
        address=next((a["address"] for a in status.get("addresses", []) if a["type"] == "InternalIP"), ""),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])),
        version=status["nodeInfo"]["kubeletVersion"],
    )


def read_web_service(service: KubernetesObject, page: Mapping[str, t.Any] | None) -> WebService:
    """Read a Service of the API; page is what ansible.builtin.uri returned for it, if it was asked."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    text = str((page or {}).get("content") or "")
    return WebService(
        name=service["metadata"]["name"],
        namespace=service["metadata"]["namespace"],
        address=ingress[0].get("ip", ""),
        url=(page or {}).get("url", ""),
        http_status=(page or {}).get("status", -1),
        first_line=text.splitlines()[0] if text.strip() else "",
    )


def node_fault(node: Node) -> Fault | None:
    if node.ready:
        return None
    return Fault(
        code="node_not_ready",
        severity="error",
        message=f"The node {node.name} is not Ready.",
        evidence=f"{node.name} {node.address} {node.version}",
        advice=f'Look at "kubectl describe node {node.name}" and at the journal of k3s on {node.address}.',
    )


def web_service_fault(service: WebService) -> Fault | None:
    if not service.address:
        return Fault(
            code="no_address",
            severity="error",
            message=f"The Service {service.namespace}/{service.name} has no load balancer address.",
            evidence="status.loadBalancer.ingress is empty",
            advice=f'Look at the events of "kubectl --namespace {service.namespace} describe service {service.name}", '
            "and whether metallb_pools has a free address.",
        )
    if service.http_status != 200:
        return Fault(
            code="no_page",
            severity="error",
            message=f"{service.url} does not answer with a page.",
            evidence="no answer" if service.http_status == -1 else f"HTTP status {service.http_status}",
            advice=f'Look at "kubectl --namespace {service.namespace} get pods,endpointslices", '
            "and whether this machine is on the same LAN as the nodes.",
        )
    return None


def missing_fault(name: str, namespace: str) -> Fault:
    return Fault(
        code="no_service",
        severity="error",
        message=f"The Service {namespace}/{name} does not exist.",
        evidence="the API knows no such Service",
        advice="Run the playbook homecloud.k3s.site to publish it.",
    )


def make_report(
    nodes: Iterable[KubernetesObject],
    asked: Iterable[Mapping[str, t.Any]],
    services: Iterable[KubernetesObject],
    pages: Iterable[Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """Make the report on a cluster.

    nodes, services: objects of the API. asked: the items of web_service_services; other services are left out.
    pages: the results of an ansible.builtin.uri loop over services.
    """
    page_of = {page["item"]["metadata"]["uid"]: page for page in pages}
    read_nodes = [read_node(node) for node in nodes]
    wanted = [(service.get("namespace", "default"), service["name"]) for service in asked]
    read_services = [
        read_web_service(service, page_of.get(service["metadata"]["uid"]))
        for service in services
        if (service["metadata"]["namespace"], service["metadata"]["name"]) in wanted
    ]
    there = {(service.namespace, service.name) for service in read_services}
    found = [
        *(node_fault(node) for node in read_nodes),
        *(web_service_fault(service) for service in read_services),
        *(missing_fault(name, namespace) for namespace, name in wanted if (namespace, name) not in there),
    ]
    faults = [fault for fault in found if fault]
    return {
        "ok": not faults,
        "nodes": [asdict(node) for node in read_nodes],
        "web_services": [asdict(service) for service in read_services],
        "faults": [asdict(fault) for fault in faults],
    }


def _table(rows: Iterable[Iterable[str]]) -> list[str]:
    cells = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def report_lines(report: Mapping[str, t.Any]) -> list[str]:
    """The report as lines of text."""
    nodes = [["NODE", "ADDRESS", "READY", "VERSION"]]
    nodes += [[n["name"], n["address"], "yes" if n["ready"] else "NO", n["version"]] for n in report["nodes"]]
    services = [["WEB SERVICE", "ADDRESS", "URL", "HTTP STATUS"]]
    services += [
        [
            f"{s['namespace']}/{s['name']}",
            s["address"] or "none",
            s["url"] or "none",
            "none" if s["http_status"] == -1 else str(s["http_status"]),
        ]
        for s in report["web_services"]
    ]
    pages = [f"{s['url']}: {s['first_line']}" for s in report["web_services"] if s["first_line"]]
    blocks = [_table(nodes), _table(services), pages, fault_lines(report["faults"])]
    return list(chain.from_iterable(["", *block] for block in blocks if block))[1:]
