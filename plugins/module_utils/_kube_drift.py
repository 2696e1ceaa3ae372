# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How the rules of a node differ from those that kube-proxy would write. Python 3.9, standard
# library only.

from __future__ import annotations

import re
import typing as t
from collections import defaultdict

from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift, essence, from_form, from_rules
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_chains import port_title, title_hash
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_forms import FOREIGN, OF_SERVICE, form_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_manner import fixed_rules, manner_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import chosen, name_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import predict

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner

    Objects = Sequence[Mapping[str, t.Any]]
    Where = tuple[str, str]  # a table and a chain
    Chains = dict[Where, Chain]
    Callers = dict[Where, str]
    Lines = dict[Where, list[str]]

_NEW: t.Final = "-m conntrack --ctstate NEW "
# How the kernel comes to the chains of kube-proxy: without these calls no other rule is reached.
_JUMPS: t.Final = (
    ("nat", "PREROUTING", "", "KUBE-SERVICES"),
    ("nat", "OUTPUT", "", "KUBE-SERVICES"),
    ("nat", "POSTROUTING", "", "KUBE-POSTROUTING"),
    ("filter", "INPUT", "", "KUBE-FIREWALL"),
    ("filter", "INPUT", "", "KUBE-NODEPORTS"),
    ("filter", "INPUT", _NEW, "KUBE-EXTERNAL-SERVICES"),
    ("filter", "INPUT", _NEW, "KUBE-PROXY-FIREWALL"),
    ("filter", "FORWARD", "", "KUBE-FORWARD"),
    ("filter", "FORWARD", _NEW, "KUBE-SERVICES"),
    ("filter", "FORWARD", _NEW, "KUBE-EXTERNAL-SERVICES"),
    ("filter", "FORWARD", _NEW, "KUBE-PROXY-FIREWALL"),
    ("filter", "OUTPUT", "", "KUBE-FIREWALL"),
    ("filter", "OUTPUT", _NEW, "KUBE-SERVICES"),
    ("filter", "OUTPUT", _NEW, "KUBE-PROXY-FIREWALL"),
)
# What kube-proxy has wherever it runs. KUBE-FIREWALL, which it shares with the kubelet, is not there with all flags.
_EVERYWHERE: t.Final = (
    *(("nat", name) for name in ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ")),
    *(("filter", name) for name in ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS")),
    *(("filter", name) for name in ("KUBE-PROXY-FIREWALL", "KUBE-FORWARD")),
)
_LAST: t.Final = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this '
    'chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
)
_FRONT: t.Final = re.compile(
    r'-A \S+ (?P<packets>(?:-d \S+ )?-p (?P<protocol>\w+) .*--comment "(?P<title>[^" ]+)(?P<about>[^"]*)" .*)'
    r"-j (?P<target>KUBE-(?:SVC|SVL|EXT|FW)-\S{16})$"
)
_DESTINATION: t.Final = re.compile(r"-A \S+ -p (?P<protocol>\w+) .*-j DNAT --to-destination (?P<endpoint>\S+)$")
# The port of a Service that a rule is for.
_TITLE: t.Final = re.compile(r' --comment "(?P<title>(?P<service>[^/" ]+/[^:" ]+)[^" ]*)[ "]')


def drift(
    dump: Dump,
    family: int,
    node_address: str,
    place: Place,
    services: Objects | None,
    slices: Objects | None,
    only: str = "",
) -> list[Drift]:
    """All differences between the rules of a node and those that kube-proxy would write there.

    Given the Services and EndpointSlices of the cluster, the rules are compared with what these ask for; otherwise
    it is said what the rules alone show to be wrong. A table that is cut off is not judged. With only, namespace/name,
    the rules for other Services are left out.
    """
    chains = {
        (table, name): chain
        for table, of_table in dump.tables.items()
        if table in dump.whole
        for name, chain in of_table.items()
    }
    if not any(where in chains for where in _EVERYWHERE):
        return []
    manner = manner_of(dump, family, node_address)
    asked = None if services is None or slices is None else [one for one in services if only in ("", name_of(one))]
    predicted = _predicted(asked or (), slices or (), place, manner)
    if only:
        chains = _of_one(chains, only, predicted, manner)
    callers = _callers(chains)
    always = [*_jumps(chains, callers), *_always(dump, chains, callers)]
    if asked is None:
        return [*always, *_by_themselves(chains, callers, manner)]
    left_over = {where for where in chains if manner.is_large and _is_left_over(where, callers)} - predicted.keys()
    kept = {where: chain for where, chain in chains.items() if where not in left_over}
    return [*always, *_by_objects(kept, callers, predicted, _titles(asked))]


def _titles(services: Objects) -> set[str]:
    return {
        port_title(service["metadata"]["namespace"], service["metadata"]["name"], port.get("name") or "")
        for service in services
        for port in service["spec"].get("ports") or []
    }


def _predicted(services: Objects, slices: Objects, place: Place, manner: Manner) -> Lines:
    """The rules that the Services ask for."""
    lines: Lines = defaultdict(list)
    for service, port, choice in chosen(services, slices, place, manner.family):
        for where, texts in predict(service, port, choice, manner).items():
            lines[where] += [f"-A {where[1]} {text}" for text in texts]
    return lines


def _of_one(chains: Chains, service: str, predicted: Iterable[Where], manner: Manner) -> Chains:
    """The chains that a Service has a part in, as the rules say or as it should have. Of shared ones its own part."""
    own = {where for where, chain in chains.items() if OF_SERVICE.match(chain.name)}
    found = {where: chain for where, chain in chains.items() if where not in own}
    for where, chain in found.items():
        if form_of(*where):
            lines = [line for line in chain.lines if _service(line) in ("", service)]
            found[where] = Chain(chain.table, chain.name, chain.policy, lines)
    waiting = [*predicted, *((chain.table, _called(line)) for chain in found.values() for line in chain.lines)]
    if not manner.is_large:
        # Those that nothing leads to are not meant to be there.
        named = re.compile(rf'[" ]{re.escape(service)}[: "]')
        waiting += [where for where in own if any(map(named.search, chains[where].lines))]
    while waiting:
        where = waiting.pop()
        if where in own and where not in found:
            found[where] = chains[where]
            waiting += [(where[0], _called(line)) for line in chains[where].lines]
    return found


def _service(line: str) -> str:
    """The Service that a rule is for; empty if it is for none."""
    told = _TITLE.search(line)
    return told["service"] if told else ""


def _callers(chains: Chains) -> Callers:
    """The chains of Kubernetes that are called, and the first that calls each."""
    callers: Callers = {}
    for (table, name), chain in chains.items():
        for line in chain.lines:
            called = _called(line)
            if called:
                callers.setdefault((table, called), name)
    return callers


def _called(line: str) -> str:
    """The chain of Kubernetes that a rule calls; empty if it calls none. A call is always the end of a rule."""
    before, _blank, last = line.rpartition(" ")
    is_call = last.startswith("KUBE-") and before.endswith((" -j", " -g")) and not last.endswith('"')
    return last if is_call else ""


def _jumps(chains: Chains, callers: Callers) -> Iterator[Drift]:
    """What keeps packets from the rules: calls that are not there, and calls that lead nowhere."""
    for table, name, condition, target in _JUMPS:
        chain = chains.get((table, name))
        if chain and (table, target) in chains:
            wanted = f"-A {name} {condition}-j {target}"
            there = [line for line in chain.lines if _called(line) == target and essence(line) == essence(wanted)]
            if not there:
                yield Drift("missing_jump", table, name, wanted, target)
            for line in there[1:]:
                yield Drift("duplicate_rule", table, name, line)
    for table, target in sorted(callers.keys() - chains.keys()):
        name = callers[table, target]
        calling = [line for line in chains[table, name].lines if _called(line) == target]
        yield Drift("dangling_jump", table, name, calling[0], target)


def _always(dump: Dump, chains: Chains, callers: Callers) -> Iterator[Drift]:
    """What kube-proxy writes whatever Services there are."""
    for where in _EVERYWHERE:
        if where[0] in dump.whole and where not in chains and where not in callers:
            yield Drift("missing_rule", *where, detail="the chain is not there")
    for where, should in fixed_rules(dump).items():
        if where in chains:
            yield from from_rules(chains[where], should, None, is_ordered=True)
    services = chains.get(("nat", "KUBE-SERVICES"))
    form = form_of("nat", "KUBE-SERVICES")
    if services and form:
        # Node ports have no address, so what comes after them would not be reached.
        before, first, behind = form.letters(services).partition("n")
        if not first:
            yield Drift("missing_rule", "nat", services.name, _LAST)
        elif set(behind) - {"n", FOREIGN}:
            yield Drift("missing_rule", "nat", services.name, services.lines[len(before)], "it must be the last rule")


def _by_themselves(chains: Chains, callers: Callers, manner: Manner) -> Iterator[Drift]:
    """What the rules for Services show to be wrong among themselves."""
    titles: dict[str, str] = {}
    for name in ("KUBE-SERVICES", "KUBE-NODEPORTS"):
        shared = chains.get(("nat", name))
        for front in filter(None, map(_FRONT.match, shared.lines if shared else ())):
            target, title = front["target"], front["title"]
            if title_hash(title, front["protocol"]) == target[-16:]:
                titles[target[-16:]] = title
            else:
                yield Drift("extra_rule", "nat", name, front[0], f"{target} is no chain of {title}")
            called = chains.get(("nat", target))
            if called and front["about"] == " cluster IP":
                yield from _masquerading(called, front["packets"], manner)
    for where, chain in chains.items():
        form = form_of(*where)
        is_own = OF_SERVICE.match(chain.name)
        if form and is_own and where not in callers:
            # With many endpoints kube-proxy tidies up later.
            if not manner.is_large:
                yield Drift("missing_rule", *where, detail="no rule leads to this chain")
        elif form:
            yield from from_form(chain, form)
            if is_own and chain.name.startswith("KUBE-SEP-"):
                yield from _endpoint(chain, titles.get(callers[where][-16:], ""))


def _masquerading(chain: Chain, packets: str, manner: Manner) -> Iterator[Drift]:
    """Whether packets to a cluster IP that do not come from pods are marked."""
    if manner.pods or manner.masquerades_all:
        source, interface = "", ""
        if not manner.masquerades_all:
            source, interface = (f"! {manner.pods} ", "") if manner.pods.startswith("-s") else ("", f"! {manner.pods} ")
        wanted = f"-A {chain.name} {source}{packets.replace('-p ', f'{interface}-p ', 1)}-j KUBE-MARK-MASQ"
        if chain.lines and chain.lines[0] != wanted and essence(wanted) not in map(essence, chain.lines):
            yield Drift("missing_rule", chain.table, chain.name, wanted)


def _endpoint(chain: Chain, title: str) -> Iterator[Drift]:
    """Whether a chain leads to the endpoint that its name is made of."""
    for told in filter(None, map(_DESTINATION.match, chain.lines)):
        if title and title_hash(title, told["protocol"], told["endpoint"]) != chain.name[-16:]:
            yield Drift("stale_endpoint", chain.table, chain.name, told[0], "its chain is that of another endpoint")


def _by_objects(chains: Chains, callers: Callers, predicted: Lines, titles: set[str]) -> Iterator[Drift]:
    """How the rules for Services differ from those that these ask for."""
    tables = {table for table, _chain in chains}
    for where, lines in predicted.items():
        if where[0] in tables and where not in chains and where not in callers:
            yield Drift("missing_rule", *where, detail=f"the chain is not there, nor are its {len(lines)} rules")
    for where, chain in chains.items():
        form, caller = form_of(*where), callers.get(where, "")
        is_own = bool(OF_SERVICE.match(chain.name))
        if form and (where in predicted or not is_own):
            last = (line for line in chain.lines if _called(line) == "KUBE-NODEPORTS")
            should = [*predicted.get(where, ()), *(line for line in last if form.letter(chain, line) != FOREIGN)]
            yield from from_rules(chain, should, form, is_own)
        # If a chain of a Service that should be there calls it, that call is what is wrong.
        elif form and not (OF_SERVICE.match(caller) and (where[0], caller) in predicted):
            yield _unknown(chain, titles)


def _is_left_over(where: Where, callers: Callers) -> bool:
    """Whether no packet comes to a chain of a Service: with many endpoints kube-proxy tidies up later."""
    for _level in ("SEP", "SVC", "EXT", "FW"):
        if OF_SERVICE.match(where[1]):
            where = (where[0], callers.get(where, ""))
    return not where[1]


def _unknown(chain: Chain, titles: set[str]) -> Drift:
    told = _TITLE.search(" ".join(chain.lines))
    is_stale = chain.name.startswith("KUBE-SEP-") and told is not None and told["title"] in titles
    code = "stale_endpoint" if is_stale else "extra_rule"
    return Drift(code, chain.table, chain.name, detail="no Service asks for this chain")
