# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Rules of iptables in words. Python 3.9, standard library only.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Match, Rule

_PROTOCOLS: t.Final = ("tcp", "udp", "sctp")


def match_text(rule: Rule) -> str:
    """What a rule asks for, without what only people read and what says nothing."""
    texts = [_match_text(match) for match in rule.matches if match.module not in ("comment", "nfacct")]
    return " ".join(filter(None, texts)) or "all"


def _match_text(match: Match) -> str:
    """The options of a match. Without any tcp only says the protocol again; others, as socket, ask for something."""
    return " ".join(map(str, match.options)) or ("" if match.module in _PROTOCOLS else match.module)


def action_text(rule: Rule) -> str:
    """What becomes of a packet that a rule matches."""
    arguments = " ".join(map(str, rule.arguments))
    texts = {
        "": "count only",
        "ACCEPT": f"accept: done with the table {rule.table}",
        "DROP": "drop",
        "REJECT": f"reject with {rule.argument('--reject-with') or 'an error'}",
        "RETURN": "return",
        "DNAT": f"send to {rule.argument('--to-destination') or 'another destination'}",
        "MASQUERADE": "masquerade: the source is this node from here on",
        "MARK": f"set the mark {rule.argument('--set-xmark') or arguments}",
    }
    if rule.target in texts:
        return texts[rule.target]
    if rule.target.isupper() and rule.arguments:
        return f"{rule.target} {arguments}"
    return f"{'continue in' if rule.goes else 'go to'} {rule.target}"
