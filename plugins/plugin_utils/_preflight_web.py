# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of web services.

Private to the collection. Values of secrets are never shown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    Finding,
    Home,
    is_dns_label,
    is_text,
    label_problem,
)
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_network import pool_ranges
from ansible_collections.homecloud.k3s.plugins.plugin_utils._role_options import Item, read_items, valid_items

_NODE_PORTS = "30000-32767"
_SERVICE_NAME = re.compile("[a-z]([-a-z0-9]{0,61}[a-z0-9])?")  # a label by RFC 1035
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?\d+)?")
_HANDLERS = {"exec", "grpc", "httpGet", "tcpSocket"}
_PROBE_NUMBERS = {
    "failureThreshold",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "terminationGracePeriodSeconds",
    "timeoutSeconds",
}


def invalid_web_service(home: Home) -> Iterator[Finding]:
    """C(web_service_services) is not a list of web services as the role web_service reads them."""
    for service, problems in read_items("web_service_services", home.controller.setting("web_service_services")):
        negative = ["replicas is negative"] if not problems and service["replicas"] < 0 else []
        for problem in [*problems, *negative]:
            yield Finding(
                f'The web service "{service.get("name", "")}" is not written as the role web_service reads it.',
                problem,
                "Write each as {name: mysite, image: nginx:1.28}; "
                '"ansible-doc --type role homecloud.k3s.web_service" shows what else it can have.',
            )


def invalid_service_name(home: Home) -> Iterator[Finding]:
    """The name or the namespace of a web service is none that Kubernetes takes."""
    advice = "Use lower case letters, digits and dashes only, 63 at most; a name begins with a letter."
    for service in web_services(home):
        if not _SERVICE_NAME.fullmatch(service["name"]):
            yield Finding("Kubernetes takes no Service of this name.", f"name: {service['name']}", advice)
        if not is_dns_label(service["namespace"]):
            yield finding(service, "is in a namespace that cannot be", f"namespace: {service['namespace']}", advice)


def duplicate_service(home: Home) -> Iterator[Finding]:
    """Two web services have the same name in the same namespace."""
    for same in _same(web_services(home), lambda service: (service["namespace"], service["name"])):
        yield finding(
            same[0],
            f"is on the list {len(same)} times",
            f"images: {', '.join(str(service['image']) for service in same)}",
            "Give each a name or a namespace of its own.",
        )


def invalid_image(home: Home) -> Iterator[Finding]:
    """A web service has no image, or one with blanks in its name."""
    for service in present(home):
        if not service["image"] or re.search(r"\s", service["image"]):
            yield finding(
                service,
                "has no image that can be pulled",
                f"image: {service['image'] or 'none'}",
                "Name it as REGISTRY/NAME:TAG, such as docker.io/library/nginx:1.28.",
            )


def invalid_port(home: Home) -> Iterator[Finding]:
    """A port of a web service is out of range, or C(node_port) is set for a ClusterIP."""
    first, last = _node_ports(home)
    for service in present(home):
        for key, low, high in (("port", 1, 65535), ("service_port", 1, 65535), ("node_port", first, last)):
            if service[key] is not None and not low <= service[key] <= high:
                yield finding(
                    service, f"has a {key} out of range", f"{key}: {service[key]}", f"Choose one of {low} to {high}."
                )
        if service["node_port"] is not None and service["type"] == "ClusterIP":
            yield finding(
                service,
                "has a node_port, but its type opens no port on nodes",
                f"type: ClusterIP, node_port: {service['node_port']}",
                "Set its type to NodePort, or leave node_port out.",
            )


def node_port_taken(home: Home) -> Iterator[Finding]:
    """Two web services have the same C(node_port)."""
    for same in _same(present(home), lambda service: service["node_port"]):
        yield finding(
            same[0],
            f"has the node_port of {names(same[1:])}",
            f"node_port: {same[0]['node_port']}",
            "Give each a port of its own, or leave node_port out.",
        )


