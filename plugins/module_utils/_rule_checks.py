# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What may be wrong around the rules of kube-proxy on a node, besides that they are not those
# that it would write. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import unknown_matches
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_match import Scope, unknown_parts
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import NFTABLES
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import POLICY, Packet
from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import share_text
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import packet_to, source_of
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import finding
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain, Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import AnyRule
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Backend
    from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey, Stage
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import Source, View
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

# Where kube-proxy says which Services have nobody who answers.
_NOWHERE: t.Final = (("filter", "KUBE-SERVICES"), ("filter", "KUBE-EXTERNAL-SERVICES"))
# Rules of these chains make no sense without a mark that they ask for: "all but those with this mark return".
_MARKED: t.Final = (("nat", "KUBE-POSTROUTING", "RETURN"), ("nat", "CNI-HOSTPORT-MASQ", "MASQUERADE"))
# The chains in which kube-proxy, and the kubelet, refuse packets.
_OF_KUBE_PROXY: t.Final = ("KUBE-SERVICES", "KUBE-EXTERNAL-", "KUBE-PROXY-", "KUBE-FORWARD", "KUBE-FIREWALL")
_TABLES_OF_KUBE_PROXY: t.Final = ("ip kube-proxy", "ip6 kube-proxy")
_UNSHOWN: t.Final = "[unsupported revision]"
_PRECISION: t.Final = 1e-6
_TERMINAL: t.Final = ("ACCEPT", "DNAT", "DROP", "REDIRECT", "REJECT")


def of_backends(backend: Backend) -> Iterator[Finding]:
    """Whether kube-proxy has any rules, and whether there are some of its other mode, or of both variants of iptables.

    Rules of others by iptables and by nftables are not unusual, and all of them are followed.
    """
    counts = backend.counts
    if not counts[backend.variant]["kube_rules"]:
        yield finding("no_kube_proxy", _counted(counts))
    left = [
        variant
        for variant, count in counts.items()
        if count["kube_rules"] and (variant == NFTABLES) != (backend.variant == NFTABLES)
    ]
    if left:
        yield finding("both_modes", _counted(counts), other=listed(left))
    of_iptables = [variant for variant, count in counts.items() if variant != NFTABLES and count["rules"]]
    if len(of_iptables) > 1:
        used = backend.variant if backend.variant in of_iptables else of_iptables[0]
        others = [variant for variant in of_iptables if variant != used]
        yield finding("both_backends", _counted(counts), other=listed(others), variant=used)


def _counted(counts: dict[str, dict[str, int]]) -> str:
    return ", ".join(
        f"{variant}: {count['rules']} rules, {count['kube_rules']} of them kube-proxy's"
        for variant, count in counts.items()
    )


def of_dump(view: View) -> Iterator[Finding]:
    """What a dump does not show of the rules: lines that are none, tables that are cut, matches that are lost."""
    dump = view.ruleset.dump
    for misread in dump.misread:
        yield finding("lossy_dump", f"line {misread.number}: {misread.line}", detail=misread.why)
    for table in view.ruleset.incompatible:
        yield finding("lossy_dump", f"The table {table} is not in it.", detail="a table is not iptables' alone")
    for table in dump.tables.keys() - dump.whole:
        yield finding("lossy_dump", f"The table {table} has no COMMIT.", table, detail="it ends too early")
    for table, chain, target in _MARKED:
        for rule in _rules(dump, table, chain):
            if rule.target == target and not any(match.module == "mark" and match.options for match in rule.matches):
                yield finding("lossy_dump", rule.text, table, chain, rule.text, detail="a mark is missing")
    for chain_of_all in _foreign_and_fixed(dump):
        for line in chain_of_all.lines:
            if _UNSHOWN in line:
                yield finding(
                    "lossy_dump", line, chain_of_all.table, chain_of_all.name, line, detail="a match is not shown"
                )


def of_services(dump: Dump, services: Iterable[str] | None) -> Iterator[Finding]:
    """Which ports of Services have nobody who answers. Of services, as namespace/name, or of all."""
    wanted = None if services is None else set(services)
    told = set()
    for table, name in _NOWHERE:
        chain = dump.chain(table, name)
        for line in chain.lines if chain else ():
            match = re.search(r'--comment "(\S+) has no (local )?endpoints"', line)
            if match and (wanted is None or match[1].partition(":")[0] in wanted) and match.groups() not in told:
                told.add(match.groups())
                kind = "no_local_endpoint" if match[2] else "no_endpoint"
                yield finding(kind, line, table, name, line, name=match[1])


def of_masquerading(dump: Dump, detector: str) -> Iterator[Finding]:
    """Whether kube-proxy tells pods from others. If not, the rules that ask for it are not there at all."""
    inside = [line for line in _lines(dump, "nat", "KUBE-SERVICES") if 'cluster IP"' in line]
    if not inside or detector:
        return
    first = re.search(r" -j (\S+)", inside[0])
    rules = _lines(dump, "nat", first[1]) if first else []
    if not any(" -j KUBE-MARK-MASQ" in line for line in rules):
        yield finding("no_masquerade", "\n".join(rules[:1]), "nat", first[1] if first else "")


def of_order(view: View) -> Iterator[Finding]:
    """Which rules take packets to Services before those of kube-proxy do."""
    dump = view.ruleset.dump
    for beginning in ("PREROUTING", "OUTPUT"):
        rules = _rules(dump, "nat", beginning)
        ours = [number for number, rule in enumerate(rules) if rule.target == "KUBE-SERVICES"]
        for rule in rules[: ours[0]] if ours else ():
            if _ends(dump, rule.target, set()):
                yield finding("foreign_rule_first", rule.text, "nat", beginning, rule.text)


