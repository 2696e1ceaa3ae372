# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster and its web services look like from outside, as a record and as text.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import (
    KubernetesObject,
    condition,
    internal_addresses,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault, fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._text import table

_KINDS: t.Final = ("Node", "Service", "ServiceL2Status", "ConfigurationState")


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    ready: bool
    version: str


@dataclass(frozen=True)
class Page:
    """What was asked for, and the answer: http_status is -1 where nothing answered."""

    url: str
    http_status: int
    first_line: str


@dataclass(frozen=True)
class Endpoints:
    """How many pods serve, and how many there are."""

    ready: int
    all: int


@dataclass(frozen=True)
class WebService:
    """A web service and the answers it gave. address and pool are empty where it has none."""

    name: str
    namespace: str
    type: str
    cluster_url: str
    address: str
    pool: str
    announced_by: list[str]
    endpoints: Endpoints
    pages: list[Page]


@dataclass(frozen=True)
class Address:
    """An address that MetalLB has given."""

    address: str
    service: str
    pool: str
    announced_by: list[str]


def page_urls(
    node_objects: Iterable[KubernetesObject], services: Iterable[Mapping[str, t.Any]]
) -> list[dict[str, str]]:
    """Where web services that have pods can be reached from outside of the cluster, with the names of the Services.

    services: as homecloud.k3s.kube_service_info returns them.
    """
    nodes = [read_node(node).address for node in node_objects]
    return [
        {"service": name_of(service), "url": url}
        for service in services
        for url in (_urls(service, nodes) if endpoints_of(service).ready else [])
    ]


def _urls(service: Mapping[str, t.Any], nodes: list[str]) -> list[str]:
    spec = service["service"]["spec"]
    if spec["type"] == "LoadBalancer":
        return [_url(address, spec["ports"][0]["port"]) for address in service["addresses"]]
    return [_url(address, spec["ports"][0]["nodePort"]) for address in nodes] if spec["type"] == "NodePort" else []


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def name_of(service: Mapping[str, t.Any]) -> str:
    return f"{service['namespace']}/{service['name']}"


def endpoints_of(service: Mapping[str, t.Any]) -> Endpoints:
    ready = {endpoint["address"]: endpoint["ready"] for endpoint in service["endpoints"]}
    return Endpoints(sum(ready.values()), len(ready))


def read_node(node: KubernetesObject) -> Node:
    status = node["status"]
    return Node(
        name=node["metadata"]["name"],
        address=next(iter(internal_addresses(node)), ""),
        ready=condition(node, "Ready"),
        version=status["nodeInfo"]["kubeletVersion"],
    )


def read_page(result: Mapping[str, t.Any]) -> Page:
    """Read what ansible.builtin.uri returned."""
    text = str(result.get("content") or "").strip()
    return Page(result["item"]["url"], result.get("status", -1), text.splitlines()[0] if text else "")


def read_web_service(service: Mapping[str, t.Any], pages: list[Page]) -> WebService:
    namespace, name, spec = service["namespace"], service["name"], service["service"]["spec"]
    return WebService(
        name=name,
        namespace=namespace,
        type=spec["type"],
        cluster_url=_url(f"{name}.{namespace}", spec["ports"][0]["port"]),
        address=", ".join(service["addresses"]),
        pool=metallb.annotation(service["service"], "ip-allocated-from-pool"),
        announced_by=list(service["announced_by"]),  # Ansible's own lists cannot be made records
        endpoints=endpoints_of(service),
        pages=pages,
    )


def make_report(
    objects: Iterable[KubernetesObject],
    services: Mapping[str, t.Any],
    pages: Iterable[Mapping[str, t.Any]],
    sites: Iterable[Mapping[str, t.Any]] = (),
    site_faults: Iterable[Mapping[str, t.Any]] = (),
) -> dict[str, t.Any]:
    """Make the report on a cluster.

    services: what homecloud.k3s.kube_service_info returned of the web services.
    pages: the results of a loop of ansible.builtin.uri over what page_urls gave.
    sites: what homecloud.k3s.web_site_info saw of them by their names.
    site_faults: what the filter of that name says of these.
    """
    things, results, seen = list(objects), list(pages), list(sites)
    of_kind = {kind: [thing for thing in things if thing["kind"] == kind] for kind in _KINDS}
    nodes = [read_node(node) for node in of_kind["Node"]]
    web_services = [
        read_web_service(service, [read_page(r) for r in results if r["item"]["service"] == name_of(service)])
        for service in services["services"]
    ]
    configuration = metallb.configuration(of_kind["ConfigurationState"])
    found = [
        *node_faults(nodes),
        *metallb.refused_configuration(configuration),
        *(Fault(**fault) for fault in services["diagnosis"]),
        *chain.from_iterable(map(page_faults, web_services)),
    ]
    faults = [*map(asdict, found), *map(dict, site_faults)]
    return {
        "ok": not any(fault["severity"] == "error" for fault in faults),
        "nodes": [asdict(node) for node in nodes],
        "web_services": [asdict(service) for service in web_services],
        "addresses": [
            asdict(Address(address, f"{given['namespace']}/{given['name']}", given["pool"], given["announced_by"]))
            for given in metallb.services(of_kind["Service"], of_kind["ServiceL2Status"])
            for address in given["addresses"]
        ],
        "metallb_configuration": configuration,
        "sites": seen,
        "faults": faults,
    }


