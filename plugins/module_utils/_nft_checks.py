# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the rules that kube-proxy writes in its mode nftables say of Services themselves.
# Python 3.9, standard library only.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import manner_of, texts
from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import finding

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

# Where kube-proxy says which Services have nobody who answers.
_NOWHERE: t.Final = ("no-endpoint-services", "no-endpoint-nodeports")


def services_without(table: Table, wanted: Iterable[str] | None) -> Iterator[Finding]:
    """Which ports of Services have nobody who answers. Of those that are wanted, as namespace/name, or of all."""
    names = None if wanted is None else set(wanted)
    told = set()
    for place in _NOWHERE:
        for element in table.sets[place].all if place in table.sets else ():
            kind = "no_local_endpoint" if element.value == {"drop": None} else "no_endpoint"
            port = element.comment
            if (kind, port) not in told and (names is None or port.partition(":")[0] in names):
                told.add((kind, port))
                yield finding(kind, element.text, _name(table), place, element.text, name=port)


def of_masquerading(table: Table) -> Iterator[Finding]:
    """Whether kube-proxy tells pods from others. If not, the rules that ask for it are not there at all."""
    manner = manner_of(table, 6 if table.family == "ip6" else 4, "", "")
    rules = texts(table, "services")
    if rules and not manner.pods and not manner.masquerades_all:
        yield finding("no_masquerade", rules[0], _name(table), "services")


def _name(table: Table) -> str:
    return f"{table.family} {table.name}"
