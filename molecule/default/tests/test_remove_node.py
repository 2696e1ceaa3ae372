# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes leave the cluster, dead or alive, and come back.

The tests follow each other: the first node is switched off early, as it takes the cluster a while to notice.
"""

from __future__ import annotations

import typing as t

import pytest
from scenario import guarded_on, refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab, Result

NODE = "agent2"
OTHER = "agent1"
FORGOTTEN = "once"  # has left the inventory
VOLUME = "/var/lib/rancher/k3s/storage/pvc-1_default_data"


class Removal(t.Protocol):
    def __call__(self, names: object, *options: str, **variables: object) -> Result: ...


@pytest.fixture(scope="module")
def remove(controller: Controller) -> Removal:
    def play(names: object, *options: str, **variables: object) -> Result:
        given = {"remove_node_names": names, "remove_node_confirmed": True, **variables}
        return controller.play("playbooks/remove_node.yml", options, given)

    return play


def on_node(node: str) -> dict[str, t.Any]:
    """What keeps a volume to the disk of a node."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


@pytest.fixture(scope="module", autouse=True)
def volume(kubectl: Kubectl) -> Iterator[None]:
    """Data of pods, as k3s's own provisioner keeps it: on the disk of one node."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": VOLUME},
        "nodeAffinity": on_node(NODE),
    }
    kubectl.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "of-one-node"}, "spec": spec})
    yield
    kubectl("delete", "persistentvolume", "of-one-node")


@pytest.fixture(scope="module", autouse=True)
def dead(lab: Lab, volume: None) -> None:
    lab.off(NODE)


@pytest.fixture
def guarded(kubectl: Kubectl) -> Iterator[str]:
    name = "guarded"
    kubectl.apply(*guarded_on(OTHER, name))
    wait_until(lambda: kubectl.is_complete("deployment", name, "default"))
    yield name
    kubectl("delete", "deployment,poddisruptionbudget", name)


def nodes(kubectl: Kubectl) -> set[str]:
    return {node["metadata"]["name"] for node in kubectl.objects("nodes")}


def is_known(kubectl: Kubectl, node: str) -> bool:
    """Whether the cluster has anything of a node."""
    return node in nodes(kubectl) or bool(kubectl.get("secret", f"{node}.node-password.k3s", "kube-system"))


def test_what_harms_the_cluster_is_refused(remove: Removal, kubectl: Kubectl) -> None:
    assert "Set remove_node_names" in remove("").output
    refused(remove("nowhere"), "unknown_node", "There is no nowhere")
    refused(remove(["server1", OTHER]), "last_server", "its servers are server1")
    assert nodes(kubectl) == {"server1", OTHER, NODE}


def test_a_drain_that_is_blocked_changes_nothing(remove: Removal, kubectl: Kubectl, lab: Lab, guarded: str) -> None:
    def pods() -> list[str]:
        return [pod["metadata"]["uid"] for pod in kubectl.objects("pods", f"--selector=app={guarded}")]

    before = pods()
    done = remove(OTHER, remove_node_timeout=5)
    assert f"{OTHER} was not removed" in done.output
    refused(done, "budget_blocks", f"PodDisruptionBudget default/{guarded}", f"pod default/{guarded}-")
    assert pods() == before
    assert not kubectl.get("node", OTHER)["spec"].get("unschedulable")
    assert lab.sh(OTHER, "systemctl is-active k3s-agent") == "active\n"


def test_a_dead_node_is_removed(remove: Removal, kubectl: Kubectl) -> None:
    wait_until(lambda: not kubectl.is_ready("node", NODE), within=90)
    done = remove(NODE)
    assert done.code == 0, done.output
    for words in ("It is not Ready", f"DATA THAT IS LOST: {VOLUME}", "k3s is still on its host"):
        assert words in done.output
    assert not is_known(kubectl, NODE)


def test_it_joins_again_with_what_is_still_on_it(lab: Lab, kubectl: Kubectl) -> None:
    lab.switch_on()
    wait_until(lambda: kubectl.is_ready("node", NODE), within=90)


def test_nothing_is_removed_in_a_check_or_without_a_yes(remove: Removal, kubectl: Kubectl) -> None:
    done = remove(NODE, "--check", remove_node_confirmed=False)
    assert done.code == 0, done.output
    assert f"{NODE} would be out of the cluster" in done.output
    assert "Nothing was removed" in remove(NODE, remove_node_confirmed=False).output
    assert kubectl.is_ready("node", NODE)
    assert not kubectl.get("node", NODE)["spec"].get("unschedulable")


def test_a_node_is_removed_and_one_that_only_the_cluster_knows(
    remove: Removal, kubectl: Kubectl, lab: Lab, mysite: str
) -> None:
    lab.sh(NODE, f"mkdir -p {VOLUME}")
    kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": FORGOTTEN}})
    done = remove(f"{NODE},{FORGOTTEN}")
    assert done.code == 0, done.output
    assert done.output.count(f"DATA THAT IS LOST: {VOLUME}") == 1
    assert "It is not in the inventory: k3s stays on its host" in done.output
    assert not is_known(kubectl, NODE)
    assert not is_known(kubectl, FORGOTTEN)
    assert not {path for path in lab.tree(NODE) if "/rancher/" in path or path.startswith("/usr/local/bin/k3s")}
    assert lab.page(f"http://{mysite}/")
    done = remove(NODE, remove_node_confirmed=False)
    assert (done.code, set(done.changed.values())) == (0, {0}), done.output


def test_the_next_run_of_the_site_makes_it_a_node_again(controller: Controller, kubectl: Kubectl) -> None:
    done = controller.site(f"--limit={NODE}")
    assert done.code == 0, done.output
    assert kubectl.is_ready("node", NODE)
