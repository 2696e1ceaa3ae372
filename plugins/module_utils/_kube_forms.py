# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What rules kube-proxy writes into which of its chains. Python 3.9, standard library only.

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Malformed, read_rule

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain

# The chains of a port of a Service, which come by the thousand, end in a hash.
OF_SERVICE: t.Final = re.compile(r"KUBE-(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$")
FOREIGN: t.Final = "?"

# What iptables-save prints before the options of a match says nothing that these do not, and nfacct only counts.
_NOISE: t.Final = re.compile(
    r" -m (?:comment --comment|nfacct --nfacct-name +\S+|addrtype|conntrack|mark|recent|statistic|tcp|udp|sctp)(?= |$)"
)
_ANY: t.Final = "[A-Z2-7]{16}"
_TITLE: t.Final = r'[^/" ]+/[^" ]+'
_LAST: t.Final = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"


@dataclass(frozen=True)
class Form:
    """What kube-proxy writes into a chain: its rules, by a letter each, and the order in which all of them come.

    holds is the same in words. What is in may_repeat comes twice if something in a Service does. What is in endpoint
    leads to one, and what is in shares to each of them in turn.
    """

    rules: re.Pattern[str]
    whole: re.Pattern[str]
    holds: str = ""
    may_repeat: str = ""
    endpoint: str = ""
    shares: str = ""

    def letters(self, chain: Chain) -> str:
        """The rules of a chain by their letters."""
        return "".join(self.letter(chain, line) for line in chain.lines)

    def letter(self, chain: Chain, line: str) -> str:
        """A rule of a chain by its letter; FOREIGN for what is none of kube-proxy's."""
        match = self.rules.fullmatch(_plain(chain, line)) or self.rules.fullmatch(_plain(chain, _in_order(line)))
        return (match and match.lastgroup) or FOREIGN


def _plain(chain: Chain, line: str) -> str:
    """A rule without its chain and what says nothing. A star is what the name of its own chain ends in."""
    text = _NOISE.sub("", line[len("-A ") + len(chain.name) :]).lstrip()
    return text.replace(chain.name[-16:], "*") if OF_SERVICE.match(chain.name) else text


def _in_order(line: str) -> str:
    """A rule with its matches in the usual order: not every iptables prints them as they were given."""
    try:
        rule = read_rule("", 0, line)
    except Malformed:
        return line
    matches = sorted(rule.matches, key=lambda match: (match.module != "", match.module != "comment", match.module))
    texts = [f'-m comment --comment "{rule.comment}"' if match.module == "comment" else str(match) for match in matches]
    target = ["-g" if rule.goes else "-j", rule.target] if rule.target else []
    return " ".join(["-A", rule.chain, *texts, *target, *map(str, rule.arguments)])


def _form(whole: str, rules: Mapping[str, str], **rest: str) -> Form:
    parts = "|".join(f"(?P<{letter}>{text})" for letter, text in rules.items())
    return Form(re.compile(parts), re.compile(whole), **rest)


def _to(about: str) -> str:
    return rf'-d \S+ -p \w+ "{_TITLE} {about}" --dport \d+'


