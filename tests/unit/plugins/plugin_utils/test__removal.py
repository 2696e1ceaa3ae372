# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._drain import drain_faults
from ansible_collections.homecloud.k3s.plugins.plugin_utils._removal import removal_plan

Thing = dict[str, t.Any]

HOSTS: t.Final = {"server1": "server1", "server2": "server2", "agent1": "agent1", "Garage": "pi-garage"}


def node(name: str, *conditions: str, address: str = "192.168.1.101", **labels: str) -> Thing:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {
            "conditions": [{"type": kind, "status": "True"} for kind in conditions],
            "addresses": [{"type": "InternalIP", "address": address}],
        },
    }


def server(name: str, address: str, *conditions: str) -> Thing:
    roles = {f"node-role.kubernetes.io/{role}": "true" for role in ("control-plane", "etcd")}
    return node(name, *(conditions or ("Ready", "EtcdIsVoter")), address=address, **roles)


def pod(name: str, on: str, controller: str = "ReplicaSet", **metadata: object) -> Thing:
    owners = [{"kind": controller, "name": "x", "controller": True}] if controller else []
    return {
        "metadata": {"name": name, "namespace": "default", "ownerReferences": owners, **metadata},
        "spec": {"nodeName": on},
        "status": {"phase": "Running"},
    }


def volume(name: str, *hosts: str, **spec: object) -> Thing:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": hosts}
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}
    return {"metadata": {"name": name}, "spec": {**(affinity if hosts else {}), **spec}}


def budget(allowed: int, namespace: str = "default", **selector: object) -> Thing:
    return {
        "metadata": {"name": "guard", "namespace": namespace},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2},
    }


AGENT: t.Final = node("agent1", "Ready")
SERVER: t.Final = node("server1", "Ready", **{"node-role.kubernetes.io/control-plane": "true"})


def plan(names: str | list[str], *things: Thing, force: bool = False, **cluster: list[Thing]) -> Thing:
    return removal_plan(names, HOSTS, {"nodes": [*things], "pods": [], "volumes": [], "budgets": [], **cluster}, force)


def codes(made: Thing) -> list[tuple[str, str]]:
    return [(fault["severity"], fault["code"]) for fault in made["faults"]]


@pytest.mark.parametrize("names", ["agent1,Garage", " agent1 , pi-garage,", ["agent1", "Garage", "pi-garage"]])
def test_nodes_are_named_by_host_or_by_node_in_a_list_or_a_text(names: str | list[str]) -> None:
    made = plan(names, SERVER, AGENT, node("pi-garage"))
    assert [(removal["node"], removal["host"]) for removal in made["removals"]] == [
        ("agent1", "agent1"),
        ("pi-garage", "Garage"),
    ]
    assert made["faults"] == []


def test_a_node_may_be_in_the_inventory_only_or_in_the_cluster_only() -> None:
    gone, old = plan("agent1,old", SERVER, node("old"))["removals"]
    assert (gone["host"], gone["in_cluster"], gone["is_ready"]) == ("agent1", False, False)
    assert (old["host"], old["in_cluster"], old["is_ready"]) == ("", True, False)


def test_a_name_that_nobody_knows() -> None:
    made = plan("agent1,agent9", SERVER, AGENT)
    assert codes(made) == [("error", "unknown_node")]
    assert "agent9" in made["faults"][0]["message"]
    assert "agent1" not in made["faults"][0]["message"]


def test_the_last_server_stays() -> None:
    assert codes(plan("server1", SERVER, AGENT)) == [("error", "last_server")]


def test_what_becomes_of_pods() -> None:
    pods = [
        pod("web", "agent1"),
        pod("db", "agent1", "StatefulSet"),
        pod("speaker", "agent1", "DaemonSet"),
        pod("static", "agent1", "Node", annotations={"kubernetes.io/config.mirror": "x"}),
        pod("lonely", "agent1", ""),
        {**pod("done", "agent1", ""), "status": {"phase": "Succeeded"}},
        pod("elsewhere", "server1"),
    ]
    (removal,) = plan("agent1", SERVER, AGENT, pods=pods)["removals"]
    assert removal["moving"] == ["default/web", "default/db"]
    assert removal["ending"] == ["default/lonely"]


