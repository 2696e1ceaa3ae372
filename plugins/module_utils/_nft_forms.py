# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What kube-proxy writes in its mode nftables, whatever Services there are. Python 3.9,
# standard library only.

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import JUMP_TO_MARK, Manner

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Chain, Table

_HASH: t.Final = "[A-Z2-7]{8}"
# The chains of a port of a Service, which come by the thousand. No other chain has a slash in its name.
OF_SERVICE: t.Final = re.compile(
    rf"(?P<kind>service|local|external|firewall|endpoint)-(?P<name>{_HASH}-(?P<port>"
    r"(?P<title>(?P<service>[^/]+/[^/]+)/[a-z]+/[^/_]*)(?:__(?P<endpoint>\S+))?))"
)
FOREIGN: t.Final = "?"


# The base chains, by which the kernel comes to all others


@dataclass(frozen=True)
class Base:
    """A base chain, and what it calls."""

    kind: str
    hook: str
    priority: int
    calls: tuple[str, ...] = ()
    policy: str = "accept"

    def __str__(self) -> str:
        return f"type {self.kind} hook {self.hook} priority {self.priority} policy {self.policy}"

    def is_like(self, chain: Chain) -> bool:
        return str(self) == str(base_of(chain))

    @property
    def rules(self) -> list[str]:
        """Rules that translate see nothing but the first packets of connections, the others ask for these."""
        condition = "" if self.kind == "nat" else "ct state new "
        return [f"{condition}jump {target}" for target in self.calls]


def base_of(chain: Chain) -> Base:
    """What a chain is as a base chain, without what it calls."""
    return Base(chain.kind, chain.hook, chain.priority, policy=chain.policy)


_CHECK, _FIREWALL, _CLUSTER_IPS = "service-endpoints-check", "firewall-check", "cluster-ips-check"
_NAT: t.Final = {
    "nat-prerouting": Base("nat", "prerouting", -100, ("services",)),
    "nat-output": Base("nat", "output", -100, ("services",)),
    "nat-postrouting": Base("nat", "postrouting", 100, ("masquerading",)),
}
# Those of 1.34 and newer, and those until 1.33.
_GENERATIONS: t.Final[tuple[dict[str, Base], ...]] = (
    {
        "filter-prerouting-pre-dnat": Base("filter", "prerouting", -110, (_FIREWALL,)),
        "filter-output-pre-dnat": Base("filter", "output", -110, (_FIREWALL,)),
        "filter-input": Base("filter", "input", 0, ("nodeport-endpoints-check", _CHECK)),
        "filter-forward": Base("filter", "forward", 0, (_CHECK, _CLUSTER_IPS)),
        "filter-output": Base("filter", "output", 0, (_CHECK, _CLUSTER_IPS)),
        **_NAT,
    },
    {
        "filter-prerouting": Base("filter", "prerouting", -110, (_FIREWALL,)),
        "filter-input": Base("filter", "input", -110, ("nodeport-endpoints-check", _CHECK)),
        "filter-forward": Base("filter", "forward", -110, (_CHECK, _CLUSTER_IPS)),
        "filter-output": Base("filter", "output", -110, (_CHECK, _FIREWALL)),
        "filter-output-post-dnat": Base("filter", "output", -90, (_CLUSTER_IPS,)),
        **_NAT,
    },
)


def wanted_bases(table: Table) -> dict[str, Base]:
    """The base chains that kube-proxy has here, by what most of them are like."""

    def likeness(bases: Mapping[str, Base]) -> int:
        return sum(name in table.chains and base.is_like(table.chains[name]) for name, base in bases.items())

    return max(_GENERATIONS, key=likeness)


def left_over(table: Table) -> dict[str, Base]:
    """Base chains of another version: kube-proxy only replaces those whose names it knows."""
    wanted = wanted_bases(table)
    every = {name: base for bases in _GENERATIONS for name, base in bases.items()}
    return {name: base for name, base in every.items() if name not in wanted and name in table.chains}


# How kube-proxy writes on this node

# So many chains show what is usual, even if some were edited.
_ENOUGH: t.Final = 99
_MARK: t.Final = re.compile(r"0x(?!0{8})[0-9a-f]{8}")
_OFF_CLUSTER: t.Final = re.compile(
    r"ip6? daddr \S+ (?P<port>\w+ dport \d+ )?(?:(?P<asked>.+) != (?P<value>\S+) )?"
    rf"(?:{JUMP_TO_MARK}|meta mark set meta mark \| .*)"
)
_FROM_POD: t.Final = re.compile(r'(?P<pods>.+) goto \S+ comment "short-circuit pod traffic"')


