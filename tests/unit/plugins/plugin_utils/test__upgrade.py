# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from itertools import permutations

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade import upgrade_health, upgrade_plan
from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade_step import upgrade_step

Thing = dict[str, t.Any]

OLD, NEW = "v1.35.6+k3s1", "v1.36.2+k3s1"
MARK = "homecloud.k3s/upgrade"
WELL = ("Ready", "EtcdIsVoter")


def node(name: str, version: str = OLD, *conditions: str, mark: str = "", **spec: object) -> Thing:
    """A server if it is called one."""
    roles = ("control-plane", "etcd") if name.startswith("server") else ()
    true = conditions or WELL
    return {
        "metadata": {
            "name": name,
            "labels": {f"node-role.kubernetes.io/{role}": "true" for role in roles},
            "annotations": {MARK: mark} if mark else {},
        },
        "spec": spec,
        "status": {
            "conditions": [{"type": kind, "status": str(kind in true)} for kind in WELL],
            "nodeInfo": {"kubeletVersion": version},
        },
    }


def deployment(name: str, available: bool = True) -> Thing:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 2},
        "status": {"conditions": [{"type": "Available", "status": str(available)}]},
    }


def pod(name: str, on: str, controller: str = "ReplicaSet") -> Thing:
    owners = [{"kind": controller, "name": "x", "controller": True}] if controller else []
    return {
        "metadata": {"name": name, "namespace": "default", "ownerReferences": owners},
        "spec": {"nodeName": on},
        "status": {"phase": "Running"},
    }


SERVERS = [node(f"server{number}") for number in (1, 2, 3)]
AGENT = node("agent1")
BUDGET: Thing = {
    "metadata": {"name": "guard", "namespace": "default"},
    "spec": {"selector": {}},
    "status": {"disruptionsAllowed": 0},
}


def plan(*nodes: Thing, to: str = NEW, out: t.Sequence[str] = (), force: bool = False, **more: object) -> Thing:
    """Of hosts that are called as their nodes, in this order, but for those that are OUT of the run."""
    names = [thing["metadata"]["name"] for thing in nodes]
    hosts = {name.upper(): {"node": name, "version": str(more.get(name, to))} for name in names if name not in out}
    cluster: Thing = {"nodes": nodes, "pods": [], "budgets": [], "deployments": []}
    cluster |= {key: value for key, value in more.items() if key in cluster}
    return upgrade_plan(hosts, cluster, bool(more.get("drain", True)), force)


def order(found: Thing) -> list[str]:
    return [step["node"] for step in found["steps"]]


def codes(found: Thing, severity: str = "error") -> set[str]:
    return {fault["code"] for fault in found["faults"] if fault["severity"] == severity}


@pytest.mark.parametrize("nodes", [*permutations([node("agent1"), node("server2"), node("server1")])])
def test_servers_come_before_agents_in_the_order_of_the_inventory(nodes: tuple[Thing, ...]) -> None:
    names = [thing["metadata"]["name"] for thing in nodes]
    found = plan(*nodes)
    assert order(found) == [*(name for name in names if name != "agent1"), "agent1"]
    assert [step["host"] for step in found["steps"]] == [name.upper() for name in order(found)]
    assert found["faults"] == []


def test_what_is_at_its_version_is_not_touched() -> None:
    found = plan(node("server1", NEW), node("agent1"), node("agent2", NEW))
    assert (order(found), found["untouched"]) == (["agent1"], ["server1", "agent2"])
    assert order(plan(node("server1", NEW))) == []


def test_hosts_that_are_no_nodes_yet_are_left_alone() -> None:
    hosts = {"server1": {"node": "server1", "version": NEW}, "new": {"node": "new", "version": NEW}}
    cluster: Thing = {"nodes": [node("server1")], "pods": [], "budgets": [], "deployments": []}
    found = upgrade_plan(hosts, cluster, drain=True, force=False)
    assert (order(found), found["untouched"], found["faults"]) == (["server1"], [], [])


@pytest.mark.parametrize(
    ("nodes", "options", "code"),
    [
        ([node("server1", "v1.37.0+k3s1")], {}, "downgrade"),
        ([node("server1", NEW), node("agent1", "v1.36.3+k3s1")], {}, "downgrade"),
        ([node("server1", "v1.34.9+k3s1")], {}, "minor_skipped"),
        ([node("server1"), node("agent1", "v1.33.1+k3s1")], {}, "minor_skipped"),
        ([*SERVERS, node("agent1", OLD, "EtcdIsVoter")], {}, "node_not_ready"),
        ([*SERVERS[:2], node("server3", OLD, "Ready")], {}, "no_vote"),
        ([*SERVERS[:2], node("server3", OLD, "EtcdIsVoter", mark="takes-pods")], {"server3": OLD}, ""),
        ([*SERVERS[:1], *(node(name, OLD, "Ready") for name in ("server2", "server3"))], {}, "quorum_lost"),
        ([*SERVERS, AGENT], {"out": ["server2"]}, "version_skew"),
        ([*SERVERS, AGENT], {"server2": OLD}, "version_skew"),
        ([*SERVERS, AGENT], {"out": ["server1", "server2", "server3"]}, "version_skew"),
        ([*SERVERS, AGENT], {"out": ["agent1"]}, ""),
        ([*SERVERS, AGENT], {"agent1": OLD}, ""),
        ([*SERVERS, node("agent1", "v1.33.9+k3s1")], {"out": ["agent1"]}, ""),
        ([*SERVERS, node("agent1", "v1.32.9+k3s1")], {"out": ["agent1"]}, "version_skew"),
        # One that an agent is ahead of comes to it by the upgrade.
        ([*SERVERS, node("agent1", NEW)], {}, ""),
        ([*SERVERS, AGENT], {"pods": [pod("lonely", "agent1", "")]}, "pod_without_controller"),
        ([*SERVERS, AGENT], {"pods": [pod("lonely", "agent1", "")], "force": True}, ""),
        ([*SERVERS, AGENT], {"pods": [pod("lonely", "agent1", "")], "drain": False}, ""),
        ([node("server1")], {"pods": [pod("lonely", "server1", "")]}, ""),
    ],
)
def test_what_is_refused(nodes: list[Thing], options: Thing, code: str) -> None:
    found = codes(plan(*nodes, **options))
    assert code in found if code else not found


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"out": ["agent1"]}, "node_left_out"),
        ({"deployments": [deployment("down", available=False)]}, "not_available"),
        ({"pods": [pod("web", "agent1")], "budgets": [BUDGET]}, "budget_blocks"),
    ],
)
def test_what_is_only_said(options: Thing, code: str) -> None:
    found = plan(*SERVERS, AGENT, **options)
    assert (codes(found), codes(found, "warning")) == (set(), {code})