def invalid_environment(home: Home) -> Iterator[Finding]:
    """A variable in C(env) or C(secrets) has no possible name, no text as its value, or is in both."""
    for service in present(home):
        for key in ("env", "secrets"):
            for name, value in service[key].items():
                if not _VARIABLE.fullmatch(str(name)):
                    problem = f"{key}: {name} is no name of a variable"
                elif not is_text(value):
                    problem = f"{key}: the value of {name} is not a text"
                elif key == "secrets" and name in service["env"]:
                    problem = f"{name} is in env and in secrets"
                else:
                    continue
                yield finding(
                    service,
                    "has an environment that cannot be",
                    problem,
                    "Name variables with letters, digits and _, once; put values like true, 1.0 or null in quotes.",
                )


def invalid_labels(home: Home) -> Iterator[Finding]:
    """A label of a web service is none that Kubernetes takes, or one that the role sets itself."""
    for service in present(home):
        for key, value in service["labels"].items():
            ours = "app.kubernetes.io/name: the role sets it" if key == "app.kubernetes.io/name" else ""
            problem = ours or label_problem(key, value)
            if problem:
                yield finding(
                    service,
                    "has a label that cannot be",
                    problem,
                    "Write labels as KEY: VALUE, of 63 letters, digits, dashes, dots and _ at most; leave "
                    "app.kubernetes.io/name out.",
                )


def invalid_resources(home: Home) -> Iterator[Finding]:
    """What a web service asks for in C(resources) is no quantity as Kubernetes writes them."""
    for service in present(home):
        for key, quantities in service["resources"].items():
            if key not in ("requests", "limits") or not isinstance(quantities, Mapping):
                problems = [f"{key}: it is not requests or limits, or no map"]
            else:
                problems = [
                    f"{key}: {name}: {quantity}"
                    for name, quantity in quantities.items()
                    if isinstance(quantity, bool) or not _QUANTITY.fullmatch(str(quantity))
                ]
            for problem in problems:
                yield finding(
                    service,
                    "has resources that Kubernetes cannot read",
                    problem,
                    "Write them as {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}.",
                )


def invalid_probe(home: Home) -> Iterator[Finding]:
    """A probe of a web service is not made of one way to ask and of numbers."""
    for service in present(home):
        for name, probe in service["probes"].items():
            handlers = sorted(_HANDLERS & set(probe or {}))
            unknown = sorted(str(key) for key in probe or {} if key not in _HANDLERS | _PROBE_NUMBERS)
            if probe is not None and (len(handlers) != 1 or unknown or not isinstance(probe[handlers[0]], Mapping)):
                found = f"ways to ask: {', '.join(handlers) or 'none'}"
                yield finding(
                    service,
                    f"has a {name} probe that cannot be",
                    found + (f"; unknown: {', '.join(unknown)}" if unknown else ""),
                    f"Give it exactly one of {', '.join(sorted(_HANDLERS))}, such as "
                    "{httpGet: {path: /, port: 80}, periodSeconds: 10}.",
                )


def invalid_file(home: Home) -> Iterator[Finding]:
    """A file of a web service has no absolute path, or its content is not a text."""
    for service in present(home):
        for path, content in service["files"].items():
            if not re.fullmatch("/[^:]*[^:/]", str(path)) or not isinstance(content, str):
                yield finding(
                    service,
                    "has a file that cannot be mounted",
                    f"files: {path}{'' if isinstance(content, str) else ': its content is not a text'}",
                    "Name each file by its whole path, from / on and without colons, and give its content as a text.",
                )


def invalid_address(home: Home) -> Iterator[Finding]:
    """The C(address) of a web service is none, or it has an C(address) or a C(pool) and is no LoadBalancer."""
    for service in present(home):
        wish = {key: service[key] for key in ("address", "pool") if service[key] is not None}
        seen = ", ".join(f"{key}: {value}" for key, value in {"type": service["type"], **wish}.items())
        if wish and service["type"] != "LoadBalancer":
            advice = "Set its type to LoadBalancer, or leave address and pool out."
            yield finding(service, f"asks for an {' and a '.join(wish)}, but its type gets none", seen, advice)
        elif service["address"] is not None and not _address(service):
            yield finding(
                service, "asks for an address that is none", seen, "Write one address, such as 192.168.1.210."
            )