def texts(table: Table, name: str) -> list[str]:
    """The rules of a chain, none if it is not there."""
    return [rule.text for rule in table.chains[name].rules] if name in table.chains else []


def manner_of(table: Table, family: int, node: str, node_address: str) -> Manner:
    """How kube-proxy writes the rules for Services on a node with this name and address."""
    masquerading = texts(table, "masquerading")
    # What an older version has left does not make it one.
    is_older = "mark-for-masquerade" in table.chains and not any(
        "@hairpin-connections" in text for text in masquerading
    )
    marks = Counter(_MARK.findall(" ".join([*masquerading, *texts(table, "mark-for-masquerade"), *_services(table)])))
    off_cluster = _matches(_OFF_CLUSTER, _first_rules(table, ("service", "local")) if is_older else _services(table))
    usual, names_ports = _most(
        (f"{match['asked']} {match['value']}" if match["asked"] else "", bool(match["port"])) for match in off_cluster
    ) or ("", False)
    from_pods = _matches(_FROM_POD, _first_rules(table, ("external",)))
    return Manner(
        family,
        node_address,
        node=node,
        mark=_most(marks.elements()) or "0x00004000",
        pods=usual or _most(match["pods"] for match in from_pods) or "",
        masquerades_all=bool(off_cluster) and not usual,
        has_endpoint_chains=is_older,
        names_ports=names_ports,
    )


Thing = t.TypeVar("Thing")


def _most(things: Iterable[Thing]) -> Thing | None:
    """What there is most often."""
    found = Counter(things).most_common(1)
    return found[0][0] if found else None


def _services(table: Table) -> list[str]:
    return texts(table, "services")


def _first_rules(table: Table, kinds: tuple[str, ...]) -> Iterable[str]:
    for name, chain in table.chains.items():
        if chain.rules and "/" in name and name.partition("-")[0] in kinds:
            yield chain.rules[0].text


def _matches(pattern: re.Pattern[str], lines: Iterable[str]) -> list[re.Match[str]]:
    return list(islice(filter(None, map(pattern.fullmatch, lines)), _ENOUGH))


# What is the same for all Services


def fixed_rules(table: Table, manner: Manner) -> dict[str, list[str]]:
    """The rules of the chains that are no base chains, and not those of a Service."""
    ip, port = manner.ip, "meta l4proto . th dport"
    address = f"{ip} daddr . {port}"
    loopback = "127.0.0.0/8" if manner.family == 4 else "::1"
    some_addresses = "nodeport-ips" in table.sets
    to_node = f"{ip} daddr @nodeport-ips" if some_addresses else f"{ip} daddr != {loopback}"
    to_local = to_node if some_addresses else f"fib daddr type local {to_node}"
    marked = f"meta mark & {manner.mark}"
    unmarking = f"meta mark set meta mark ^ {manner.mark}"
    connection = f"{ip} saddr . {ip} daddr . {port}"
    rules = {
        "services": [
            *_off_cluster(manner),
            f"{address} vmap @service-ips",
            f"{to_local} {port} vmap @service-nodeports",
        ],
        "masquerading": [
            f"{marked} != 0x00000000 {unmarking} masquerade fully-random",
            f"ct status dnat {connection} @hairpin-connections masquerade fully-random",
        ],
        "service-endpoints-check": [f"{address} vmap @no-endpoint-services"],
        "nodeport-endpoints-check": [f"{to_node} {port} vmap @no-endpoint-nodeports"],
        "firewall-check": [f"{address} vmap @firewall-ips"],
        "cluster-ips-check": [
            f'{ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"',
            # It is there if kube-proxy knows the networks of cluster IPs, which no other rule tells.
            *(text for text in texts(table, "cluster-ips-check") if re.fullmatch(_UNALLOCATED, text)),
        ],
        "reject-chain": ["reject"],
    }
    if manner.has_endpoint_chains:
        rules["masquerading"] = [f"{marked} == 0x00000000 return", unmarking, "masquerade fully-random"]
    if manner.has_endpoint_chains or "mark-for-masquerade" in table.chains:
        rules["mark-for-masquerade"] = [f"meta mark set meta mark | {manner.mark}"]
    return rules


_UNALLOCATED: t.Final = r'ip6? daddr (?:\{ [^}]+ \}|\S+) drop comment "Drop traffic to unallocated ClusterIPs"'


def _off_cluster(manner: Manner) -> list[str]:
    """The rule that marks what is for a cluster IP, where one rule does so for all of them."""
    if manner.has_endpoint_chains or not (manner.pods or manner.masquerades_all):
        return []
    about = "all clusterIP traffic" if manner.masquerades_all else "clusterIP traffic from outside cluster"
    return [f'{manner.ip} daddr @cluster-ips {manner.off_cluster}{manner.marking} comment "masquerade {about}"']


