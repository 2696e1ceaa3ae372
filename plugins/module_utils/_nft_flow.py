# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through all tables of nft. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_walk import walk
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import NAT_PRIORITIES, BaseChain

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Chain, Rule, Ruleset, Table

# The families of tables whose rules a packet of IPv4 or IPv6 meets.
_FAMILIES: t.Final = {4: ("ip", "inet"), 6: ("ip6", "inet")}
_HOOKS: t.Final = ("prerouting", "input", "forward", "output", "postrouting")


def base_chains(ruleset: Ruleset, family: int) -> list[BaseChain[Rule]]:
    """The base chains that packets of a family meet, 4 or 6, in the order of the kernel.

    Of those with the same priority the one that was made last comes first, and nft prints what was made first at first.
    That of tables is the best guess for chains of different ones.
    """
    found = [
        (table, chain)
        for table in ruleset.values()
        if table.family in _FAMILIES[family] and not table.is_dormant
        for chain in table.chains.values()
        if chain.hook in _HOOKS
    ]
    found.reverse()
    found.sort(key=lambda one: one[1].priority)
    return [_base_chain(table, chain) for table, chain in found]


def _base_chain(table: Table, chain: Chain) -> BaseChain[Rule]:
    """A base chain by the priority at which it is asked: those that translate are in their order, but at one point."""
    hook, is_nat = chain.hook.upper(), chain.kind == "nat"
    priority = NAT_PRIORITIES[hook] if is_nat else chain.priority
    return BaseChain(hook, priority, f"{table.family} {table.name}", chain.name, is_nat, partial(walk, table, chain))