def address_outside_pools(home: Home) -> Iterator[Finding]:
    """A web service asks for an address that is in no pool, or not in the pool that it names."""
    ranges = pool_ranges(home)
    for service in _load_balancers(home):
        address, pool = _address(service), service["pool"]
        pools = [name for name, part in ranges if address and part.holds(address)]
        if ranges and address and (not pools or pool not in (None, *pools)):
            there = ", ".join(f"{name} ({part.text})" for name, part in ranges)
            yield finding(
                service,
                f'asks for an address that is not in the pool "{pool}"' if pools else "asks for an address of no pool",
                f"address: {service['address']}; pools: {there}",
                "Choose an address of a pool, or put it into one; leave pool out where there is an address.",
            )


def address_taken(home: Home) -> Iterator[Finding]:
    """Two web services ask for the same address."""
    for same in _same(_load_balancers(home), _address):
        yield finding(
            same[0],
            f"asks for the address of {names(same[1:])}",
            f"address: {same[0]['address']}",
            "Give each an address of its own, or leave address out.",
        )


def unknown_pool(home: Home) -> Iterator[Finding]:
    """A web service names a pool that is not in C(metallb_pools)."""
    names = [pool["name"] for pool in metallb_pools(home)]
    for service in _load_balancers(home):
        if names and service["pool"] is not None and service["pool"] not in names:
            yield finding(
                service,
                "names a pool that does not exist",
                f"pool: {service['pool']}; pools: {', '.join(names)}",
                "Name one of these, or add it to metallb_pools.",
            )


def no_pool_for_service(home: Home) -> Iterator[Finding]:
    """The pools that a web service may use are not for its namespace, or give addresses only if they are named."""
    ranges = pool_ranges(home)
    for service in _load_balancers(home):
        address = _address(service)
        holders = [name for name, part in ranges if not address or part.holds(address)]
        pools = [
            pool for pool in metallb_pools(home) if pool["name"] in holders and service["pool"] in (None, pool["name"])
        ]
        asks = address or service["pool"] is not None
        if pools and not any(_admits(pool, service) and (asks or pool["auto_assign"]) for pool in pools):
            yield finding(
                service,
                "gets no address: no pool is for it",
                f"pools: {', '.join(pool['name'] for pool in pools)}; namespace: {service['namespace']}",
                "Name a pool that has the namespace of the web service in its namespaces, or none there; "
                "a pool without auto_assign has to be named.",
            )


def web_services(home: Home) -> list[Item]:
    """Those that are as the role reads them."""
    items = valid_items("web_service_services", home.controller.setting("web_service_services"))
    return [{**item, "type": item["type"] or ("ClusterIP" if item["hosts"] else "LoadBalancer")} for item in items]


def present(home: Home) -> list[Item]:
    """Those that are to be there."""
    return [service for service in web_services(home) if service["state"] == "present"]


def _load_balancers(home: Home) -> list[Item]:
    return [service for service in present(home) if service["type"] == "LoadBalancer"]


def metallb_pools(home: Home) -> list[Item]:
    """The pools that are as the role reads them."""
    return valid_items("metallb_pools", home.controller.setting("metallb_pools"))


def _same(services: list[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """The web services that have this in common."""
    groups: dict[Hashable, list[Item]] = defaultdict(list)
    for service in services:
        groups[key(service)].append(service)
    return [group for value, group in groups.items() if value is not None and len(group) > 1]


def _address(service: Item) -> Range | None:
    try:
        return Range.address(service["address"] or "")
    except ValueError:
        return None


def _admits(pool: Item, service: Item) -> bool:
    """Whether a pool is for the namespace of a web service. What labels a namespace has is not known here."""
    return not pool["namespaces"] or bool(pool["namespace_selectors"]) or service["namespace"] in pool["namespaces"]


def _node_ports(home: Home) -> tuple[int, int]:
    """The ports that Kubernetes keeps for Services on nodes. Without k3s_config nothing is known of them."""
    text = str(home.cluster_config.get("service-node-port-range", _NODE_PORTS)) if home.hosts else ""
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (1, 65535)


def names(services: list[Item]) -> str:
    """What web services are called among people."""
    return " and ".join(f"{service['namespace']}/{service['name']}" for service in services)


def finding(service: Item, problem: str, evidence: str, advice: str) -> Finding:
    """A fault of one web service."""
    return Finding(f'The web service "{names([service])}" {problem}.', evidence, advice)
