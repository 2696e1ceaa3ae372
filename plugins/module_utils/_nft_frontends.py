# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Where Services are reached, and where they lead, as the table of kube-proxy says in its
# mode nftables. Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import manner_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import elements_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Element, Table

    Place = tuple[str, t.Optional[int]]

# The maps by which packets are sent on, or refused, and whether they are for addresses of Services or ports of nodes.
_MAPS: t.Final = {
    "service-ips": True,
    "no-endpoint-services": True,
    "service-nodeports": False,
    "no-endpoint-nodeports": False,
}
# What names the port of a Service: a chain that a map leads to, or the comment beside what leads nowhere.
_CHAIN: t.Final = re.compile(r"[a-z]+-[A-Z2-7]{8}-(?P<service>[^/]+/[^/]+)/[^/]+/(?P<port>[^/]*)$")
_COMMENT: t.Final = re.compile(r"(?P<service>[^/]+/[^:/]+)(?::(?P<port>.*))?$")


def of_table(table: Table, node_address: str, only: str = "") -> list[Frontend]:
    """Where Services are reached on a node that has this address, each once; or one, namespace/name.

    Of an address that is no cluster IP it is only known to be a load balancer's if it has ranges of sources.
    """
    clusters = _addresses(table, "cluster-ips")
    balancers = {part for element in _elements(table, "firewall-ips") for part in _concatenated(element)[:1]}
    found: dict[tuple[str, int, str], Frontend] = {}
    for name, is_address in _MAPS.items():
        for element in _elements(table, name):
            told = _told(element)
            parts = _concatenated(element)
            if not told or only not in ("", told["service"]) or len(parts) != 2 + is_address:
                continue
            address = str(parts[0]) if is_address else node_address
            protocol, port = parts[-2:]
            kind = "node_port"
            if is_address:
                kind = "cluster_ip" if address in clusters else "load_balancer" if address in balancers else "other"
            key = (address, int(port), str(protocol))
            found.setdefault(key, Frontend(kind, *key, told["service"], told["port"] or ""))
    return list(found.values())


def _told(element: Element) -> re.Match[str] | None:
    """The Service, and the name of its port, that an element is for."""
    value = element.value
    target = value.get("goto", {}).get("target", "") if isinstance(value, dict) and value.get("goto") else ""
    return _CHAIN.match(target) or _COMMENT.match(element.comment)


def _concatenated(element: Element) -> list[t.Any]:
    parts = element.key.get("concat") if isinstance(element.key, dict) else None
    return parts if isinstance(parts, list) and isinstance(parts[-1], int) else []


def _elements(table: Table, name: str) -> tuple[Element, ...]:
    return table.sets[name].all if name in table.sets else ()


def _addresses(table: Table, name: str) -> set[str]:
    return {element.key for element in _elements(table, name) if isinstance(element.key, str)}


def pods_of(table: Table, family: int, node_address: str) -> str:
    """How kube-proxy tells packets of pods, as an option of iptables: "-s 10.42.0.0/16", "-i cni0" or nothing."""
    pods = manner_of(table, family, "", node_address).pods.replace('"', "")
    asked, _blank, value = pods.rpartition(" ")
    option = {"": "", "iifname": "-i"}.get(asked, "-s")
    return f"{option} {value.replace('*', '+')}".strip()


def endpoints_of(table: Table) -> set[Place]:
    """The endpoints of all Services."""
    return {place for chain in table.chains.values() for rule in chain.rules for place in _sent_to(rule.expressions)}


def _sent_to(expressions: tuple[t.Any, ...]) -> Iterator[Place]:
    for expression in expressions:
        body = expression.get("dnat") if isinstance(expression, dict) else None
        address = body.get("addr") if isinstance(body, dict) else None
        if isinstance(body, dict) and isinstance(address, str):
            yield address, body.get("port")
        mapping = address.get("map") if isinstance(address, dict) else None
        entries = mapping["data"].get("set") if isinstance(mapping, dict) and isinstance(mapping["data"], dict) else []
        for element in elements_of(entries or []).all:
            parts = element.value.get("concat") if isinstance(element.value, dict) else None
            if isinstance(parts, list) and len(parts) == 2:
                yield parts[0], parts[1]
