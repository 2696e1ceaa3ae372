# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What site.yml has made is undone.

Bare nodes are left behind, with which test_undo_then_adopt begins.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from leftovers import BY_THE_ROLE_NODE, State, of_k3s, state

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Lab

RESET = "playbooks/reset.yml"
YES = {"reset_confirmed": True}
VOLUME = "/var/lib/rancher/k3s/storage/pvc-1_default_data"
OTHER_RANCHER = "/etc/rancher/rke2"
FIREWALL = "INPUT -p tcp -m tcp --dport 65000 -j DROP"


@pytest.fixture(scope="module")
def bare(lab: Lab) -> State:
    """A node that was never touched."""
    lab.have_nodes(4)
    try:
        return state(lab, "agent3")
    finally:
        lab.have_nodes(3)


@pytest.fixture(scope="module", autouse=True)
def of_others(lab: Lab) -> Iterator[None]:
    """What somebody has on a node and in the kubeconfig besides."""
    lab.sh("agent1", f"iptables -A {FIREWALL}; mkdir -p {VOLUME}")
    lab.sh("agent2", f"mkdir -p {OTHER_RANCHER}")
    kubeconfig = Path(lab.facts["paths"]["kubeconfig"])
    content = yaml.safe_load(kubeconfig.read_text())
    content["contexts"].append({"name": "other", "context": {"cluster": "other", "user": "other"}})
    content["clusters"].append({"name": "other", "cluster": {"server": "https://other.example"}})
    content["users"].append({"name": "other", "user": {"token": "other"}})
    kubeconfig.write_text(yaml.safe_dump(content))
    yield
    lab.sh("agent1", f"iptables -D {FIREWALL}")
    lab.sh("agent2", f"rm -r {OTHER_RANCHER}; rmdir /etc/rancher")
    kubeconfig.unlink()


def contexts(lab: Lab) -> list[str]:
    content = yaml.safe_load(Path(lab.facts["paths"]["kubeconfig"]).read_text())
    return [context["name"] for context in content["contexts"]]


def test_nothing_is_removed_without_a_yes(controller: Controller, lab: Lab, bare: State) -> None:
    for done in (controller.play(RESET, [], {}), controller.play(RESET, ["--check"], {})):
        assert f"agent1: {VOLUME}" in done.output
    assert "Nothing was removed" in controller.play(RESET, [], {}).output
    for node in lab.nodes:
        assert of_k3s(state(lab, node), bare) > BY_THE_ROLE_NODE
    assert f"homecloud-{lab.name}" in contexts(lab)


def test_a_reset_leaves_nothing_of_k3s_and_all_of_others(controller: Controller, lab: Lab, bare: State) -> None:
    done = controller.play(RESET, [], YES)
    assert done.code == 0, done.end
    there = {"/etc/rancher", OTHER_RANCHER}
    for node in lab.nodes:
        stays = BY_THE_ROLE_NODE | (there if node == "agent2" else set())
        assert of_k3s(state(lab, node), bare) <= stays
    assert there <= lab.tree("agent2")
    assert f"iptables -A {FIREWALL}" in state(lab, "agent1")["rules"]
    assert contexts(lab) == ["other"]


def test_a_second_reset_finds_nothing_to_do(controller: Controller, lab: Lab) -> None:
    done = controller.play(RESET, [], {})
    assert done.code == 0, done.end
    assert "There is nothing of k3s" in done.output
    assert not any(done.changed.values()), done.output