def test_a_node_that_a_run_was_at_comes_first_however_it_is() -> None:
    broken = node("server3", OLD, "EtcdIsVoter", mark="takes-pods", unschedulable=True)
    found = plan(*SERVERS[:2], broken, AGENT)
    assert order(found) == ["server3", "server1", "server2", "agent1"]
    assert codes(found) == set()
    assert [step["drains"] for step in found["steps"]] == [False, True, True, True]
    upgraded = node("server3", NEW, mark="takes-pods", unschedulable=True)
    (step,) = plan(node("server1", NEW), upgraded)["steps"]
    assert (step["node"], step["resumed"], step["drains"]) == ("server3", True, False)


@pytest.mark.parametrize(
    ("mark", "unschedulable", "afterwards"),
    [("", False, False), ("", True, True), ("takes-pods", True, False), ("cordoned", True, True)],
)
def test_only_what_was_cordoned_before_stays_so(mark: str, unschedulable: bool, afterwards: bool) -> None:
    (step,) = plan(node("agent1", mark=mark, unschedulable=unschedulable))["steps"]
    kept = "cordoned" if afterwards else "takes-pods"
    assert step["begun"] == {"metadata": {"annotations": {MARK: kept}}, "spec": {"unschedulable": True}}
    assert step["done"] == {"metadata": {"annotations": {MARK: None}}, "spec": {"unschedulable": afterwards}}
    assert step["stays_cordoned"] == afterwards


@pytest.mark.parametrize(
    ("other", "drains"),
    [
        (node("agent2"), True),
        (node("agent2", mark="takes-pods", unschedulable=True), True),
        (node("agent2", unschedulable=True), False),
        (node("agent2", mark="cordoned", unschedulable=True), False),
        (node("agent2", OLD, "EtcdIsVoter", mark="takes-pods"), False),
        (node("agent2", taints=[{"key": "only-for", "effect": "NoSchedule"}]), False),
        (node("agent2", taints=[{"key": "rather-not", "effect": "PreferNoSchedule"}]), True),
    ],
)
def test_pods_leave_only_for_another_node(other: Thing, drains: bool) -> None:
    steps = {step["node"]: step["drains"] for step in plan(node("agent1"), other)["steps"]}
    assert steps["agent1"] == drains


@pytest.mark.parametrize(
    ("nodes", "deployments", "found"),
    [
        ([*SERVERS], [deployment("web")], set()),
        ([node("agent1", NEW, "EtcdIsVoter")], [], {"node_not_ready"}),
        ([node("agent1", NEW, "Ready")], [], set()),
        ([node("server1", NEW, "Ready")], [], {"no_vote"}),
        ([], [deployment("web", available=False)], {"not_available"}),
        ([], [deployment("other", available=False)], set()),
    ],
)
def test_what_has_to_be_well_before_the_next_node(
    nodes: list[Thing], deployments: list[Thing], found: set[str]
) -> None:
    faults = upgrade_health(nodes, deployments, ["default/web", "default/deleted"])
    assert {fault["code"] for fault in faults if fault["severity"] == "error"} == found
    assert len(faults) == len(found)


@pytest.mark.parametrize(
    ("installed", "wanted", "code"),
    [
        (NEW, NEW, None),
        ("", NEW, None),
        (OLD, "latest", None),
        (OLD, NEW, "upgrade"),
        ("v1.36.2+k3s1", "v1.36.2+k3s2", "upgrade"),
        ("v1.36.2-rc1+k3s1", NEW, "upgrade"),
        (NEW, "v1.36.2-rc1+k3s1", "downgrade"),
        (NEW, OLD, "downgrade"),
        ("v1.34.1+k3s1", NEW, "minor_skipped"),
    ],
)
def test_what_a_step_is(installed: str, wanted: str, code: str | None) -> None:
    step = upgrade_step(installed, wanted)
    assert (step[0] if step else None) == code


def test_the_minor_versions_between_are_named() -> None:
    step = upgrade_step("v1.33.1+k3s1", NEW)
    assert step
    assert "v1.34 and v1.35 would be skipped" in step[1].message
    assert "the newest release of v1.34," in step[1].advice
