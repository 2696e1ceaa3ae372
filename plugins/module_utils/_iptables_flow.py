# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet through all tables of iptables. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from functools import partial

from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_walk import walk
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import NAT_PRIORITIES, BaseChain

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule

# The tables by the hooks at which they have a chain, of the hook's name, and their priorities.
_HOOKS: t.Final = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": tuple(NAT_PRIORITIES),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
TABLES: t.Final = tuple(_HOOKS)
_PRIORITIES: t.Final = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}


def base_chains(dump: Dump) -> Iterator[BaseChain[Rule]]:
    for table, hooks in _HOOKS.items():
        for hook in hooks:
            priority = NAT_PRIORITIES[hook] if table == "nat" else _PRIORITIES[table]
            asks = partial(walk, dump.tables.get(table, {}), hook)
            yield BaseChain(hook, priority, table, hook, table == "nat", asks)
