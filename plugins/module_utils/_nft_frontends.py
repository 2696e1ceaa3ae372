# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Where Services are reached, and where they lead, as the table of kube-proxy says in its
# mode nftables. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import manner_of

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table

    Place = tuple[str, t.Optional[int]]

# The maps by which packets are sent on, or refused, and whether they are for addresses of Services or ports of nodes.
_MAPS: t.Final = {
    "service-ips": True,
    "no-endpoint-services": True,
    "service-nodeports": False,
    "no-endpoint-nodeports": False,
}
# What leads to the chain of a Service's port, which is named after it, or nowhere, and has its name beside it.
_ELEMENT: t.Final = re.compile(
    r'(?:(?P<address>\S+) \. )?(?P<protocol>[a-z]+) \. (?P<port>\d+)(?: comment "(?P<comment>[^"]*)")? : '
    r"(?:goto [a-z]+-[A-Z2-7]{8}-(?P<service>[^/\s]+/[^/\s]+)/[^/\s]+/(?P<name>[^/\s]*)|goto reject-chain|drop)"
)
_TO_ENDPOINT: t.Final = re.compile(r" dnat to (?P<address>\S+):(?P<port>\d+)$")
_SHARED_OUT: t.Final = re.compile(r"\d+ : (?P<address>\S+) \. (?P<port>\d+)")


def of_table(table: Table, node_address: str, only: str = "") -> list[Frontend]:
    """Where Services are reached on a node that has this address, each once; or one, namespace/name.

    Of an address that is no cluster IP it is only known to be a load balancer's if it has ranges of sources.
    """
    clusters = set(_texts(table, "cluster-ips"))
    balancers = {text.partition(" ")[0] for text in _texts(table, "firewall-ips")}
    found: dict[tuple[str, int, str], Frontend] = {}
    for place, is_address in _MAPS.items():
        for told in filter(None, map(_ELEMENT.fullmatch, _texts(table, place))):
            service, _colon, name = (told["comment"] or "").partition(":")
            if told["service"]:
                service, name = told["service"], told["name"]
            address = told["address"] or ""
            if only not in ("", service) or bool(address) != is_address or not _is_well(address or node_address):
                continue
            kind = "node_port"
            if is_address:
                kind = "cluster_ip" if address in clusters else "load_balancer" if address in balancers else "other"
            key = (address or node_address, int(told["port"]), told["protocol"])
            found.setdefault(key, Frontend(kind, *key, service, name))
    return list(found.values())


def _texts(table: Table, name: str) -> Iterator[str]:
    return (element.text for element in table.sets[name].all) if name in table.sets else iter(())


def _is_well(address: str) -> bool:
    try:
        return bool(ipaddress.ip_address(address))
    except ValueError:
        return False


def node_addresses_of(table: Table) -> list[str]:
    """The addresses of the node that have its ports, if not all of them have."""
    return [text for text in _texts(table, "nodeport-ips") if _is_well(text)]


def pods_of(table: Table, family: int, node_address: str) -> str:
    """How kube-proxy tells packets of pods, as an option of iptables: "-s 10.42.0.0/16", "-i cni0" or nothing."""
    pods = manner_of(table, family, "", node_address).pods.replace('"', "")
    asked, _blank, value = pods.rpartition(" ")
    option = {"": "", "iifname": "-i"}.get(asked, "-s")
    return f"{option} {value.replace('*', '+')}".strip()


def endpoints_of(table: Table) -> set[Place]:
    """The endpoints of all Services."""
    texts = [rule.text for chain in table.chains.values() for rule in chain.rules if "/" in chain.name]
    found = (match for text in texts for match in (_TO_ENDPOINT.search(text), *_SHARED_OUT.finditer(text)) if match)
    return {(match["address"].strip("[]"), int(match["port"])) for match in found}
