# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The answer to a question about the ways of packets on a node. Python 3.9, standard library
# only.

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, replace
from difflib import get_close_matches

from ansible_collections.homecloud.k3s.plugins.module_utils import _rule_checks as checks
from ansible_collections.homecloud.k3s.plugins.module_utils._connection_checks import of_connections
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import named, of_object
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import name_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_frontends import node_addresses_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import NFTABLES
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import (
    View,
    networks,
    path_to,
    pod_networks,
    source_of,
    unnamed,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._proxiers import IptablesProxier, NftablesProxier
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import of_drift, sort_findings
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Ruleset
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import Surroundings
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import Path
    from ansible_collections.homecloud.k3s.plugins.module_utils._proxiers import Proxier
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

    Objects = Sequence[Mapping[str, t.Any]]

# Chains that kube-proxy has in its mode IPVS only.
_OF_IPVS: t.Final = ("KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER")


_NOWHERE: t.Final = Place("")


class Unanswerable(Exception):
    """The question has no answer, for a reason that the user can do something about."""


@dataclass(frozen=True)
class Question:
    """What is asked: the ways to a Service, namespace/name, or to an address, or neither.

    services and slices are the cluster's, None if they are not told. place is where the rules are from.
    """

    service: str = ""
    port: str = ""
    destination: str = ""
    protocol: str = ""
    source: str = ""
    source_interface: str = ""
    services: Objects | None = None
    slices: Objects | None = None
    place: Place = _NOWHERE

    def object(self) -> Mapping[str, t.Any] | None:
        """The Service that is asked for. None if the Services are not told. Raises Unanswerable if it is none of them,
        or none that kube-proxy has rules for."""
        if self.services is None:
            return None
        by_name = {name_of(service): service for service in self.services}
        if self.service not in by_name:
            raise Unanswerable(f"There is no Service {self.service} in the cluster. {_others(self.service, by_name)}")
        spec = by_name[self.service]["spec"]
        if spec.get("type") == "ExternalName":
            raise Unanswerable(
                f"The Service {self.service} is of the type ExternalName: a name in the DNS that stands for "
                f"{spec.get('externalName')}. No packet is sent to it, so there is no way to explain."
            )
        if spec.get("clusterIP") == "None":
            raise Unanswerable(
                f"The Service {self.service} is headless: its name in the DNS stands for its pods, and packets go to "
                "these directly. Ask for the address of a pod by destination and port instead."
            )
        return by_name[self.service]


@dataclass(frozen=True)
class Answer:
    paths: list[Path]
    findings: list[Finding]


def _others(name: str, names: t.Iterable[str]) -> str:
    """What else there is, if it may be what was meant."""
    known = sorted(set(names))
    own = name.rpartition("/")[2]
    close = get_close_matches(own, {other.rpartition("/")[2] for other in known})
    alike = [other for other in known if other.rpartition("/")[2] in close]
    if alike:
        return f"Did you mean {listed(alike)}?"
    return f"There are {listed(known)}." if known else "There are none at all."


def look(ruleset: Ruleset, around: Surroundings, pod_cidrs: Sequence[str], variant: str = "") -> View:
    """Put together what is known of a node. variant is what kube-proxy uses, by default that of the rules.

    Raises Unanswerable if it uses neither iptables nor nftables.
    """
    if variant == NFTABLES and ruleset.kube_table and not around.addresses:
        # Nobody has told them, but some are in the rules.
        found = tuple(("", address) for address in node_addresses_of(ruleset.kube_table))
        around = replace(around, addresses=found, is_partial=True)
    proxier = _proxier(ruleset, around, variant or ruleset.variant)
    told = networks(pod_cidrs, around.family)
    return View(ruleset, proxier, around, tuple(told) or pod_networks(proxier.pods, around))


def _proxier(ruleset: Ruleset, around: Surroundings, variant: str) -> Proxier:
    known = (around.family, around.main_address)
    if variant == NFTABLES:
        return NftablesProxier(*known, ruleset.kube_table or Table("", ""))
    of_ipvs = [name for name in _OF_IPVS if ruleset.dump.chain("nat", name) or ruleset.dump.chain("filter", name)]
    if of_ipvs:
        raise Unanswerable(
            f"kube-proxy is in its mode IPVS here, by the chain {of_ipvs[0]}: the way to a pod is not in rules of "
            'iptables, but in the tables of "ipvsadm -L -n". Only its modes iptables and nftables can be explained. If '
            "it was in that mode only earlier, these chains go with the next boot."
        )
    return IptablesProxier(*known, ruleset.dump)


def answer(question: Question, views: Sequence[View]) -> Answer:
    """Explain the ways that are asked for, and say what is wrong. Raises Unanswerable."""
    asked = [(front, view) for view in views for front in _frontends(question, view)]
    if question.service and not asked:
        raise Unanswerable(_why_nothing(question, views))
    paths: list[Path] = []
    findings: list[Finding] = []
    for view in views:
        findings += _findings(question, view, [front for front, of_view in asked if of_view is view])
    for front, view in asked:
        source = source_of(question.source, question.source_interface, view)
        path, journey = path_to(front, source, view)
        paths.append(path)
        findings += checks.of_journey(front, source, journey, view)
    return Answer(paths, sort_findings(findings))


def _frontends(question: Question, view: View) -> list[Frontend]:
    """The front ends of one family of addresses that are asked for."""
    if not _is_of_family(question, view):
        return []
    if question.destination:
        return [_destination(question, view)]
    if not question.service:
        return []
    found = named(_of_service(question, view), question.service, question.port)
    return [front for front in found if question.protocol in ("", front.protocol)]


def _is_of_family(question: Question, view: View) -> bool:
    addresses = filter(None, (question.destination, question.source))
    return all(ipaddress.ip_address(address).version == view.around.family for address in addresses)


def _of_service(question: Question, view: View) -> list[Frontend]:
    """Where a Service is reached: as its object says, or else as the rules do."""
    service, address = question.object(), view.around.main_address
    if service is not None:
        return of_object(service, view.around.family, address)
    return view.proxier.frontends(question.service)


def _destination(question: Question, view: View) -> Frontend:
    """An address and a port as a front end, of a Service if one is there."""
    asked = ipaddress.ip_address(question.destination)
    address = str(asked)
    key = (address, int(question.port), question.protocol or "tcp")
    is_own = asked.is_loopback or address in view.around.node.facts.local_addresses
    known = replace(view.proxier, node_address=address).frontends() if is_own else view.proxier.frontends()
    fitting = [front for front in known if (front.address, front.port, front.protocol) == key]
    return fitting[0] if fitting else unnamed(*key, view, source_of(question.source, question.source_interface, view))


def _why_nothing(question: Question, views: Sequence[View]) -> str:
    """Why a Service has no front end that could be explained."""
    everything = [front for view in views for front in _all_frontends(question, view)]
    own = [front for front in everything if front.service == question.service]
    if own:
        asked = {"port": question.port, "protocol": question.protocol, "source": question.source}
        given = [f"{name} {value}" for name, value in asked.items() if value]
        reached = (f"{front.address} port {front.port}/{front.protocol} {front.port_name}".rstrip() for front in own)
        return f"{question.service} is not reached by {' and '.join(given)}. It is reached at {listed(reached)}."
    return (
        f"No rule of this node is for a Service {question.service}. It may not exist, be headless or of the type "
        "ExternalName, or the rules may be those of another cluster. "
        f"{_others(question.service, _services(everything))}"
    )


def _all_frontends(question: Question, view: View) -> list[Frontend]:
    if question.services is not None:
        return _of_service(question, view)
    return view.proxier.frontends()


def _services(frontends: Sequence[Frontend]) -> list[str]:
    return [front.service for front in frontends]


def _findings(question: Question, view: View, asked: Sequence[Frontend]) -> Iterator[Finding]:
    """What is wrong by one family of addresses: with all, or where only some front ends are asked for, with these."""
    lossy = list(checks.of_dump(view))
    yield from lossy
    hidden = {(found.table, found.chain) for found in lossy}
    for different in view.proxier.drift(question.place, question.services, question.slices, question.service):
        # What a dump does not show cannot be called gone.
        if (different.table, different.chain) not in hidden:
            yield of_drift(different)
    everything = not (question.service or question.destination)
    yield from view.proxier.findings(None if everything else {front.service for front in asked})
    yield from checks.of_order(view)
    yield from checks.of_policy(view)
    if everything:
        yield from checks.of_foreign_matches(view)
    frontends = view.proxier.frontends() if everything else asked
    yield from of_connections(view, frontends)
    yield from checks.of_affinity(view)