# What there is for each Service


@dataclass(frozen=True)
class Form:
    """What kube-proxy writes into a chain: its rules, by a letter each, and the order in which all of them come.

    holds is the same in words.
    """

    rules: re.Pattern[str]
    whole: re.Pattern[str]
    holds: str

    def letter(self, title: str, text: str) -> str:
        """A rule by its letter, in a chain of the port with a title; FOREIGN for what is none of kube-proxy's."""
        protocol = title.split("/")[2]
        match = self.rules.fullmatch(text.replace(title, "~").replace(f"meta l4proto {protocol} ", "meta l4proto ~ "))
        return (match and match.lastgroup) or FOREIGN


def _form(holds: str, whole: str, **rules: str) -> Form:
    parts = "|".join(f"(?P<{letter}>{text})" for letter, text in rules.items())
    return Form(re.compile(parts), re.compile(whole), holds)


def forms(manner: Manner) -> dict[str, Form]:
    """What there may be in the chains of a port of a Service, by their kinds."""
    ip, marking, pods = manner.ip, re.escape(manner.marking), re.escape(manner.pods)
    own, comment = f"{_HASH}-~", "" if manner.has_endpoint_chains else ' comment "masquerade"'
    endpoint = rf"{own}__[^\s,]+"
    jump, address = rf"\d+ : goto endpoint-{endpoint}", r"\d+ : [0-9a-f.:]+ \. \d+"
    balancing = _form(
        "what leads to the endpoints" + (", after what marks packets" if manner.has_endpoint_chains else ""),
        "m?a*s" if manner.has_endpoint_chains else "a+s|d",
        m=rf"{ip} daddr \S+ (?:\w+ dport \d+ )?{re.escape(manner.off_cluster)}{JUMP_TO_MARK}",
        a=rf"{ip} saddr @affinity-(?P<clients>{endpoint}) goto endpoint-(?P=clients)",
        s=rf"numgen random mod \d+ vmap \{{ {jump}(?:, {jump})* \}}",
        d=rf"meta l4proto ~ dnat {ip} to numgen random mod \d+ map \{{ {address}(?:, {address})* \}}",
    )
    return {
        "service": balancing,
        "local": balancing,
        "external": _form(
            "what marks packets, and then what leads to the endpoints",
            f"mg|{'p' if manner.pods else ''}krl?",
            m=f"{marking}{comment}",
            g=f"goto service-{own}",
            p=f'{pods} goto service-{own} comment "short-circuit pod traffic"',
            k=f'fib saddr type local {marking} comment "masquerade local traffic"',
            r=f'fib saddr type local goto service-{own} comment "short-circuit local traffic"',
            l=f"goto local-{own}",
        ),
        "firewall": _form(
            "one rule for the networks that may use the load balancer",
            "f",
            f=rf"{ip} saddr != (?:\{{ [^}}]+ \}}|\S+) drop",
        ),
        "endpoint": _form(
            "its address" + (", after what marks its own packets" if manner.has_endpoint_chains else ""),
            "hu?d" if manner.has_endpoint_chains else "ud",
            h=rf"{ip} saddr \S+ {JUMP_TO_MARK}",
            u=rf"update @affinity-{endpoint} \{{ {ip} saddr \}}",
            d=r"meta l4proto ~ dnat to \S+",
        ),
    }


_TO_SERVICE: t.Final = rf"{_HASH}-[^/]+/[^/]+/(?P=protocol)/[^/_]*"
_PORT: t.Final = r"(?P<protocol>[a-z]+) \. \d+"
_NOWHERE: t.Final = r'comment "[^"/]+/[^"/]+" : (?:drop|goto reject-chain)'
# The sets and maps that Services share, and what their elements are like.
SHARED: t.Final = {
    name: re.compile(pattern)
    for name, pattern in {
        "cluster-ips": r"\S+",
        "firewall-ips": rf"\S+ \. {_PORT} : goto firewall-{_TO_SERVICE}",
        "hairpin-connections": rf"(?P<address>\S+) \. (?P=address) \. {_PORT}",
        "no-endpoint-nodeports": rf"{_PORT} {_NOWHERE}",
        "no-endpoint-services": rf"\S+ \. {_PORT} {_NOWHERE}",
        "service-ips": rf"\S+ \. {_PORT} : goto (?:service|local|external)-{_TO_SERVICE}",
        "service-nodeports": rf"{_PORT} : goto external-{_TO_SERVICE}",
    }.items()
}