_NOWHERE: t.Final = r"-j (?:DROP|REJECT --reject-with \S+)"
_BALANCING: t.Final = _form(
    "m?a*s+",
    {
        "m": rf'(?:! -s \S+ )?-d \S+ (?:! -i \S+ )?-p \w+ "{_TITLE} cluster IP" --dport \d+ -j KUBE-MARK-MASQ',
        "a": rf'(?:"{_TITLE} -> \S+" )?--rcheck --seconds \d+ --reap --name KUBE-SEP-{_ANY} --mask \S+ --rsource '
        rf"-j KUBE-SEP-{_ANY}",
        "s": rf'(?:"{_TITLE} -> \S+" )?(?:--mode random --probability \S+ )?-j KUBE-SEP-{_ANY}',
    },
    holds="what marks packets that come from no pod, and then a rule for each endpoint",
    endpoint="as",
    shares="s",
)
_FORMS: t.Final = {
    ("nat", "KUBE-SERVICES"): _form(
        "[cen]*",
        {
            "c": rf"{_to('cluster IP')} -j KUBE-SV[CL]-{_ANY}",
            "e": rf"{_to('(?:external|loadbalancer) IP')} -j KUBE-(?:EXT|FW)-{_ANY}",
            "n": rf'(?:! -d \S+ )?"{_LAST}" --dst-type LOCAL -j KUBE-NODEPORTS|-d \S+ "{_LAST}" -j KUBE-NODEPORTS',
        },
        may_repeat="e",
    ),
    ("nat", "KUBE-NODEPORTS"): _form(
        "p*", {"p": rf'(?:-d 127\.0\.0\.0/8 )?-p \w+ "{_TITLE}" --dport \d+ -j KUBE-EXT-{_ANY}'}
    ),
    ("nat", "KUBE-SVC"): _BALANCING,
    ("nat", "KUBE-SVL"): _BALANCING,
    ("nat", "KUBE-EXT"): _form(
        "ms|p?krl?",
        {
            "m": rf'"masquerade traffic for {_TITLE} external destinations" -j KUBE-MARK-MASQ',
            "s": r"-j KUBE-SVC-\*",
            "p": rf'-[si] \S+ "pod traffic for {_TITLE} external destinations" -j KUBE-SVC-\*',
            "k": rf'"masquerade LOCAL traffic for {_TITLE} external destinations" --src-type LOCAL -j KUBE-MARK-MASQ',
            "r": rf'"route LOCAL traffic for {_TITLE} external destinations" --src-type LOCAL -j KUBE-SVC-\*',
            "l": r"-j KUBE-SVL-\*",
        },
        holds="what marks packets, and then what leads to the endpoints",
    ),
    ("nat", "KUBE-FW"): _form(
        "s*e",
        {
            "s": rf'-s \S+ "{_TITLE} loadbalancer IP" -j KUBE-EXT-\*',
            "e": rf'"other traffic to {_TITLE} will be dropped by KUBE-PROXY-FIREWALL"',
        },
        holds="the networks that may use the load balancer, and then a rule that only counts",
        may_repeat="s",
    ),
    ("nat", "KUBE-SEP"): _form(
        "hd",
        {
            "h": rf'-s \S+ (?:"{_TITLE}" )?-j KUBE-MARK-MASQ',
            "d": rf'-p \w+ (?:"{_TITLE}" )?(?:--set --name KUBE-SEP-\* --mask \S+ --rsource )?'
            r"-j DNAT --to-destination \S+",
        },
        holds="what marks the endpoint's own packets, and then its address",
        endpoint="d",
    ),
    ("filter", "KUBE-SERVICES"): _form("n*", {"n": f"{_to('has no (?:local )?endpoints')} {_NOWHERE}"}),
    ("filter", "KUBE-EXTERNAL-SERVICES"): _form(
        "[np]*",
        {
            "n": f"{_to('has no (?:local )?endpoints')} {_NOWHERE}",
            "p": rf'-p \w+ "{_TITLE} has no (?:local )?endpoints" --dst-type LOCAL --dport \d+ {_NOWHERE}',
        },
        may_repeat="n",
    ),
    ("filter", "KUBE-NODEPORTS"): _form(
        "h*", {"h": rf'-p tcp "{_TITLE} health check node port" --dport \d+ -j ACCEPT'}
    ),
    ("filter", "KUBE-PROXY-FIREWALL"): _form(
        "d*", {"d": f"{_to(f'traffic not accepted by KUBE-FW-{_ANY}')} -j DROP"}, may_repeat="d"
    ),
}


def form_of(table: str, chain: str) -> Form | None:
    """What kube-proxy writes into a chain for Services, None if it is none of its chains for these."""
    return _FORMS.get((table, chain[:-17] if OF_SERVICE.match(chain) else chain))
