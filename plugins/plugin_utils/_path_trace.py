# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the kernel has shown while the controller made connections, in words.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    Thing = Mapping[str, t.Any]


def verdict(trace: Thing) -> str:
    """How many packets there were, and whether they went as explained."""
    if not trace["seen"]:
        return "The kernel has seen no packet, which neither confirms nor disproves what is explained."
    how = "All went as explained." if trace["agrees"] else "Not all went as explained."
    return f"First packets of connections that the kernel has traced: {trace['seen']}. {how}"


def tried(result: Thing) -> list[tuple[str, str]]:
    """Each front end, and what became of the connections that were made to it, if it is told."""
    if "connections" not in result:
        return []
    made = {(one["address"], one["port"]): one for one in result["connections"]}
    fronts = [path["frontend"] for path in result["paths"]]
    return [
        (f"{host_port(front['address'], front['port'])}/{front['protocol']}", _outcome(front, made)) for front in fronts
    ]


def _outcome(front: Thing, made: Mapping[tuple[str, int], Thing]) -> str:
    if front["protocol"] != "tcp":
        return "not tried: only connections of TCP are made"
    if front["kind"] == "cluster_ip":
        return "not tried: it is only reached from inside of the cluster"
    one = made[front["address"], front["port"]]
    count = f"{one['made']} of {one['tried']} connections came about"
    return f"{count} ({one['error']})" if one["error"] else count
