# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from homelab import cable
from homelab.network import candidates, choose_network, controller_link
from homelab.shell import LabError


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "192.168.100"),
        (["192.0.2.2/24", "127.0.0.1/8"], "192.168.100"),
        (["192.168.100.17/24"], "192.168.101"),
        (["192.168.100.0/23", "192.168.102.5"], "192.168.103"),
        (["192.168.0.0/16"], "172.29.0"),
        (["0.0.0.0/1", "128.0.0.0/1"], "192.168.100"),
    ],
    ids=["nothing", "elsewhere", "address", "route and host", "all of a range", "vpn that takes everything"],
)
def test_choose_network(taken: list[str], chosen: str) -> None:
    assert choose_network(taken) == chosen


def test_no_network_left() -> None:
    with pytest.raises(LabError, match="ip route"):
        choose_network(["192.168.0.0/16", "172.16.0.0/12"])


def test_candidates_keep_clear_of_clusters() -> None:
    assert not [candidate for candidate in candidates() if candidate.startswith(("10.42.", "10.43."))]


@pytest.mark.parametrize("name", ["a", "home", "molecule", "a-very-long-name-for-a-lab"])
def test_controller_link_fits_the_kernel(name: str) -> None:
    assert len(controller_link(name)) <= 15


def test_controller_links_of_similar_names_differ() -> None:
    assert controller_link("a-very-long-name-for-lab-1") != controller_link("a-very-long-name-for-lab-2")


def test_hardware_address_is_local_and_stays() -> None:
    assert cable.hardware_address("192.168.100.101") == "02:4c:c0:a8:64:65"


def test_machines_of_two_networks_share_no_port() -> None:
    assert cable.port("lan", "192.168.100.50") == "lan50"
    assert cable.port("internet", "203.0.113.50") == "internet50"
