# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The ways of packets as text.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import share_text
from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port, table
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_trace import tried, verdict

if t.TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: t.Final = {
    "cluster_ip": "cluster IP",
    "node_port": "node port",
    "load_balancer": "load balancer",
    "external_ip": "external IP",
    "host_port": "host port",
    "other": "address",
}


def path_lines(result: Mapping[str, t.Any]) -> list[str]:
    """The ways that the module kube_path_info has returned, as lines of text, and what the kernel has shown."""
    parts = [_path(path) for path in result["paths"]] + ([_trace(result)] if "trace" in result else [])
    return [line for part in parts for line in [*part, ""]][:-1]


def heading(path: Mapping[str, t.Any]) -> str:
    """What way it is."""
    front, source = path["frontend"], path["source"]
    place = f"{_KINDS[front['kind']]} {front['address']}, port {front['port']}/{front['protocol']}"
    owner = f"{front['service']}, " if front["service"] else ""
    return f"{owner}{place}, from {source['address']} ({source['kind']})"


def _path(path: Mapping[str, t.Any]) -> list[str]:
    return [*_underlined(heading(path)), path["reason"], "", *path["table"], *_endpoints(path["endpoints"])]


def _underlined(text: str) -> list[str]:
    return [text, "=" * len(text)]


def _endpoints(endpoints: list[Mapping[str, t.Any]]) -> list[str]:
    if not endpoints:
        return []
    rows = (
        [
            host_port(endpoint["address"], endpoint["port"]),
            share_text(endpoint["share"]),
            endpoint["source_seen"] or "not known",
        ]
        for endpoint in endpoints
    )
    return ["", *table(["ENDPOINT", "SHARE", "SEES THE SOURCE"], *rows)]


def _trace(result: Mapping[str, t.Any]) -> list[str]:
    trace, connections = result["trace"], tried(result)
    differences = [f"- {difference}" for difference in trace["differences"]]
    made = ["", *table(["FROM THE CONTROLLER TO", "RESULT"], *connections)] if connections else []
    return [*_underlined("What the kernel has shown"), verdict(trace), *differences, *made]
