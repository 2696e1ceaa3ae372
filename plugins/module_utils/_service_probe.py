# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Whether a Service answers whoever asks it from here.

from __future__ import annotations

import socket
import typing as t
from dataclasses import dataclass
from urllib.error import HTTPError, URLError

from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import condition, internal_addresses, named
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import ingress
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import Refused
from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

_TIMEOUT: t.Final = 5  # seconds for one answer

OPTIONS: t.Final = {
    "protocol": {"type": "str", "choices": ["tcp", "http"], "default": "tcp"},
    "port": {"type": "str"},
    "path": {"type": "str", "default": "/"},
    "status": {"type": "list", "elements": "int", "default": [200]},
}


@dataclass(frozen=True)
class Probe:
    """What to ask a Service for. port is the name or the number of one of its ports; None is its first of TCP."""

    protocol: str
    port: str | None
    path: str
    status: list[int]


def targets(service: KubernetesObject, nodes: Iterable[KubernetesObject], asked: str | None) -> list[str]:
    """Where a Service is reached, as host:port: at its load balancer, at nodes that are Ready, or at its cluster IP."""
    spec = service["spec"]
    port = asked_port(service, asked)
    if spec.get("type") == "LoadBalancer":
        return [host_port(entry.get("ip") or entry["hostname"], port["port"]) for entry in ingress(service)]
    if spec.get("type") == "NodePort":
        ready = [node for node in nodes if condition(node, "Ready")]
        return [host_port(address, port["nodePort"]) for node in ready for address in internal_addresses(node)]
    return [host_port(address, port["port"]) for address in spec.get("clusterIPs") or [] if address != "None"]


def asked_port(service: KubernetesObject, asked: str | None) -> Mapping[str, t.Any]:
    """The port of TCP that has the name or number ASKED, or the first. Raises Refused if there is none."""
    ports: list[Mapping[str, t.Any]] = service["spec"].get("ports") or []
    there = [port for port in ports if port.get("protocol", "TCP") == "TCP"]
    found = [port for port in there if asked in (None, port.get("name"), str(port["port"]))]
    if not found:
        names = ", ".join(f"{port['port']} {port.get('name', '')}".strip() for port in there)
        raise Refused(
            Fault(
                "no_port_to_probe",
                "error",
                f"{named(service)} has no port for its probe.",
                f"the probe asks for {asked or 'any port of TCP'}, the ports of TCP are: {names or 'none'}",
                "Name a port of the Service in probe, by name or number. Other protocols than TCP cannot be probed.",
            )
        )
    return found[0]


def silence(target: str, probe: Probe) -> str:
    """Ask, and say what was wrong with the answer; empty if nothing was."""
    try:
        if probe.protocol == "tcp":
            host, _colon, port = target.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT).close()
            return ""
        url = f"http://{target}/{probe.path.lstrip('/')}"
        status = _status(url)
    except (OSError, URLError) as error:
        return f"{target}: {getattr(error, 'reason', None) or error}"
    return "" if status in probe.status else f"{url}: HTTP status {status}"


def _status(url: str) -> int:
    from ansible.module_utils.urls import open_url  # loaded only here: it takes its time, and most tasks have no probe

    try:
        with open_url(url, timeout=_TIMEOUT, follow_redirects="none", use_proxy=False) as answer:
            return int(answer.status)
    except HTTPError as answer:
        return answer.code


def probe_fault(service: KubernetesObject, silences: Iterable[str]) -> Fault:
    return Fault(
        "no_answer",
        "error",
        f"{named(service)} has all that it needs, but does not answer from here.",
        "; ".join(silences),
        "Look whether this machine is on the LAN of the nodes, whether the pods listen on the target port, and whether "
        "there is a firewall between. A cluster IP answers only on a node.",
    )
