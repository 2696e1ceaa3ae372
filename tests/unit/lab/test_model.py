# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from homelab.model import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("home", "192.168.100", 3, tmp_path)


def test_layout(lab: Lab) -> None:
    assert {host.name: host.address for host in lab.hosts} == {
        "router": "192.168.100.1",
        "mirror": "192.168.100.3",
        "client": "192.168.100.50",
        "internet": "203.0.113.53",
        "outside": "203.0.113.50",
        "server1": "192.168.100.101",
        "agent1": "192.168.100.102",
        "agent2": "192.168.100.103",
    }
    assert [node.role for node in lab.nodes] == ["server", "agent", "agent"]
    assert {host.name: host.addresses for host in lab.hosts if "internet" in host.addresses} == {
        "router": {"lan": "192.168.100.1", "internet": "203.0.113.10"},
        "internet": {"internet": "203.0.113.53"},
        "outside": {"internet": "203.0.113.50"},
    }
    assert lab.controller == "192.168.100.2"
    assert lab.pool == "192.168.100.200-192.168.100.225"
    assert lab.sites == "192.168.100.200"


def test_servers_come_before_agents(lab: Lab) -> None:
    lab = replace(lab, node_count=5, server_count=3)
    assert {node.name: node.address for node in lab.nodes} == {
        "server1": "192.168.100.101",
        "server2": "192.168.100.102",
        "server3": "192.168.100.103",
        "agent1": "192.168.100.104",
        "agent2": "192.168.100.105",
    }
    assert [node.role for node in lab.nodes] == ["server", "server", "server", "agent", "agent"]


def test_two_labs_share_no_container(lab: Lab) -> None:
    other = Lab("other", "192.168.101", 3, lab.state)
    assert not {host.container for host in lab.hosts} & {host.container for host in other.hosts}


def test_a_saved_lab_is_found_again(lab: Lab) -> None:
    lab = replace(lab, server_count=2)
    lab.save()
    assert Lab.load(lab.state) == lab


def test_no_lab_where_none_was_saved(tmp_path: Path) -> None:
    assert Lab.load(tmp_path) is None
