# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. All rules that a packet meets on a node, those of iptables and those of nftables together.
# Python 3.9, standard library only.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils import _iptables_flow, _nft_flow, _nft_ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Ruleset
    from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import BaseChain

# A rule of either system. Both have a table, a chain, a number, a text and a comment.
AnyRule = t.Union[Rule, _nft_ruleset.Rule]


def base_chains(ruleset: Ruleset) -> list[BaseChain[t.Any]]:
    """The base chains that packets meet. Of those with the same priority the one comes first that was made last."""
    chains: list[BaseChain[t.Any]] = [
        *_iptables_flow.base_chains(ruleset.dump),
        *_nft_flow.base_chains(ruleset.native, ruleset.family),
    ]
    number = {table_name(ruleset.family, name): number for number, name in enumerate(ruleset.made)}
    return sorted(chains, key=lambda chain: number.get(table_name(ruleset.family, chain.table), 0), reverse=True)


def table_name(family: int, table: str) -> str:
    """The name of a table with its family, which the rules of iptables leave out, as the kernel knows it: "ip nat"."""
    return table if " " in table else f"{'ip6' if family == 6 else 'ip'} {table}"
