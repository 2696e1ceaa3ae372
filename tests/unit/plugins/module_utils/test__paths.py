# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import read_iptables
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import look
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import (
    View,
    packet_to,
    pod_networks,
    source_of,
    unnamed,
)

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._paths import Source

ROUTES: t.Final = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0", "prefsrc": "10.42.0.1"},
    {"dst": "10.42.1.0/24", "dev": "flannel.1"},
]
AROUND: t.Final = given(4, ["192.168.1.10"], ROUTES, "", "")


def view(text: str = "") -> View:
    return look(read_iptables(text.splitlines()), AROUND, ["10.42.0.0/16", "fd42::/56"])


@pytest.mark.parametrize(
    ("address", "interface", "kind", "arrives"),
    [
        ("", "", "external", "eth0"),
        ("192.168.1.77", "", "external", "eth0"),
        ("192.168.1.77", "wlan0", "external", "wlan0"),
        ("10.42.0.9", "", "pod", "cni0"),
        ("10.42.1.9", "", "pod", "flannel.1"),
        ("192.168.1.10", "", "node", ""),
        ("127.0.0.1", "eth0", "node", ""),
    ],
)
def test_sources(address: str, interface: str, kind: str, arrives: str) -> None:
    source: Source = source_of(address, interface, view())
    assert (source.kind, source.interface) == (kind, arrives)
    assert source.address == (address or "203.0.113.1")


@pytest.mark.parametrize(
    ("detector", "found"),
    [
        ("-s 10.42.0.0/16", ["10.42.0.0/16", "10.42.0.0/24", "10.42.1.0/24"]),
        ("", ["10.42.0.0/24", "10.42.1.0/24"]),
        ("-s nowhere/16", ["10.42.0.0/24", "10.42.1.0/24"]),
        ("-i eth0", ["10.42.0.0/24", "10.42.1.0/24"]),  # a default route leads to no pods
    ],
)
def test_networks_of_pods(detector: str, found: list[str]) -> None:
    assert [str(network) for network in pod_networks(detector, AROUND)] == found


def test_where_a_packet_arrives_may_not_be_known() -> None:
    bare = look(read_iptables([]), given(4, ["192.168.1.10"], [], "", ""), [])
    front = Frontend("other", "10.43.0.41", 80, "tcp", "", "")
    assert packet_to(front, source_of("", "", bare)).in_interface is None
    assert packet_to(front, source_of("192.168.1.10", "", bare)).in_interface == ""


HOST_PORT: t.Final = """\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-DN-0f1e2d3c4b5a697887766 - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8443 -j CNI-DN-0f1e2d3c4b5a697887766
-A CNI-DN-0f1e2d3c4b5a697887766 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 10.42.0.5:443
COMMIT
"""


@pytest.mark.parametrize(("port", "kind"), [(8443, "host_port"), (22, "other")])
def test_a_port_of_the_node_may_lead_to_a_pod(port: int, kind: str) -> None:
    here = view(HOST_PORT)
    front = unnamed("192.168.1.10", port, "tcp", here, source_of("", "", here))
    assert (front.kind, front.address, front.port, front.service) == (kind, "192.168.1.10", port, "")
