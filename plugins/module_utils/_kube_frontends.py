# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Where a Service is reached, as its object says and as the rules of kube-proxy say. Python
# 3.9, standard library only.

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass
from functools import lru_cache

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

# What kube-proxy writes beside a rule: the Service, the name of its port, and what kind of address the rule is for.
_COMMENT: t.Final = re.compile(r"(?P<service>[^/ ]+/[^/: ]+)(?::(?P<port>\S*))?(?: (?P<about>.*))?$")
_KINDS: t.Final = {"cluster IP": "cluster_ip", "external IP": "external_ip", "loadbalancer IP": "load_balancer"}
# What is written beside a rule for an address that leads nowhere. It does not say of which kind the address is.
_NOWHERE: t.Final = ("has no endpoints", "has no local endpoints")


@dataclass(frozen=True)
class Frontend:
    """An address and a port at which a Service is reached. service is namespace/name."""

    kind: str
    address: str
    port: int
    protocol: str
    service: str
    port_name: str


# Services, and their EndpointSlices, that others than kube-proxy care for.
_OTHERS: t.Final = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")


def is_proxied(service: Mapping[str, t.Any], family: int) -> bool:
    """Whether kube-proxy cares for a Service by a family of addresses, 4 or 6."""
    labels = service["metadata"].get("labels") or {}
    others = service["spec"].get("type") == "ExternalName" or any(label in labels for label in _OTHERS)
    return not others and any(_is_of(address, family) for address in _cluster_addresses(service))


def _cluster_addresses(service: Mapping[str, t.Any]) -> list[str]:
    spec = service["spec"]
    return spec.get("clusterIPs") or [spec.get("clusterIP") or ""]


def of_object(service: Mapping[str, t.Any], family: int, node_address: str) -> list[Frontend]:
    """Where a Service is reached by a family of addresses, 4 or 6, on a node that has this address."""
    if not is_proxied(service, family):
        return []
    metadata, spec = service["metadata"], service["spec"]
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    addresses = [
        *(("cluster_ip", address) for address in _cluster_addresses(service)),
        *(("external_ip", address) for address in spec.get("externalIPs") or []),
        # The others are none of kube-proxy's: a proxy answers for them.
        *(("load_balancer", entry["ip"]) for entry in ingress if entry.get("ip") and entry.get("ipMode") != "Proxy"),
    ]
    name = f"{metadata['namespace']}/{metadata['name']}"
    found = []
    for port in spec.get("ports") or []:
        rest = (port.get("protocol", "TCP").lower(), name, port.get("name") or "")
        found += [
            Frontend(kind, address, port["port"], *rest) for kind, address in addresses if _is_of(address, family)
        ]
        if port.get("nodePort"):
            found.append(Frontend("node_port", node_address, port["nodePort"], *rest))
    return found


def _is_of(address: str, family: int) -> bool:
    return _family(address) == family


# An address of a Service is asked for several times in a row.
@lru_cache(maxsize=1024)
def _family(text: str) -> int:
    """The family of an address, 4 or 6; 0 for what is none, as "None" of a headless Service."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def of_rules(dump: Dump, node_address: str, only: str = "") -> list[Frontend]:
    """Where Services are reached by the rules of a node that has this address, each once; or one, namespace/name."""
    found: dict[tuple[str, int, str], Frontend] = {}
    for rule in _rules_of_frontends(dump, only):
        told = _COMMENT.match(rule.comment)
        port, protocol = _value(rule, "--dport"), _value(rule, "-p")
        if told and only in ("", told["service"]) and port.isdecimal() and protocol:
            address = _value(rule, "-d").partition("/")[0]
            kind = _kind(rule, told["about"] or "", address)
            if kind == "node_port":
                address = node_address
            key = (address, int(port), protocol)
            frontend = Frontend(kind, *key, told["service"], told["port"] or "")
            if kind and _family(address) and (key not in found or found[key].kind == "other"):
                found[key] = frontend
    return list(found.values())


def _rules_of_frontends(dump: Dump, only: str) -> Iterator[Rule]:
    places = (
        ("nat", "KUBE-SERVICES"),
        ("nat", "KUBE-NODEPORTS"),
        ("filter", "KUBE-SERVICES"),
        ("filter", "KUBE-EXTERNAL-SERVICES"),
    )
    for table, name in places:
        chain = dump.chain(table, name)
        yield from chain.rules_with(f'"{only}') if chain else ()


def _kind(rule: Rule, about: str, address: str) -> str:
    """The kind of address that a rule is for; empty if it is for none of a Service."""
    if about in _KINDS:
        return _KINDS[about]
    if rule.chain == "KUBE-NODEPORTS":
        # A rule of its own is for those who ask from the node for 127.0.0.1.
        return "" if address else "node_port"
    if about not in _NOWHERE:
        return ""
    if not address:
        return "node_port"
    return "cluster_ip" if rule.chain == "KUBE-SERVICES" else "other"


def _value(rule: Rule, name: str) -> str:
    """What a rule asks for by an option; empty if it does not, or asks for anything else."""
    options = (option for match in rule.matches for option in match.options)
    return next((option.value for option in options if option.name == name and not option.negated), "")


def named(frontends: Iterable[Frontend], service: str, port: str = "") -> list[Frontend]:
    """Those of a Service, namespace/name, and of one of its ports by its name or number, if one is asked for."""
    own = [frontend for frontend in frontends if frontend.service == service]
    numbers = {f.port_name for f in own if f.kind != "node_port" and str(f.port) == port}
    return [f for f in own if port in ("", f.port_name, str(f.port)) or f.port_name in numbers]