def node_faults(nodes: Iterable[Node]) -> Iterator[Fault]:
    for node in nodes:
        if not node.ready:
            yield Fault(
                code="node_not_ready",
                severity="error",
                message=f"The node {node.name} is not Ready.",
                evidence=f"{node.name} {node.address} {node.version}",
                advice=f'Look at "kubectl describe node {node.name}" and at the journal of k3s on {node.address}.',
            )


def page_faults(service: WebService) -> Iterator[Fault]:
    """Why a web service whose pods serve is not reached."""
    for page in service.pages:
        if not 0 < page.http_status < 500:
            yield Fault(
                code="no_page",
                severity="error",
                message=f"{page.url} of {service.namespace}/{service.name} does not answer with a page.",
                evidence="no answer" if page.http_status == -1 else f"HTTP status {page.http_status}",
                advice=f'Look at "kubectl --namespace {service.namespace} get pods,endpointslices", '
                "and whether this machine is on the same LAN as the nodes.",
            )


def report_lines(report: Mapping[str, t.Any]) -> list[str]:
    """The report as lines of text."""
    services, addresses = report["web_services"], report["addresses"]
    nodes = [[n["name"], n["address"], "yes" if n["ready"] else "NO", n["version"]] for n in report["nodes"]]
    given = [[a["address"], a["service"], a["pool"], ", ".join(a["announced_by"]) or "NOBODY"] for a in addresses]
    blocks = [
        table(["NODE", "ADDRESS", "READY", "VERSION"], *nodes),
        table(
            ["WEB SERVICE", "TYPE", "PODS", "URL", "HTTP STATUS"], *chain.from_iterable(map(_service_rows, services))
        ),
        table(["ADDRESS", "SERVICE", "POOL", "ANNOUNCED BY"], *given) if given else [],
        table(["SITE", "HTTP STATUS", "CERTIFICATE OF", "DAYS LEFT", "TRUSTED"], *map(_site_row, report["sites"]))
        if report["sites"]
        else [],
        _configuration_lines(report["metallb_configuration"]),
        [f"{p['url']}: {p['first_line']}" for s in services for p in s["pages"] if p["first_line"]],
        fault_lines(report["faults"]),
    ]
    return list(chain.from_iterable(["", *block] for block in blocks if block))[1:]


def _service_rows(service: Mapping[str, t.Any]) -> Iterator[list[str]]:
    """A row for each place where a web service can be reached."""
    endpoints = service["endpoints"]
    head = [f"{service['namespace']}/{service['name']}", service["type"], f"{endpoints['ready']}/{endpoints['all']}"]
    for page in service["pages"]:
        yield [*head, page["url"], "none" if page["http_status"] == -1 else str(page["http_status"])]
    if service["type"] == "ClusterIP":
        yield [*head, f"{service['cluster_url']} inside the cluster only", "not asked"]
    elif not service["pages"]:
        yield [*head, "none", "none"]


def _site_row(site: Mapping[str, t.Any]) -> list[str]:
    status = "none" if site["http_status"] == -1 else str(site["http_status"])
    certificate = site["certificate"]
    if not certificate:
        return [site["url"], status, "none", "", ""]
    return [
        site["url"],
        status,
        certificate["issuer"],
        str(certificate["days_left"]),
        "yes" if certificate["trusted"] else "NO",
    ]


def _configuration_lines(configuration: Iterable[Mapping[str, str]]) -> list[str]:
    refused = [f"{state['component']}: {state['error']}" for state in configuration if state["result"] == "Invalid"]
    accepted = [state["component"] for state in configuration if state["result"] == "Valid"]
    return [
        *([f"MetalLB's configuration is accepted by {', '.join(sorted(accepted))}."] if accepted else []),
        *(f"MetalLB's configuration is refused by {text}" for text in refused),
    ]
