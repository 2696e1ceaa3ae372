# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an archive fits an inventory and its hosts.

Private to the collection. The nodes are checked as preflight does it, but with the k3s that the archive brings back.
"""

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_inventory import preflight_faults
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Reading

Manifest = t.Mapping[str, t.Any]
Groups = t.Mapping[str, t.Sequence[str]]
FaultRecord = dict[str, str]

_OF_K3S = {
    "another_kind",
    "another_token",
    "config_unreadable",
    "data_dir_moved",
    "downgrade",
    "dropin_overrides",
    "minor_skipped",
    "network_changed",
    "upgrade",
}
"""The faults of preflight that the k3s of a node has, whatever else the node is."""


def restore_faults(
    manifest: Manifest,
    readings: t.Mapping[str, Reading],
    hostvars: t.Mapping[str, t.Any],
    groups: Groups,
    defaults: t.Mapping[str, t.Any],
    accept: t.Sequence[str],
) -> list[FaultRecord]:
    """What speaks against bringing an archive back, errors first."""
    nodes = manifest.get("nodes")
    if not nodes or not {"datastore", "k3s_version"} <= manifest.keys():
        return [asdict(_no_cluster())]
    own = [asdict(fault) for fault in (*_first_server(manifest, groups), *_left_behind(manifest, groups))]
    # The unit is in no archive: the one that is there stays.
    then: dict[str, Reading] = {
        host: {**readings[host], "k3s": node["k3s"] | {"unit": readings[host]["k3s"]["unit"]}}
        for host, node in nodes.items()
        if host in readings
    }
    found = preflight_faults(then, hostvars, groups, defaults, 0.0, 0.0, accept)
    of_k3s = [
        {**fault, "message": f"By the archive: {fault['message']}"} for fault in found if fault["code"] in _OF_K3S
    ]
    return sorted(own + of_k3s, key=lambda fault: fault["severity"] != "error")


def _no_cluster() -> Fault:
    return Fault(
        "not_of_a_cluster",
        "error",
        "The archive is not one of a cluster.",
        "its manifest names no nodes and no datastore",
        "Take an archive that the playbook homecloud.k3s.backup has made.",
    )


def _first_server(manifest: Manifest, groups: Groups) -> t.Iterator[Fault]:
    """The datastore comes back onto the first server, whose keys must be in the archive."""
    first = next(iter(groups.get("server", [])), "")
    servers = [host for host, node in manifest["nodes"].items() if node["kind"] == "server"]
    if first not in servers:
        yield Fault(
            "first_server_unknown",
            "error",
            f'The data would come back onto the first server, "{first}", which is no server in the archive.',
            f"servers in the archive: {', '.join(servers)}",
            f'Put {servers[0] if servers else "one of them"} first in the group "server". Its address may be another.',
            first,
        )


def _left_behind(manifest: Manifest, groups: Groups) -> t.Iterator[Fault]:
    """The cluster would wait for a node that is in no inventory any more."""
    for host in sorted(set(manifest["nodes"]) - {*groups.get("server", []), *groups.get("agent", [])}):
        yield Fault(
            "node_left_behind",
            "warning",
            "The node is in the archive and not in the inventory: the cluster will know it, as one that is not Ready.",
            f"nodes in the archive: {', '.join(manifest['nodes'])}",
            f'Put it into the inventory, or afterwards run "kubectl delete node {host}".',
            host,
        )
