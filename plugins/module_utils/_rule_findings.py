# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What is wrong with the rules of a node, in words. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from collections import Counter, defaultdict
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import shortened
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift

# The worst first: nothing gets through, something may not, or it is so by design.
SEVERITIES: t.Final = ("error", "warning", "info")

_MOST: t.Final = 50  # of a code that are shown one by one

_RESTART: t.Final = (
    'Restart k3s on this node, by "systemctl restart k3s" on a server and "systemctl restart k3s-agent" on an agent: '
    "kube-proxy then writes all of its rules anew. Pods keep running."
)


@dataclass(frozen=True)
class Finding:
    """What is wrong, by what it was seen, what to do, and the rule that it is about, if it is about one."""

    code: str
    severity: str
    message: str
    evidence: str
    advice: str
    table: str = ""
    chain: str = ""
    rule: str = ""


@dataclass(frozen=True)
class _Kind:
    """What a code says, and what to do, where {name} and the like are what it was called with."""

    severity: str
    message: str
    advice: str


_KINDS: t.Final = {
    "missing_jump": _Kind(
        "error",
        "{chain} of {table} does not call {detail}: packets that come this way miss the rules of kube-proxy.",
        "{restart} If it goes again later, something flushes the firewall, as firewalld, ufw and "
        "nftables.service do when they reload.",
    ),
    "dangling_jump": _Kind(
        "error",
        "{table}/{chain} calls {detail}, which is not there.",
        "The kernel allows no such rule, so the dump was cut or edited: save the rules again.",
    ),
    "missing_rule": _Kind(
        "error",
        "{place} lacks what kube-proxy has there.",
        "{restart} If it is so again, look in the log of k3s for iptables-restore or nft: it says there why it fails.",
    ),
    "extra_rule": _Kind(
        "warning",
        "{table}/{chain} has what kube-proxy does not write there.",
        "Find out who wrote it, and have that stopped. {restart}",
    ),
    "stale_endpoint": _Kind(
        "error",
        "{table}/{chain} leads to an endpoint that is none.",
        "{restart} If it comes back, look whether kube-proxy reaches the API: its log is that of k3s.",
    ),
    "skewed_share": _Kind(
        "warning",
        "{table}/{chain} does not share out evenly: {detail}.",
        "Find out who changed the rule. {restart}",
    ),
    "duplicate_rule": _Kind(
        "warning",
        "{table}/{chain} has a rule more than once.",
        "{restart} Rules of iptables are known to grow so with its versions 1.8.0 to 1.8.4: use a newer one, or that "
        "of k3s (prefer-bundled-bin: true in its configuration).",
    ),
    "both_backends": _Kind(
        "warning",
        "Both variants of iptables have rules here. A packet passes those of both, and a drop in either is one.",
        "Find out which program uses {other}, and have it use {variant} (update-alternatives --config iptables). What "
        "it has left goes with the next boot.",
    ),
    "both_modes": _Kind(
        "warning",
        "There are rules of both of kube-proxy's modes here. A packet passes those of both: those that are asked first "
        "send it to a pod, and what {other} has is left over, and may lead to pods that are gone.",
        "Whenever kube-proxy starts it takes away what its other mode has left. {restart} What is there even then was "
        "written by another variant of iptables than it finds now, or there is no nft for it: reboot the node.",
    ),
    "no_kube_proxy": _Kind(
        "error",
        "There are no rules of kube-proxy: no Service can be reached by way of this node.",
        "Look whether k3s runs on this node, and in its log why kube-proxy does not. Of saved rules: those of its mode "
        'nftables are saved by "nft --json list ruleset", and by iptables-save they are not.',
    ),
    "no_endpoint": _Kind(
        "warning",
        "No pod is ready for {name}: what comes for it is refused.",
        "homecloud.k3s.kube_service_info says what is wrong with its pods or its selector.",
    ),
    "no_local_endpoint": _Kind(
        "info",
        "No pod of this node is ready for {name}, and its traffic policy is Local: what comes for it here is dropped.",
        "Nothing, if this is meant. Otherwise ask another node, run a pod of it on each, or use the policy Cluster.",
    ),
    "no_masquerade": _Kind(
        "error",
        "kube-proxy does not know which addresses are those of pods: what others send to a cluster IP keeps its "
        "source, and answers may take another way back.",
        "Give k3s a cluster-cidr in its configuration, and no detect-local-mode that finds nothing, and restart it.",
    ),
    "foreign_rule_first": _Kind(
        "warning",
        "In {table}/{chain} another rule comes before those of kube-proxy, and may take their packets.",
        "Look whether it is meant for the same addresses and ports. {restart}",
    ),
    "policy_drop": _Kind(
        "error",
        "{chain} of {table} drops by its policy what is on its way between pods.",
        'Let it through, as by "{accept}", and the same for what is sent to them. Docker and hardening scripts set '
        "this policy.",
    ),
    "policy_drop_here": _Kind(
        "error",
        "{name} is dropped by the policy of {table}/{chain}: no rule lets it through.",
        "Add a rule that does, or a network policy, if these are what denies it.",
    ),
    "refused_by_others": _Kind(
        "warning",
        "{share} of what is sent to {name} is refused by a rule of {table}/{chain}, which is none of kube-proxy's.",
        "Nothing, if it is meant, as by a network policy. Otherwise find out who wrote the rule, and have it removed.",
    ),
    "lossy_dump": _Kind(
        "error",
        "The dump does not show all of the rules: {detail}.",
        "Save them with the program that has written them: that of the host, or that of k3s in "
        "/var/lib/rancher/k3s/data/current/bin/aux. Do not restore this dump.",
    ),
    "unknown_match": _Kind(
        "info",
        "Whether a rule of {table}/{chain} matches cannot be told from here: {detail}.",
        "Nothing has to be done. What comes after it is said to depend on it. Sets of ipset are known where it is "
        "installed, or by the option ipset.",
    ),
    "stale_conntrack": _Kind(
        "warning",
        "Connections to {name} are still sent to {detail}, which is no endpoint of it.",
        'Forget them by "{command}": the next packet is shared out anew.',
    ),
    "old_connections": _Kind(
        "info",
        "Connections to {name} that were begun earlier still go to {detail}, which is no endpoint of it now.",
        'By design: TCP keeps its way until it ends. To end it at once: "{command}".',
    ),
    "no_loopback_node_port": _Kind(
        "info",
        "The node port of {name} is not served at {detail}: in its mode nftables kube-proxy has none there.",
        "Ask for it at another address of the node.",
    ),
    "affinity_table_full": _Kind(
        "warning",
        "{name} remembers {detail} clients, as many as the kernel keeps: who came earlier is forgotten, and may get "
        "another pod.",
        "Let the kernel keep more: set the option ip_list_tot=10000 of xt_recent in /etc/modprobe.d, and reboot.",
    ),
}
# These are cases of another code, which say it in other words.
_CODES: t.Final = {
    "both_modes": "both_backends",
    "old_connections": "stale_conntrack",
    "policy_drop_here": "policy_drop",
}


