# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_join import k3s_join
from hypothesis import given
from hypothesis import strategies as st

SERVERS = {"pi1": "192.168.1.101", "pi2": "192.168.1.102", "pi3": "192.168.1.103"}
ENDPOINT = SERVERS["pi1"]
SHARED = "192.168.1.100"  # of no host
FOUNDS = {"cluster-init": True}

Reading = dict[str, t.Any]


def node(datastore: str = "", config: dict[str, t.Any] | None = None, runs: bool = True) -> Reading:
    units = {"k3s": {"active": "active" if runs else "inactive"}, "k3s-agent": {"active": "inactive"}}
    return {"k3s": {"datastore": datastore, "config": config or {}}, "units": units}


def agent(config: dict[str, str]) -> Reading:
    return {**node(config=config), "units": {"k3s-agent": {"active": "active"}}}


def joins(host: str) -> dict[str, str]:
    return {"server": f"https://{SERVERS.get(host, host)}:6443"}


BARE = node(runs=False)
FIRST = node("etcd", FOUNDS)
SECOND = node("etcd", joins("pi1"))
OFF = node("etcd", FOUNDS, runs=False)


@pytest.mark.parametrize(
    ("host", "readings", "config", "by"),
    [
        # nothing there yet
        ("pi1", {"pi1": BARE, "pi2": BARE}, FOUNDS, "pi1"),
        ("pi2", {"pi1": BARE, "pi2": BARE}, joins("pi1"), "pi1"),
        ("pi4", {"pi1": BARE, "pi4": BARE}, joins("pi1"), "pi1"),
        # a first one that runs on SQLite takes its data along
        ("pi1", {"pi1": node("sqlite")}, FOUNDS, "pi1"),
        ("pi2", {"pi1": node("sqlite"), "pi2": BARE}, joins("pi1"), "pi1"),
        # what there is stays
        ("pi1", {"pi1": FIRST, "pi2": SECOND}, FOUNDS, "pi1"),
        ("pi2", {"pi1": FIRST, "pi2": SECOND}, joins("pi1"), "pi1"),
        ("pi4", {"pi1": FIRST, "pi4": agent(joins("pi1"))}, joins("pi1"), "pi1"),
        # the first one is off
        ("pi2", {"pi1": OFF, "pi2": SECOND}, joins("pi1"), "pi2"),
        ("pi2", {"pi2": SECOND}, joins("pi1"), "pi2"),
        ("pi3", {"pi1": OFF, "pi2": SECOND, "pi3": BARE}, joins("pi2"), "pi2"),
        ("pi4", {"pi1": OFF, "pi2": SECOND, "pi4": agent(joins("pi1"))}, joins("pi1"), "pi2"),
        ("pi4", {"pi1": OFF, "pi2": SECOND, "pi4": BARE}, joins("pi2"), "pi2"),
        # the first one was installed anew
        ("pi1", {"pi1": BARE, "pi2": SECOND}, joins("pi2"), "pi2"),
        ("pi1", {"pi1": BARE, "pi2": node("etcd", joins("pi1"), runs=False)}, joins("pi2"), "pi2"),
        ("pi1", {"pi1": node("etcd", joins("pi2")), "pi2": SECOND}, joins("pi2"), "pi1"),
        # it was told of a server that is none any more
        ("pi2", {"pi1": FIRST, "pi2": node("etcd", joins("192.168.1.109"))}, joins("pi1"), "pi1"),
        ("pi4", {"pi1": FIRST, "pi4": agent(joins("192.168.1.109"))}, joins("pi1"), "pi1"),
    ],
)  # fmt: skip
def test_where_a_node_joins(host: str, readings: dict[str, Reading], config: dict[str, object], by: str) -> None:
    assert k3s_join(readings, host, SERVERS, ENDPOINT) == {"config": config, "by": by}


def test_a_single_server_needs_neither() -> None:
    for reading in (BARE, node("sqlite")):
        assert k3s_join({"pi1": reading}, "pi1", {"pi1": ENDPOINT}, ENDPOINT)["config"] == {}
    assert k3s_join({"pi1": FIRST}, "pi1", {"pi1": ENDPOINT}, ENDPOINT)["config"] == FOUNDS


def test_a_name_stays_however_it_is_written() -> None:
    told = {"server": "https://Pi1.Home:6443"}
    servers = {"Pi1.Home": "", "pi2": ""}
    readings = {"Pi1.Home": FIRST, "pi2": node("etcd", told)}
    assert k3s_join(readings, "pi2", servers, "Pi1.Home")["config"] == told


def test_all_join_at_an_address_that_is_no_servers() -> None:
    readings = {"pi1": FIRST, "pi2": BARE, "pi4": agent(joins("pi1")), "pi3": SECOND}
    told = {host: k3s_join(readings, host, SERVERS, SHARED)["config"] for host in readings}
    # A member of etcd has no need of it, so it is not restarted for it.
    assert told == {"pi1": FOUNDS, "pi2": joins(SHARED), "pi4": joins(SHARED), "pi3": joins("pi1")}


def test_servers_without_addresses_are_known_by_name() -> None:
    servers = {"pi1": "", "pi2": ""}
    assert k3s_join({"pi1": BARE}, "pi2", servers, "pi1")["config"] == {"server": "https://pi1:6443"}
    assert k3s_join({"pi1": OFF, "pi2": SECOND}, "pi3", servers, "pi1")["config"] == {"server": "https://pi2:6443"}


def test_addresses_of_ipv6_have_brackets() -> None:
    servers = {"pi1": "fd00::1", "pi2": "fd00::2"}
    told = k3s_join({"pi1": FIRST}, "pi2", servers, "fd00::1")["config"]
    assert told == {"server": "https://[fd00::1]:6443"}
    assert k3s_join({"pi1": FIRST, "pi2": node("etcd", told)}, "pi2", servers, "fd00::1")["config"] == told


READINGS = st.sampled_from([BARE, FIRST, SECOND, OFF, node("sqlite"), node("sqlite", runs=False), None])


@given(st.fixed_dictionaries(dict.fromkeys(SERVERS, READINGS)), st.sampled_from([ENDPOINT, SHARED]))
def test_bare_servers_found_one_cluster_at_most_and_none_beside_another(
    states: dict[str, Reading | None], endpoint: str
) -> None:
    readings = {host: state for host, state in states.items() if state}
    answers = {host: k3s_join(readings, host, SERVERS, endpoint) for host in SERVERS}
    bare = [host for host in SERVERS if not readings.get(host, BARE)["k3s"]["datastore"]]
    founders = [host for host in bare if answers[host]["config"] == FOUNDS]
    assert len(founders) <= 1
    assert not founders or len(bare) == len(SERVERS)
    for host in bare:
        if host not in founders:
            assert answers[host]["by"] != host
            assert answers[host]["config"]["server"] != f"https://{SERVERS[host]}:6443"
