# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of networks: the LAN, the pools of MetalLB, the networks inside the cluster, firewalls.

Private to the collection.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, product

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    CLUSTER_NETWORKS,
    Finding,
    Firewall,
    Home,
    Host,
    Opening,
    address_of,
    is_dns_label,
    is_endpoint,
    is_kubernetes_name,
    label_problem,
    lans_of,
    networks,
)
from ansible_collections.homecloud.k3s.plugins.plugin_utils._role_options import Item, read_items, valid_items

_POOL_ADVICE = "Choose addresses of the LAN that no host has and that the router's DHCP never gives away."
_OPERATORS = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}
"""Those of label selectors, and whether they take values."""
_FLANNEL_PORTS = {"vxlan": 8472, "wireguard-native": 51820}


def no_default_route(home: Home) -> Iterator[Finding]:
    """The host has no default route, without which k3s does not start."""
    for host, reading in home.read:
        # Without the program ip no interface is known, nor a route.
        if reading["interfaces"] and not reading["default_route"]:
            yield Finding(
                "The host has no default route, without which k3s does not start.",
                "default route: none",
                "Give the host a gateway, by DHCP or by hand; an isolated LAN needs one too, even if nothing is there.",
                host.name,
            )


def another_lan(home: Home) -> Iterator[Finding]:
    """The hosts are not all on one LAN, as MetalLB needs in layer 2."""
    first, first_lans = next(((host, lans) for host, reading in home.read if (lans := lans_of(reading))), (None, []))
    for host, reading in home.read:
        lans = lans_of(reading)
        if first and lans and not any(lan.overlaps(other) for lan in lans for other in first_lans):
            yield Finding(
                f"The host is not on the LAN of {first.name}. MetalLB announces its addresses on one LAN only.",
                f"{_join(lans)} here, {_join(first_lans)} on {first.name}",
                "Put all hosts into one subnet, or take the host out of the inventory.",
                host.name,
            )


def unresolved_endpoint(home: Home) -> Iterator[Finding]:
    """A host that joins a server cannot find the address of the API by its name."""
    for host, reading in home.read:
        for name, addresses in reading["resolves"].items() if host not in home.servers[:1] else ():
            if is_endpoint(name) and all(address.startswith("127.") or address == "::1" for address in addresses):
                yield Finding(
                    f'The host cannot find the API by the name "{name}".',
                    f"{name}: {', '.join(addresses) or 'no address'}",
                    "Set ansible_host of the server, or k3s_api_endpoint, to an address or a name that all hosts know.",
                    host.name,
                )


def invalid_api_vip(home: Home) -> Iterator[Finding]:
    """C(api_vip_address) is no IPv4 address of the LAN that is free."""
    lans = _lans(home)
    for host, _reading in home.read:
        address = str(host.setting("api_vip_address") or "")
        if host.kind == "server" and address and host.setting("api_vip_state") != "absent":
            problem = _vip_problem(home, lans.values(), address)
            if problem:
                yield Finding(
                    "api_vip_address cannot be the address of the API.",
                    f"api_vip_address: {address}, {problem}",
                    "Choose an IPv4 address of the LAN that no host has and that the router's DHCP never gives away.",
                    host.name,
                )


def _vip_problem(home: Home, lans: Iterable[Range], address: str) -> str:
    try:
        wanted = Range.address(address)
    except ValueError as error:
        return str(error)
    owners = [host.name for host, reading in home.read if address_of(host, reading) == address]
    if wanted.family != 4:
        return "which is not of IPv4"
    if owners:
        return f"which {owners[0]} has"
    return "" if any(lan.holds(wanted) and lan.size > 1 for lan in lans) else "which is not of the LAN of the servers"


def invalid_pool(home: Home) -> Iterator[Finding]:
    """C(metallb_pools) is not a list of pools, each with a name of its own and addresses."""
    names: list[str] = []
    for pool, problems in read_items("metallb_pools", home.controller.setting("metallb_pools")):
        name = str(pool.get("name"))
        if problems:
            yield _invalid_pool("A pool is not written as the role metallb reads it.", f"{name}: {'; '.join(problems)}")
        elif not is_kubernetes_name(name):
            yield _invalid_pool("Kubernetes takes no pool of this name.", name)
        elif name in names:
            yield _invalid_pool("Two pools have the same name.", name)
        else:
            yield from _invalid_values(pool)
        names.append(name)


def invalid_selector(home: Home) -> Iterator[Finding]:
    """A selector of a pool is not in the form of Kubernetes' label selectors."""
    for pool in valid_items("metallb_pools", home.controller.setting("metallb_pools")):
        for key, selector in _selectors(pool):
            problem = _selector_problem(selector)
            if problem:
                yield Finding(
                    f'The pool "{pool["name"]}" has a selector that Kubernetes cannot read.',
                    f"{key}: {problem}",
                    "Write each as {matchLabels: {KEY: VALUE}}, or as "
                    "{matchExpressions: [{key: KEY, operator: In, values: [VALUE]}]}.",
                )