def test_an_owner_that_does_not_control_a_pod_makes_no_other() -> None:
    owned = pod("lonely", "agent1", "", ownerReferences=[{"kind": "Node", "name": "agent1"}])
    (removal,) = plan("agent1", SERVER, AGENT, pods=[owned])["removals"]
    assert removal["ending"] == ["default/lonely"]


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        (volume("v", "agent1", hostPath={"path": "/data"}), ["/data"]),
        (
            volume("v", "agent1", local={"path": "/data"}, claimRef={"namespace": "web", "name": "files"}),
            ["/data, claimed as web/files"],
        ),
        (volume("v", "agent1", csi={}), ["v"]),
        (volume("v", "server1", hostPath={"path": "/data"}), []),
        (volume("v", nfs={"path": "/data"}), []),
    ],
)
def test_data_that_is_lost(there: Thing, lost: list[str]) -> None:
    (removal,) = plan("agent1", SERVER, AGENT, volumes=[there])["removals"]
    assert removal["lost"] == lost


def test_pods_that_nobody_makes_anew_are_an_error_unless_forced_or_dead_already() -> None:
    pods = [pod("lonely", "agent1", "")]
    assert codes(plan("agent1", SERVER, AGENT, pods=pods)) == [("error", "pod_without_controller")]
    assert codes(plan("agent1", SERVER, AGENT, pods=pods, force=True)) == []
    assert codes(plan("agent1", SERVER, node("agent1"), pods=pods)) == []


LABELED: t.Final = pod("web", "agent1", labels={"app": "web"})


@pytest.mark.parametrize(
    ("there", "blocks"),
    [
        (budget(0, matchLabels={"app": "web"}), True),
        (budget(0), True),
        (budget(1, matchLabels={"app": "web"}), False),
        (budget(0, matchLabels={"app": "db"}), False),
        (budget(0, "other", matchLabels={"app": "web"}), False),
        ({**budget(0), "spec": {}}, False),
        ({**budget(0), "status": {}}, True),
    ],
)
def test_budgets_warn_before_and_explain_afterwards(there: Thing, blocks: bool) -> None:
    made = plan("agent1", SERVER, AGENT, pods=[LABELED], budgets=[there])
    assert codes(made) == ([("warning", "budget_blocks")] if blocks else [])
    assert codes(plan("agent1", SERVER, AGENT, pods=[LABELED], budgets=[there], force=True)) == []
    (fault,) = drain_faults([LABELED], [there], "remove_node")
    assert (fault["severity"], fault["code"]) == ("error", "budget_blocks" if blocks else "pod_does_not_end")


def test_why_pods_are_still_there() -> None:
    ending = pod("slow", "agent1", deletionTimestamp="2026-11-23T10:00:00Z")
    (fault,) = drain_faults([ending, pod("speaker", "agent1", "DaemonSet")], [], "remove_node")
    assert fault["evidence"] == "it was to end by 2026-11-23T10:00:00Z"


@pytest.mark.parametrize(
    ("names", "api"),
    [
        ("agent1", ""),
        ("server1", "https://192.168.1.103:6443"),
        ("server1,server3", "https://[fd00::2]:6443"),
        ("server3", "https://192.168.1.101:6443"),
    ],
)
def test_the_api_is_asked_at_a_server_that_stays_and_is_ready(names: str, api: str) -> None:
    servers = [
        server("server1", "192.168.1.101"),
        server("server2", "192.168.1.102", "EtcdIsVoter"),
        server("server3", "192.168.1.103"),
        server("server4", "fd00::2"),
        server("server5", "fd00::3"),
    ]
    assert plan(names, AGENT, *servers)["api"] == api


def test_a_majority_stays() -> None:
    servers = [server("server1", "192.168.1.101"), server("server2", "192.168.1.102", "EtcdIsVoter")]
    assert codes(plan("server1", *servers)) == [("error", "quorum_lost")]
