# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._quorum import quorum_faults
from hypothesis import given
from hypothesis import strategies as st

Thing = dict[str, t.Any]

# The conditions Ready and EtcdIsVoter of a member, each by a letter.
WELL, OFF, NEW, FORGOTTEN = "TT", "UT", "TF", "T-"
STATUS = {"T": "True", "F": "False", "U": "Unknown"}


def node(name: str, roles: str, health: str) -> Thing:
    conditions = [
        {"type": kind, "status": STATUS[letter]}
        for kind, letter in zip(("Ready", "EtcdIsVoter"), health)
        if letter in STATUS
    ]
    labels = {f"node-role.kubernetes.io/{role}": "true" for role in roles.split()}
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


def cluster(*servers: str, roles: str = "control-plane etcd") -> list[Thing]:
    """The servers s1, s2 and so on, and an agent. Nodes of the API may come in any order."""
    names = [f"s{number}" for number in range(1, len(servers) + 1)]
    members = [node(name, roles, health) for name, health in zip(names, servers)]
    return [node("a1", "", "T"), *reversed(members)]


def codes(nodes: list[Thing], leaving: str, for_good: bool) -> list[str]:
    return [fault["code"] for fault in quorum_faults(nodes, leaving.split(), for_good)]


@pytest.mark.parametrize("leaving", ["s1", "a1", "s1 a1", "", "nobody"])
def test_without_etcd_a_restart_loses_no_majority(leaving: str) -> None:
    assert codes(cluster("T", roles="control-plane"), leaving, for_good=False) == []


@pytest.mark.parametrize(
    ("servers", "leaving", "code"),
    [
        (["T"], "s1", "last_server"),
        (["T"], "a1 s1", "last_server"),
        (["U"], "s1", "last_server"),
        (["T"], "a1", ""),
        (["T"], "", ""),
        # With a datastore elsewhere there may be more.
        (["T", "T"], "s1", ""),
        (["T", "U"], "s1", ""),
        (["T", "T"], "s1 s2", "last_server"),
    ],
)
def test_removal_without_etcd(servers: list[str], leaving: str, code: str) -> None:
    assert codes(cluster(*servers, roles="control-plane"), leaving, for_good=True) == [*filter(None, [code])]


@pytest.mark.parametrize(
    ("servers", "leaving", "code"),
    [
        ([WELL], "s1", "last_server"),
        ([WELL, WELL], "s2", ""),
        ([WELL, WELL], "s1 s2", "last_server"),
        ([WELL, WELL, WELL], "s1", ""),
        ([WELL, WELL, WELL], "s1 s3", ""),
        ([WELL, WELL, WELL], "s1 s2 s3", "last_server"),
        ([WELL, WELL, WELL], "a1", ""),
        ([WELL, WELL, WELL], "", ""),
        ([WELL] * 5, "s1 s2 s3 s4", ""),
        # A dead one can leave as long as the others are a majority of all.
        ([WELL, WELL, OFF], "s3", ""),
        ([WELL, WELL, OFF], "s1", "quorum_lost"),
        ([WELL, WELL, OFF], "s3 s1", ""),
        ([WELL, WELL, OFF], "s1 s3", "quorum_lost"),
        ([WELL, OFF], "s2", "quorum_lost"),
        ([WELL, OFF], "s1", "quorum_lost"),
        ([WELL, OFF, OFF], "s3", "quorum_lost"),
        ([WELL, WELL, WELL, OFF], "s1", ""),
        ([WELL, WELL, OFF, OFF], "s4", "quorum_lost"),
        ([WELL, WELL, WELL, OFF, OFF], "s5", ""),
        ([WELL, WELL, WELL, OFF, OFF], "s1", "quorum_lost"),
        ([WELL, WELL, WELL, OFF, OFF], "s5 s1", ""),
        ([WELL, WELL, OFF], "a1", ""),
        # One that has no vote yet, or says nothing of it, is no more use than a dead one.
        ([WELL, WELL, NEW], "s1", "quorum_lost"),
        ([WELL, WELL, NEW], "s3", ""),
        ([WELL, WELL, FORGOTTEN], "s1", "quorum_lost"),
    ],
)
def test_removal_with_etcd(servers: list[str], leaving: str, code: str) -> None:
    assert codes(cluster(*servers), leaving, for_good=True) == [*filter(None, [code])]


