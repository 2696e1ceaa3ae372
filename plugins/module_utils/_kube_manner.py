# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How kube-proxy writes rules on a node, seen in those that it has written. Python 3.9,
# standard library only.

from __future__ import annotations

import re
import typing as t
from collections import Counter
from itertools import islice

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain, Dump

# How packets to a cluster IP are told that come from no pod, and packets to an outer address that come from one.
_OFF_CLUSTER: t.Final = re.compile(r"-A \S+ (?:! (-s \S+) )?-d \S+ (?:! (-i \S+) )?-p .* -j KUBE-MARK-MASQ$")
_FROM_POD: t.Final = re.compile(r'-A \S+ (-[si] \S+) -m comment --comment "pod traffic for ')
# So many chains show what is usual, even if some were edited.
_ENOUGH: t.Final = 99
_MARK: t.Final = re.compile(r" --(?:mark|set-xmark) (0x[0-9a-f]+)/")
_FIXED: t.Final = (("nat", "KUBE-MARK-MASQ"), ("nat", "KUBE-POSTROUTING"), ("filter", "KUBE-FORWARD"))


def manner_of(dump: Dump, family: int, node_address: str) -> Manner:
    """How kube-proxy writes the rules for Services on a node that has this address."""
    chains = dump.tables.get("nat", {})
    off_cluster = _first_matches(chains, ("KUBE-SVC-", "KUBE-SVL-"), _OFF_CLUSTER)
    sources = Counter(match[1] or match[2] or "" for match in off_cluster)
    usual = sources.most_common(1)[0][0] if sources else ""
    from_pods = Counter(match[1] for match in _first_matches(chains, ("KUBE-EXT-",), _FROM_POD))
    node_ports = chains["KUBE-NODEPORTS"].lines if "KUBE-NODEPORTS" in chains else []
    return Manner(
        family,
        node_address,
        pods=usual or (from_pods.most_common(1)[0][0] if from_pods else ""),
        counts_localhost=any("localhost_nps_accepted_pkts" in line for line in node_ports),
        masquerades_all=bool(sources) and not usual,
        is_large=any(_has_no_comments(chain) for chain in _starting(chains, ("KUBE-SEP-",))),
    )


def _starting(chains: Mapping[str, Chain], prefixes: tuple[str, ...]) -> Iterable[Chain]:
    return (chain for name, chain in chains.items() if chain.lines and name.startswith(prefixes))


def _first_matches(
    chains: Mapping[str, Chain], prefixes: tuple[str, ...], pattern: re.Pattern[str]
) -> list[re.Match[str]]:
    matches = (pattern.match(chain.lines[0]) for chain in _starting(chains, prefixes))
    return list(islice(filter(None, matches), _ENOUGH))


def _has_no_comments(chain: Chain) -> bool:
    return not any("--comment" in line for line in chain.lines)


def fixed_rules(dump: Dump) -> dict[tuple[str, str], list[str]]:
    """The rules that are the same whatever Services there are, with the mark and the options that this node uses."""
    there = [chain.lines if chain else [] for chain in (dump.chain(*where) for where in _FIXED)]
    _marking, leaving, forwarding = there
    marks = Counter(_MARK.findall("\n".join(line for lines in there for line in lines)))
    mark = marks.most_common(1)[0][0] if marks else "0x4000"
    fully = " --random-fully" if any("--random-fully" in line for line in leaving) else ""
    # Not there where the kernel is told to let pass what is out of order.
    invalid = ["-m conntrack --ctstate INVALID -j DROP"] if any("INVALID" in line for line in forwarding) else []
    texts = (
        [f"-j MARK --set-xmark {mark}/{mark}"],
        [f"-m mark ! --mark {mark}/{mark} -j RETURN", f"-j MARK --set-xmark {mark}/0x0", f"-j MASQUERADE{fully}"],
        [*invalid, f"-m mark --mark {mark}/{mark} -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    )
    return {where: [f"-A {where[1]} {text}" for text in own] for where, own in zip(_FIXED, texts)}
