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
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject, condition, pod_counts
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault, fault_lines
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import workload_faults

_EXCLUDED: t.Final = "node.kubernetes.io/exclude-from-external-load-balancers"


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
    """How many pods serve, and how many should."""

    ready: int
    wanted: int


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


class Objects:
    """The objects of a cluster."""

    def __init__(self, objects: Iterable[KubernetesObject]) -> None:
        self.all = list(objects)
        self.services = {key(service): service for service in self.of_kind("Service")}
        self.deployments = {key(deployment): deployment for deployment in self.of_kind("Deployment")}
        self.announcers = metallb.announcers(self.of_kind("ServiceL2Status"))

    def of_kind(self, *kinds: str) -> list[KubernetesObject]:
        return [thing for thing in self.all if thing["kind"] in kinds]

    def web_services(self, asked: Iterable[Mapping[str, t.Any]]) -> list[KubernetesObject]:
        """The Services of the web services that should be there, as far as they are."""
        return [self.services[place] for place in wanted_places(asked) if place in self.services]

    def endpoints(self, service: KubernetesObject) -> Endpoints:
        deployment = self.deployments.get(key(service))
        return Endpoints(*pod_counts(deployment)) if deployment else Endpoints(0, 0)


def key(thing: KubernetesObject) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def wanted_places(asked: Iterable[Mapping[str, t.Any]]) -> list[tuple[str, str]]:
    """The namespace and the name of each web service that should be there."""
    present = [service for service in asked if service.get("state", "present") == "present"]
    return [(service.get("namespace", "default"), service["name"]) for service in present]


def page_urls(objects: Iterable[KubernetesObject], asked: Iterable[Mapping[str, t.Any]]) -> list[dict[str, str]]:
    """Where the web services that have pods can be reached from outside of the cluster, with the uid of the Service."""
    cluster = Objects(objects)
    nodes = [read_node(node).address for node in cluster.of_kind("Node")]
    return [
        {"uid": service["metadata"]["uid"], "url": url}
        for service in cluster.web_services(asked)
        for url in (_urls(service, nodes) if cluster.endpoints(service).ready else [])
    ]


def _urls(service: KubernetesObject, nodes: list[str]) -> list[str]:
    port = service["spec"]["ports"][0]
    if service["spec"]["type"] == "LoadBalancer":
        return [_url(address, port["port"]) for address in metallb.addresses_of(service)]
    return [_url(address, port["nodePort"]) for address in nodes] if service["spec"]["type"] == "NodePort" else []


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def read_node(node: KubernetesObject) -> Node:
    status = node["status"]
    return Node(
        name=node["metadata"]["name"],
        address=next((a["address"] for a in status.get("addresses", []) if a["type"] == "InternalIP"), ""),
        ready=condition(node, "Ready"),
        version=status["nodeInfo"]["kubeletVersion"],
    )


def read_page(result: Mapping[str, t.Any]) -> Page:
    """Read what ansible.builtin.uri returned."""
    text = str(result.get("content") or "").strip()
    return Page(result["item"]["url"], result.get("status", -1), text.splitlines()[0] if text else "")


def read_web_service(cluster: Objects, service: KubernetesObject, pages: list[Page]) -> WebService:
    namespace, name = key(service)
    return WebService(
        name=name,
        namespace=namespace,
        type=service["spec"]["type"],
        cluster_url=_url(f"{name}.{namespace}", service["spec"]["ports"][0]["port"]),
        address=", ".join(metallb.addresses_of(service)),
        pool=metallb.annotation(service, "ip-allocated-from-pool"),
        announced_by=cluster.announcers.get((namespace, name), []),
        endpoints=cluster.endpoints(service),
        pages=pages,
    )


def read_addresses(cluster: Objects) -> list[Address]:
    given = metallb.services(cluster.services.values(), cluster.of_kind("ServiceL2Status"))
    return [
        Address(address, f"{service['namespace']}/{service['name']}", service["pool"], service["announced_by"])
        for service in given
        for address in service["addresses"]
    ]