@pytest.mark.parametrize(
    ("servers", "leaving", "code"),
    [
        ([WELL], "s1", ""),
        ([WELL, WELL], "s1", ""),
        ([WELL, OFF], "s1", "quorum_lost"),
        ([WELL, OFF], "s2", ""),
        ([WELL, NEW], "s1", "quorum_lost"),
        ([WELL, WELL], "s1 s2", ""),
        ([WELL, WELL, WELL], "s2", ""),
        ([WELL, WELL, WELL], "s1 s2", "quorum_lost"),
        ([WELL, WELL, WELL], "s1 s2 s3", "quorum_lost"),
        ([WELL, WELL, WELL], "a1", ""),
        ([WELL, WELL, OFF], "s1", "quorum_lost"),
        ([WELL, WELL, OFF], "s3", ""),
        ([WELL, WELL, NEW], "s1", "quorum_lost"),
        ([WELL, OFF, OFF], "a1", ""),
        ([WELL, WELL, WELL, WELL], "s1", ""),
        ([WELL, WELL, WELL, WELL], "s1 s2", "quorum_lost"),
        ([WELL] * 5, "s1 s2", ""),
        ([WELL, WELL, WELL, WELL, OFF], "s1", ""),
        ([WELL, WELL, WELL, OFF, OFF], "s1", "quorum_lost"),
    ],
)
def test_restart_with_etcd(servers: list[str], leaving: str, code: str) -> None:
    assert codes(cluster(*servers), leaving, for_good=False) == [*filter(None, [code])]


def test_members_that_are_no_servers_keep_the_data_too() -> None:
    nodes = [node("s1", "control-plane", "T"), node("e1", "etcd", WELL), node("e2", "etcd", OFF)]
    assert codes(nodes, "e2 e1", for_good=True) == ["last_server"]
    assert codes(nodes, "s1", for_good=True) == ["last_server"]
    assert codes(nodes, "e1", for_good=True) == ["quorum_lost"]


def test_a_fault_names_the_servers_that_are_not_healthy() -> None:
    (fault,) = quorum_faults(cluster(WELL, WELL, "UF"), ["s1"], for_good=True)
    assert fault == {
        "code": "quorum_lost",
        "severity": "error",
        "host": "",
        "message": "Without s1 the datastore has no majority of healthy servers.",
        "evidence": "the servers are s1, s2, s3; s3 is not Ready and not EtcdIsVoter",
        "advice": "Repair s3 first, or if that cannot be, remove it first with the playbook homecloud.k3s.remove_node.",
    }


def test_too_many_at_once() -> None:
    (fault,) = quorum_faults(cluster(WELL, WELL, WELL), ["s2", "s1", "s2"], for_good=False)
    assert fault["message"] == "Without s1, s2 the datastore has no majority of healthy servers."
    assert fault["advice"] == "Let fewer servers leave at once."


def test_a_majority_that_is_gone_already() -> None:
    (fault,) = quorum_faults(cluster(WELL, OFF), ["s2"], for_good=True)
    assert fault["message"].startswith("The datastore has no majority of healthy servers")
    assert fault["evidence"] == "the servers are s1, s2; s2 is not Ready"
    assert fault["advice"].startswith("Repair s2 first.")
    assert "--cluster-reset" in fault["advice"]


def test_nodes_may_have_no_labels_and_no_status() -> None:
    assert quorum_faults([{"metadata": {"name": "new"}}], ["new"], for_good=True) == []


HEALTHS = st.lists(st.sampled_from([WELL, WELL, WELL, OFF, NEW]), min_size=1, max_size=7)


def healthy(nodes: list[Thing]) -> int:
    return sum(all(entry["status"] == "True" for entry in thing["status"]["conditions"]) for thing in nodes)


@given(HEALTHS, st.data())
def test_what_may_be_removed_never_loses_the_majority(healths: list[str], data: st.DataObject) -> None:
    members = cluster(*healths)[1:]
    leaving = data.draw(st.lists(st.sampled_from([thing["metadata"]["name"] for thing in members]), unique=True))
    if quorum_faults(members, leaving, for_good=True):
        return
    for name in leaving:
        assert 2 * healthy(members) > len(members), "the removal is not agreed upon"
        members = [thing for thing in members if thing["metadata"]["name"] != name]
        assert 2 * healthy(members) > len(members), "nothing can be written any more"


@given(HEALTHS, st.data())
def test_who_may_be_away_never_takes_the_majority_along(healths: list[str], data: st.DataObject) -> None:
    members = cluster(*healths)[1:]
    leaving = data.draw(st.lists(st.sampled_from([thing["metadata"]["name"] for thing in members]), unique=True))
    if not leaving or quorum_faults(members, leaving, for_good=False):
        return
    rest = [thing for thing in members if thing["metadata"]["name"] not in leaving]
    if len(members) <= 2:
        assert healthy(rest) == len(rest)
    else:
        assert 2 * healthy(rest) > len(members)


@given(st.integers(1, 7), st.data())
def test_healthy_servers_may_always_leave_but_for_the_last(count: int, data: st.DataObject) -> None:
    leaving = data.draw(st.lists(st.sampled_from([f"s{number}" for number in range(1, count + 1)]), unique=True))
    faults = quorum_faults(cluster(*[WELL] * count), leaving, for_good=True)
    assert bool(faults) == (len(leaving) == count)