def no_pool(home: Home) -> Iterator[Finding]:
    """C(metallb_pools) is empty, so no Service gets an address."""
    if home.has_metallb and not home.controller.setting("metallb_pools"):
        yield Finding(
            "MetalLB gets no pool, so Services of the type LoadBalancer wait for an address for ever.",
            "metallb_pools is empty",
            "Set metallb_pools, as {name: home, addresses: [192.168.1.200-192.168.1.225]}. " + _POOL_ADVICE,
        )


def pool_outside_lan(home: Home) -> Iterator[Finding]:
    """A pool has addresses that are not of the LAN, so nobody there finds them."""
    lans = _lans(home)
    for name, pool in pool_ranges(home):
        if lans and not any(lan.holds(pool) for lan in lans.values()):
            yield Finding(
                f'The pool "{name}" has addresses outside the LAN of the hosts.',
                f"{pool.text}; the LAN: {', '.join(lans)}",
                _POOL_ADVICE,
            )


def pool_holds_host(home: Home) -> Iterator[Finding]:
    """A pool has an address that a host or the gateway has."""
    taken = dict(_taken(home))
    for name, pool in pool_ranges(home):
        for text, owner in taken.items():
            if pool.overlaps(Range.address(text)):
                yield Finding(
                    f'The pool "{name}" has the address of {owner}.', f"{text} is in {pool.text}", _POOL_ADVICE
                )


def pool_holds_lan_address(home: Home) -> Iterator[Finding]:
    """A pool has the first or the last address of the LAN, which no host can have."""
    for lan in _lans(home).values():
        ends = (Range(lan.text, lan.family, lan.first, lan.first), Range(lan.text, lan.family, lan.last, lan.last))
        for name, pool in pool_ranges(home):
            if lan.family == 4 and any(pool.overlaps(end) for end in ends):
                yield Finding(
                    f'The pool "{name}" has the network address or the broadcast address of the LAN.',
                    f"{pool.text}; the LAN: {lan.text}",
                    _POOL_ADVICE,
                )


def pools_overlap(home: Home) -> Iterator[Finding]:
    """Two pools, or two ranges of one, have an address in common. MetalLB refuses them."""
    for (name, pool), (other_name, other) in combinations(pool_ranges(home), 2):
        if pool.overlaps(other):
            yield Finding(
                f'The pools "{name}" and "{other_name}" overlap.',
                f"{pool.text} and {other.text}",
                "Give each address to one pool, once.",
            )


def networks_overlap(home: Home) -> Iterator[Finding]:
    """The networks inside the cluster overlap each other, the LAN or a pool."""
    inside = [(key, network) for key in CLUSTER_NETWORKS for network in home.networks(key)]
    outside = [("the LAN", lan) for lan in _lans(home).values()]
    outside += [(f'the pool "{name}"', pool) for name, pool in pool_ranges(home)]
    for (name, network), (other_name, other) in chain(combinations(inside, 2), product(inside, outside)):
        if network.overlaps(other):
            yield Finding(
                f"{name} and {other_name} overlap.",
                f"{name}: {network.text}; {other_name}: {other.text}",
                "Set cluster-cidr and service-cidr in k3s_config to private networks that are used nowhere else. "
                "They cannot be changed once the cluster has started.",
            )


def firewall_blocks(home: Home) -> Iterator[Finding]:
    """A firewall, ufw or firewalld, refuses what the nodes need of each other."""
    return _blocked(home, ("ufw", "firewalld"))


def firewall_unclear(home: Home) -> Iterator[Finding]:
    """Rules of nftables or iptables refuse by default, and do not seem to admit what the nodes need of each other."""
    return _blocked(home, ("nftables", "iptables"))


def _blocked(home: Home, kinds: tuple[str, ...]) -> Iterator[Finding]:
    for host, reading in home.read:
        for firewall in reading["firewall"]:
            refused = list(_refused(home, host, firewall)) if firewall["kind"] in kinds else []
            if refused:
                yield Finding(
                    f"The firewall {firewall['kind']} on the host does not admit what the cluster needs.",
                    f"{firewall['evidence']}; not admitted: {', '.join(refused)}",
                    "Admit these, best all that comes from the nodes and from cluster-cidr, or turn the firewall off.",
                    host.name,
                )


def _refused(home: Home, host: Host, firewall: Firewall) -> Iterator[str]:
    others = [(other, reading) for other, reading in home.read if other is not host]
    sources = {
        "nodes": networks(address_of(other, reading) for other, reading in others),
        "servers": networks(address_of(other, reading) for other, reading in others if other.kind == "server"),
        "pods": home.networks("cluster-cidr"),
    }
    for protocol, port, who in _needed(home, host):
        for source in sources[who]:
            if not any(admits(opening, protocol, port, source) for opening in firewall["opens"]):
                yield f"{port}/{protocol} from {source.text}"


