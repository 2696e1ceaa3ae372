# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the modules return of Services.

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import addresses_of
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import announced_by, endpoints, node_ports
from ansible_collections.homecloud.k3s.plugins.module_utils._text import table

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot


def answer(service: KubernetesObject, snapshot: Snapshot, faults: list[Fault]) -> dict[str, t.Any]:
    """What the modules return of a Service."""
    metadata = {name: value for name, value in service["metadata"].items() if name != "managedFields"}
    return {
        "service": {**service, "metadata": metadata},
        "addresses": addresses_of(service),
        "node_ports": [asdict(port) for port in node_ports(service)],
        "endpoints": [asdict(endpoint) for endpoint in endpoints(service, snapshot)],
        "announced_by": announced_by(service, snapshot),
        "diagnosis": [asdict(fault) for fault in faults],
    }


def service_table(services: Iterable[Mapping[str, t.Any]]) -> list[str]:
    """Services, as kube_service_info returns them, as lines of text."""
    head = ["SERVICE", "TYPE", "ADDRESS", "PORTS", "ENDPOINTS", "ANNOUNCED BY", "SERVES"]
    return table(head, *(_row(service) for service in services))


def _row(service: Mapping[str, t.Any]) -> list[str]:
    spec, found = service["service"]["spec"], service["endpoints"]
    ports = [
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port['protocol']}"
        for port in spec.get("ports") or []
    ]
    addresses = service["addresses"] or spec.get("clusterIPs") or [spec.get("externalName", "")]
    pods = {endpoint["address"]: endpoint["ready"] for endpoint in found}
    return [
        f"{service['namespace']}/{service['name']}",
        spec["type"],
        ", ".join(addresses),
        ", ".join(ports),
        f"{sum(pods.values())}/{len(pods)}",
        ", ".join(service["announced_by"]),
        "yes" if service["healthy"] else f"NO: {', '.join(fault['code'] for fault in service['diagnosis'])}",
    ]