def finding(kind: str, evidence: str, table: str = "", chain: str = "", rule: str = "", **words: str) -> Finding:
    """A finding of a kind that is known."""
    known = _KINDS[kind]
    place = "/".join(filter(None, (table, chain)))
    accept = _accepting(table, chain, words.get("pods", ""))
    words = {"table": table, "chain": chain, "place": place, "accept": accept, "restart": _RESTART, **words}
    texts = (known.message.format(**words), evidence, known.advice.format(**words))
    return Finding(_CODES.get(kind, kind), known.severity, *texts, table, chain, rule)


def _accepting(table: str, chain: str, source: str) -> str:
    """The command that lets pass what comes from a network. Tables of nftables are named after their family."""
    is_newer = ":" in source
    if " " in table:
        return f"nft add rule {table} {chain} {'ip6' if is_newer else 'ip'} saddr {source} accept"
    return f"{'ip6tables' if is_newer else 'iptables'} -A {chain} -s {source} -j ACCEPT"


def of_drift(drift: Drift) -> Finding:
    """A difference from what kube-proxy would write, as a finding."""
    rule = shortened(drift.rule)
    about = "" if "{detail}" in _KINDS[drift.code].message else drift.detail
    if drift.code in ("missing_jump", "missing_rule"):
        about = about or "not there"
    evidence = ": ".join(filter(None, (about, rule)))
    return finding(drift.code, evidence, drift.table, drift.chain, rule, detail=drift.detail)


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, the worst first. Of what there is very often, as rules that are gone, it is said how often."""
    of_code = defaultdict(list)
    for found in dict.fromkeys(findings):
        of_code[found.code, found.severity].append(found)
    shown = [found for alike in of_code.values() for found in _first(alike)]
    return sorted(shown, key=lambda found: SEVERITIES.index(found.severity))


def _first(alike: list[Finding]) -> list[Finding]:
    """The first of those of a code, with the number of the others."""
    more = len(alike) - _MOST
    if more <= 0:
        return alike
    one = alike[_MOST]
    places = Counter(f"{found.table}/{found.chain}" for found in alike[_MOST:])
    others = Finding(one.code, one.severity, f"There are {more} more of {one.code}.", listed(places), one.advice)
    return [*alike[:_MOST], others]