def _ends(dump: Dump, target: str, seen: set[str]) -> bool:
    """Whether a packet's way through the table nat may end at a target, or in a chain or what that calls."""
    if target in _TERMINAL:
        return True
    if target in seen:
        return False
    seen.add(target)
    return any(_ends(dump, rule.target, seen) for rule in _rules(dump, "nat", target))


def of_policy(view: View) -> Iterator[Finding]:
    """Whether the policy of FORWARD stops what pods send each other.

    A first packet has no mark that would let it pass.
    """
    if not view.pods:
        return
    network = view.pods[0]
    one, other = (str(network[number]) for number in (min(2, network.num_addresses - 1), network.num_addresses // 2))
    for stage in view.follow(Packet("tcp", one, other, 40000, 80)).stages:
        if stage.hook == "FORWARD" and _ends_by_policy(stage):
            evidence = f"policy drop of {stage.chain}, and no rule for {one} to {other}"
            yield finding("policy_drop", evidence, stage.table, stage.chain, pods=str(network))


def _ends_by_policy(stage: Stage[AnyRule]) -> bool:
    """Whether some of the packets are dropped because no rule has said anything else."""
    return sum(share.least for share in stage.outcome.stopped.get(POLICY, {}).values()) > _PRECISION


def of_journey(frontend: Frontend, source: Source, journey: Journey[AnyRule], view: View) -> Iterator[Finding]:
    """What a way shows of the rules on it: policies that end it, and matches that cannot be told."""
    node = view.around.node
    packet = packet_to(frontend, source)
    name = f"{frontend.address}:{frontend.port} from {source.address}"
    is_at_loopback = frontend.kind == "node_port" and ipaddress.ip_address(frontend.address).is_loopback
    if is_at_loopback and not view.proxier.serves_loopback:
        evidence = f"{frontend.address} port {frontend.port}/{frontend.protocol}"
        yield finding("no_loopback_node_port", evidence, name=frontend.service, detail=frontend.address)
    for stage in journey.stages:
        if _ends_by_policy(stage):
            yield finding("policy_drop_here", f"policy drop of {stage.chain}", stage.table, stage.chain, name=name)
        for hit in stage.outcome.hits:
            if hit.stops and hit.share.least > 0 and not _is_of_kube_proxy(hit.rule):
                place = (hit.rule.table, hit.rule.chain, hit.rule.text)
                yield finding("refused_by_others", hit.rule.text, *place, name=name, share=share_text(hit.share.least))
            if hit.share.least == hit.share.most:
                continue
            if isinstance(hit.rule, Rule):
                unknown = unknown_matches(hit.rule, packet, node.facts)
            else:
                family, _blank, name = hit.rule.table.partition(" ")
                scope = Scope(view.ruleset.native[family, name], node.facts)
                unknown = unknown_parts(hit.rule.expressions, packet, scope)
            if unknown:
                yield _unknown(hit.rule, unknown)
        for rule in stage.outcome.unknown:
            yield _unknown(rule, ["what it does"])


def _is_of_kube_proxy(rule: AnyRule) -> bool:
    if isinstance(rule, Rule):
        return rule.chain.startswith(_OF_KUBE_PROXY)
    return rule.table in _TABLES_OF_KUBE_PROXY


def of_foreign_matches(view: View) -> Iterator[Finding]:
    """The rules of which cannot be told whether they match. Those that kube-proxy writes for Services can."""
    facts = view.around.node.facts
    packet = packet_to_nobody(view)
    for chain in _foreign_and_fixed(view.ruleset.dump):
        for rule in chain.rules:
            unknown = unknown_matches(rule, packet, facts)
            if unknown:
                yield _unknown(rule, unknown)


def packet_to_nobody(view: View) -> Packet:
    source = source_of("", "", view)
    return Packet("tcp", source.address, source.address, 40000, 80, in_interface="eth0", out_interface="eth0")


def _unknown(rule: AnyRule, matches: list[str]) -> Finding:
    return finding("unknown_match", rule.text, rule.table, rule.chain, rule.text, detail=listed(matches))


def of_affinity(view: View) -> Iterator[Finding]:
    """Which lists of clients that stay with an endpoint are full."""
    limit = view.around.most_remembered
    for name, count in view.around.remembered.items():
        chain = view.ruleset.dump.chain("nat", name)
        if chain and limit and count >= limit:
            comments = [rule.comment for rule in chain.rules if rule.comment]
            called = f"{comments[0]}, by {name}," if comments else name
            evidence = f"/proc/net/xt_recent/{name} has {count} lines, ip_list_tot is {limit}"
            yield finding("affinity_table_full", evidence, "nat", name, name=called, detail=str(count))


def _foreign_and_fixed(dump: Dump) -> Iterator[Chain]:
    """The chains but those that kube-proxy makes for each Service and endpoint."""
    for chains in dump.tables.values():
        for name, chain in chains.items():
            if not re.match(r"KUBE-(SVC|SVL|EXT|FW|SEP)-|KUBE-(SERVICES|NODEPORTS|EXTERNAL-SERVICES)$", name):
                yield chain


def _rules(dump: Dump, table: str, name: str) -> list[Rule]:
    chain = dump.chain(table, name)
    return chain.rules if chain else []


def _lines(dump: Dump, table: str, name: str) -> list[str]:
    chain = dump.chain(table, name)
    return chain.lines if chain else []