def make_report(
    objects: Iterable[KubernetesObject],
    asked: Iterable[Mapping[str, t.Any]],
    pages: Iterable[Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    """Make the report on a cluster.

    asked: the items of web_service_services; other services are left out.
    pages: the results of a loop of ansible.builtin.uri over what page_urls gave.
    """
    cluster, asked, results = Objects(objects), list(asked), list(pages)
    nodes = [read_node(node) for node in cluster.of_kind("Node")]
    services = [
        read_web_service(cluster, service, [read_page(r) for r in results if r["item"]["uid"] == uid])
        for service in cluster.web_services(asked)
        for uid in [service["metadata"]["uid"]]
    ]
    configuration = metallb.configuration(cluster.of_kind("ConfigurationState"))
    faults = [
        *node_faults(nodes),
        *configuration_faults(configuration),
        *missing_faults(cluster, wanted_places(asked)),
        *workload_faults(_of_web_services(cluster, wanted_places(asked))),
        *chain.from_iterable(reach_faults(cluster, service) for service in services if service.endpoints.ready),
    ]
    return {
        "ok": not faults,
        "nodes": [asdict(node) for node in nodes],
        "web_services": [asdict(service) for service in services],
        "addresses": [asdict(address) for address in read_addresses(cluster)],
        "metallb_configuration": configuration,
        "faults": [asdict(fault) for fault in faults],
    }


def _of_web_services(cluster: Objects, places: list[tuple[str, str]]) -> Iterator[KubernetesObject]:
    """Their Services and Deployments, and what may be the reasons if these are not ready."""
    yield from (
        things[place] for things in (cluster.deployments, cluster.services) for place in places if place in things
    )
    yield from cluster.of_kind("Pod", "Event")


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


def configuration_faults(configuration: Iterable[Mapping[str, str]]) -> Iterator[Fault]:
    for state in configuration:
        if state["result"] == "Invalid":
            yield Fault(
                code="configuration_refused",
                severity="error",
                message="MetalLB has refused its configuration and goes on with the one before.",
                evidence=f"{state['component']}: {state['error']}",
                advice="Correct metallb_pools, or remove the pools that others have made: "
                '"kubectl --namespace metallb-system get ipaddresspools,l2advertisements" shows all.',
            )


def missing_faults(cluster: Objects, places: Iterable[tuple[str, str]]) -> Iterator[Fault]:
    for place in places:
        for kind, there in (("Service", cluster.services), ("Deployment", cluster.deployments)):
            if place not in there:
                yield Fault(
                    code=f"no_{kind.lower()}",
                    severity="error",
                    message=f"The {kind} {'/'.join(place)} does not exist.",
                    evidence=f"the API knows no such {kind}",
                    advice="Run the playbook homecloud.k3s.site to publish it.",
                )


def reach_faults(cluster: Objects, service: WebService) -> Iterator[Fault]:
    """Why a web service whose pods serve is not reached."""
    name = f"{service.namespace}/{service.name}"
    if service.address and not service.announced_by and cluster.of_kind("ConfigurationState"):
        excluded = [
            n["metadata"]["name"] for n in cluster.of_kind("Node") if _EXCLUDED in n["metadata"].get("labels", {})
        ]
        yield Fault(
            code="not_announced",
            severity="error",
            message=f"No node announces {service.address}, the address of {name}, on the LAN.",
            evidence=f"nodes labelled {_EXCLUDED}: {', '.join(excluded)}"
            if excluded
            else "no ServiceL2Status names it",
            advice=f"Remove that label with kubectl label node NAME {_EXCLUDED}-."
            if excluded
            else f'Look at "advertise" of the pool "{service.pool}": its interfaces and node_selectors must fit.',
        )
    for page in service.pages:
        if not 0 < page.http_status < 500:
            yield Fault(
                code="no_page",
                severity="error",
                message=f"{page.url} of {name} does not answer with a page.",
                evidence="no answer" if page.http_status == -1 else f"HTTP status {page.http_status}",
                advice=f'Look at "kubectl --namespace {service.namespace} get pods,endpointslices", '
                "and whether this machine is on the same LAN as the nodes.",
            )


def _table(*rows: Iterable[str]) -> list[str]:
    cells = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def report_lines(report: Mapping[str, t.Any]) -> list[str]:
    """The report as lines of text."""
    services, addresses = report["web_services"], report["addresses"]
    nodes = [[n["name"], n["address"], "yes" if n["ready"] else "NO", n["version"]] for n in report["nodes"]]
    given = [[a["address"], a["service"], a["pool"], ", ".join(a["announced_by"]) or "NOBODY"] for a in addresses]
    blocks = [
        _table(["NODE", "ADDRESS", "READY", "VERSION"], *nodes),
        _table(
            ["WEB SERVICE", "TYPE", "PODS", "URL", "HTTP STATUS"], *chain.from_iterable(map(_service_rows, services))
        ),
        _table(["ADDRESS", "SERVICE", "POOL", "ANNOUNCED BY"], *given) if given else [],
        _configuration_lines(report["metallb_configuration"]),
        [f"{p['url']}: {p['first_line']}" for s in services for p in s["pages"] if p["first_line"]],
        fault_lines(report["faults"]),
    ]
    return list(chain.from_iterable(["", *block] for block in blocks if block))[1:]


def _service_rows(service: Mapping[str, t.Any]) -> Iterator[list[str]]:
    """A row for each place where a web service can be reached."""
    endpoints = service["endpoints"]
    head = [f"{service['namespace']}/{service['name']}", service["type"], f"{endpoints['ready']}/{endpoints['wanted']}"]
    for page in service["pages"]:
        yield [*head, page["url"], "none" if page["http_status"] == -1 else str(page["http_status"])]
    if service["type"] == "ClusterIP":
        yield [*head, f"{service['cluster_url']} inside the cluster only", "not asked"]
    elif not service["pages"]:
        yield [*head, "none", "none"]


def _configuration_lines(configuration: Iterable[Mapping[str, str]]) -> list[str]:
    refused = [f"{state['component']}: {state['error']}" for state in configuration if state["result"] == "Invalid"]
    accepted = [state["component"] for state in configuration if state["result"] == "Valid"]
    return [
        *([f"MetalLB's configuration is accepted by {', '.join(sorted(accepted))}."] if accepted else []),
        *(f"MetalLB's configuration is refused by {text}" for text in refused),
    ]
