# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How the rules of a node differ from those that kube-proxy would write in its mode nftables.
# Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import chosen, name_of
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_chain_drift import (
    Lines,
    from_elements,
    from_form,
    from_rules,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import (
    OF_SERVICE,
    SHARED,
    Base,
    base_of,
    fixed_rules,
    forms,
    left_over,
    manner_of,
    wanted_bases,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import predict, with_hash

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import Manner
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table

    Objects = Sequence[Mapping[str, t.Any]]

_QUOTED: t.Final = re.compile(r'"[^"]*"')
_CALL: t.Final = re.compile(r"\b(?:goto|jump) ([^\s,]+)")
# Which elements of these are for what Service cannot be seen.
_NAMELESS: t.Final = ("cluster-ips", "hairpin-connections")
_INSIDE: t.Final = re.compile(
    r"(?P<address>\S+) \. (?P<protocol>\w+) \. (?P<port>\d+) : goto (?P<chain>(?:service|local)-\S+)"
)
_DESTINATION: t.Final = re.compile(r"meta l4proto \w+ dnat to (?P<address>\S+):(?P<port>\d+)")
# What leads to an endpoint, but for the rule that shares out.
_TO_ENDPOINT: t.Final = re.compile(r" dnat to | goto endpoint-")


def drift(
    table: Table,
    family: int,
    node_address: str,
    place: Place,
    services: Objects | None,
    slices: Objects | None,
    only: str = "",
) -> list[Drift]:
    """All differences between kube-proxy's table on a node and what kube-proxy would write there.

    Given the Services and EndpointSlices of the cluster, the rules are compared with what these ask for; otherwise
    it is said what the rules alone show to be wrong. With only, namespace/name, the rules for other Services are left
    out.
    """
    rules = _Rules(table, manner_of(table, family, place.node, node_address), only)
    if services is None or slices is None:
        return [*rules.of_all(), *rules.by_themselves()]
    asked = [service for service in services if only in ("", name_of(service))]
    return [*rules.of_all(), *rules.by_objects(_predicted(asked, slices, place, rules.manner))]


def _predicted(services: Objects, slices: Objects, place: Place, manner: Manner) -> dict[str, list[str]]:
    """The rules and elements that the Services ask for, by chain, and by set or map."""
    lines: dict[str, list[str]] = defaultdict(list)
    for service, port, choice in chosen(services, slices, place, manner.family):
        for name, texts in predict(service, port, choice, manner).items():
            lines[name] += texts
    return lines


@dataclass(frozen=True)
class _Rules:
    """The rules of kube-proxy's table, or those that matter for one Service, only."""

    table: Table
    manner: Manner
    only: str

    @cached_property
    def of_services(self) -> dict[str, re.Match[str]]:
        """The chains for Services by their names, and what these say."""
        matches = {name: OF_SERVICE.fullmatch(name) for name in self.table.chains}
        return {name: match for name, match in matches.items() if match and _has_its_hash(match)}

    @cached_property
    def own(self) -> dict[str, re.Match[str]]:
        """Those that matter."""
        return {name: match for name, match in self.of_services.items() if self.only in ("", match["service"])}

    @cached_property
    def lines(self) -> dict[str, Lines]:
        """The chains, and the sets and maps that Services share. Of maps what is for other Services is left out."""
        named = re.compile(rf'[-"]{re.escape(self.only)}[/:"]')
        found = {}
        for name, chain in self.table.chains.items():
            if name in self.own or name not in self.of_services:
                found[name] = self._lines(name, [rule.text for rule in chain.rules])
        for name in filter(self.table.sets.__contains__, SHARED):
            texts = [element.text for element in self.table.sets[name].all]
            if self.only and name not in _NAMELESS:
                texts = list(filter(named.search, texts))
            found[name] = self._lines(name, texts)
        return found

    def _lines(self, name: str, texts: Sequence[str] = ()) -> Lines:
        return Lines(f"{self.table.family} {self.table.name}", name, texts)

    @cached_property
    def callers(self) -> dict[str, Drift]:
        """The chains that are called, and the first rule or element that calls each, as if it led nowhere."""
        found: dict[str, Drift] = {}
        for lines in self.lines.values():
            for text in lines.texts:
                for target in _CALL.findall(_QUOTED.sub("", text)):
                    found.setdefault(target, lines.drift("dangling_jump", text, target))
        return found

    # What there is whatever Services there are

    def of_all(self) -> Iterator[Drift]:
        if self.table.is_dormant:
            detail = "the table is dormant: the kernel asks none of its rules"
            yield self._lines("").drift("missing_rule", detail=detail)
        bases, left, fixed = wanted_bases(self.table), left_over(self.table), fixed_rules(self.table, self.manner)
        for name, base in bases.items():
            yield from self._of_base(name, base)
        for name, base in left.items():
            yield from (self.lines[name].drift("extra_rule", text) for text in self._beyond(name, base.rules))
        for name, should in fixed.items():
            if name in self.lines:
                yield from from_rules(self.lines[name], should)
            else:
                yield self._lines(name).drift("missing_rule", detail="the chain is not there")
        for name in SHARED:
            is_wanted = name != "hairpin-connections" or not self.manner.has_endpoint_chains
            if is_wanted and name not in self.table.sets:
                yield self._lines(name).drift("missing_rule", detail="the set or map is not there")
        known = {*bases, *left, *fixed, *self.of_services}
        for name in (name for name in self.table.chains if name not in known):
            for text in self.lines[name].texts:
                yield self.lines[name].drift("extra_rule", text, "kube-proxy has no chain of this name")
        yield from (calling for target, calling in self.callers.items() if target not in self.table.chains)

    def _of_base(self, name: str, base: Base) -> Iterator[Drift]:
        chain, lines = self.table.chains.get(name), self.lines.get(name, self._lines(name))
        for text, target in zip(base.rules, base.calls):
            if text not in lines.texts:
                yield lines.drift("missing_jump", text, target if chain else f"{target}, as it is not there itself")
        if chain and not base.is_like(chain):
            is_now = base_of(chain) if chain.hook else "no base chain"
            yield lines.drift("missing_rule", detail=f"it is {is_now}, not {base}")
        for number, text in enumerate(lines.texts):
            if text not in base.rules:
                yield lines.drift("extra_rule", text)
            elif text in lines.texts[:number]:
                yield lines.drift("duplicate_rule", text)

    def _beyond(self, name: str, rules: Sequence[str]) -> list[str]:
        return [text for text in self.lines[name].texts if text not in rules]

    # What there is for Services

    def by_themselves(self) -> Iterator[Drift]:
        """What the rules for Services show to be wrong among themselves."""
        for name, pattern in SHARED.items():
            lines = self.lines.get(name, self._lines(name))
            yield from (lines.drift("extra_rule", text) for text in lines.texts if not pattern.fullmatch(text))
        yield from self._cluster_ips()
        form_of = forms(self.manner)
        for name, told in self.own.items():
            lines = self.lines[name]
            if name in self.callers:
                yield from from_form(lines, told["title"], form_of[told["kind"]])
                yield from _of_other_endpoint(lines, told["endpoint"] or "")
            elif lines.texts:  # one that has come out of use is emptied at once, and taken away later
                yield lines.drift("missing_rule", detail="no rule leads to this chain")

    def _cluster_ips(self) -> Iterator[Drift]:
        """Whether it is known which addresses are cluster IPs, and whether what is for them is marked."""
        addresses, services = self.lines.get("cluster-ips"), self.lines.get("service-ips")
        if not addresses or not services:
            return
        known = set(addresses.texts)
        for front in filter(None, map(_INSIDE.fullmatch, services.texts)):
            if front["address"] not in known:
                yield addresses.drift("missing_rule", front["address"])
            chain = self.lines.get(front["chain"])
            for text in self.manner.masquerading(front["address"], front["protocol"], int(front["port"])):
                if chain and chain.texts and text not in chain.texts:
                    yield chain.drift("missing_rule", text)

    def by_objects(self, predicted: dict[str, list[str]]) -> Iterator[Drift]:
        """How the rules for Services differ from those that these ask for."""
        for name in filter(self.lines.__contains__, SHARED):
            is_whole = not self.only or name not in _NAMELESS
            yield from from_elements(self.lines[name], predicted.get(name, ()), is_whole)
        for name, should in predicted.items():
            if name in self.own:
                yield from map(_as_of_endpoint, from_rules(self.lines[name], should))
            elif name not in SHARED and name not in self.callers:  # a call of it is said to lead nowhere
                detail = f"the chain is not there, nor are its {len(should)} rules"
                yield self._lines(name).drift("missing_rule", detail=detail)
        for name in self.own:
            # If something leads there, that is what is wrong.
            if name not in predicted and name not in self.callers and self.lines[name].texts:
                yield self.lines[name].drift("extra_rule", detail="no Service asks for this chain")


def _has_its_hash(name: re.Match[str]) -> bool:
    """Whether a name is one that kube-proxy would give. One that is cut does not tell all that the hash is made of."""
    return name["name"].endswith("...") or with_hash(name["port"]) == name["name"]


def _as_of_endpoint(one: Drift) -> Drift:
    leads_astray = one.code == "extra_rule" and _TO_ENDPOINT.search(one.rule)
    return replace(one, code="stale_endpoint") if leads_astray else one


def _of_other_endpoint(chain: Lines, endpoint: str) -> Iterator[Drift]:
    """Whether a chain leads to the endpoint that its name is made of. A long name is cut, and does not tell all."""
    for told in filter(None, map(_DESTINATION.fullmatch, chain.texts)):
        address = told["address"].strip("[]").replace(":", ".")
        if endpoint and not endpoint.endswith("...") and f"{address}/{told['port']}" != endpoint:
            yield chain.drift("stale_endpoint", told[0], "its chain is that of another endpoint")