def _needed(home: Home, host: Host) -> Iterator[tuple[str, int, str]]:
    """Which ports must be open to whom: those of the kubelet, of MetalLB, of flannel, of the API and of etcd."""
    backend = str(home.cluster_config.get("flannel-backend", "vxlan"))
    yield from (("tcp", 10250, "nodes"), ("tcp", 10250, "pods"), ("tcp", 7946, "nodes"), ("udp", 7946, "nodes"))
    if backend in _FLANNEL_PORTS:
        yield "udp", _FLANNEL_PORTS[backend], "nodes"
    if host.kind == "server":
        yield from (("tcp", 6443, "nodes"), ("tcp", 6443, "pods"))
    if host.kind == "server" and home.has_etcd:
        yield from (("tcp", 2379, "servers"), ("tcp", 2380, "servers"))


def admits(opening: Opening, protocol: str, port: int, source: Range) -> bool:
    """Whether a firewall lets those of a network in."""
    first, last = opening["ports"]
    from_there = opening["source"] == "any" or any(n.holds(source) for n in networks([opening["source"]]))
    return opening["protocol"] in (protocol, "any") and first <= port <= last and from_there


def _invalid_pool(problem: str, evidence: object) -> Finding:
    advice = "Write each pool as {name: home, addresses: [192.168.1.200-192.168.1.225]}."
    return Finding(problem, f"metallb_pools: {evidence}", advice)


def _invalid_values(pool: Item) -> Iterator[Finding]:
    for text in pool["addresses"]:
        try:
            Range.pool(text)
        except ValueError as error:
            yield _invalid_pool(f'The pool "{pool["name"]}" has addresses that cannot be read.', f"{text}: {error}")
    problems = [
        *(["priority is negative"] if pool["priority"] < 0 else []),
        *(
            f'"{namespace}" in namespaces is no namespace'
            for namespace in pool["namespaces"]
            if not is_dns_label(namespace)
        ),
        *(
            "an empty text in interfaces is no interface"
            for interface in pool["advertise"]["interfaces"]
            if not interface
        ),
    ]
    for problem in problems:
        yield _invalid_pool(f'The pool "{pool["name"]}" has a value that cannot be.', problem)


def _selectors(pool: Item) -> Iterator[tuple[str, Item]]:
    of_pool = {**pool, **pool["advertise"]}
    for key in ("namespace_selectors", "service_selectors", "node_selectors"):
        yield from ((key, selector) for selector in of_pool[key])


def _selector_problem(selector: Item) -> str:
    """What is wrong with a label selector, empty if nothing is."""
    unknown = [str(key) for key in selector if key not in ("matchLabels", "matchExpressions")]
    labels, expressions = selector.get("matchLabels", {}), selector.get("matchExpressions", [])
    if unknown:
        return f"{', '.join(unknown)} is neither matchLabels nor matchExpressions"
    if not isinstance(labels, Mapping) or not isinstance(expressions, list):
        return "matchLabels is not a map, or matchExpressions is not a list"
    problems = [*(label_problem(key, value) for key, value in labels.items()), *map(_expression_problem, expressions)]
    return next(filter(None, problems), "")


def _expression_problem(expression: object) -> str:
    if not isinstance(expression, Mapping) or not {*expression} <= {"key", "operator", "values"}:
        return "an expression is not made of key, operator and values"
    values = expression.get("values", [])
    takes_values = _OPERATORS.get(str(expression.get("operator")))
    if takes_values is None:
        return f"{expression.get('operator')} is none of {', '.join(_OPERATORS)}"
    if not isinstance(values, list) or bool(values) != takes_values:
        return f"{expression['operator']} takes {'a list of' if takes_values else 'no'} values"
    problems = (label_problem(expression.get("key", ""), value) for value in values or [""])
    return next(filter(None, problems), "")


def _join(ranges: Iterable[Range]) -> str:
    return ", ".join(item.text for item in ranges)


def _lans(home: Home) -> dict[str, Range]:
    """The networks that the hosts are in, by their text."""
    return {lan.text: lan for _host, reading in home.read for lan in lans_of(reading)}


def pool_ranges(home: Home) -> list[tuple[str, Range]]:
    """Each range of each pool that can be read."""
    found = []
    for pool in valid_items("metallb_pools", home.controller.setting("metallb_pools")):
        for text in pool["addresses"]:
            with contextlib.suppress(ValueError):
                found.append((pool["name"], Range.pool(text)))
    return found


def _taken(home: Home) -> Iterator[tuple[str, str]]:
    """The addresses that pools must leave alone, and whose they are."""
    for host, reading in home.read:
        yield from ((address, "the API") for addresses in reading["resolves"].values() for address in addresses)
        route = reading["default_route"]
        if route and route["gateway"]:
            yield route["gateway"], "the gateway"
        for interface in reading["interfaces"]:
            # On this one kube-proxy keeps the addresses that MetalLB has given, if it uses IPVS.
            for address in interface["addresses"] if interface["name"] != "kube-ipvs0" else []:
                yield address.partition("/")[0], host.name
