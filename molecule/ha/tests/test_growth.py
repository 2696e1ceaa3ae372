# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One server with its data in SQLite becomes three with etcd, while a page is served."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from homelab.watch import watch
from servers import CONFIG, SERVERS, VIP, voters

if t.TYPE_CHECKING:
    from scenario import Controller, Kubectl, Lab

NODES = [*SERVERS, "agent1"]


@pytest.fixture(scope="module", autouse=True)
def grown(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "from-before")
    lab.have_nodes(4, servers=3)
    with watch(lab.name, kubectl.address("mysite")) as seen:
        done = controller.site()
        assert done.code == 0, done.end
    answers = [answer.page is not None for answer in seen.answers]
    assert answers.count(True) > 0.9 * len(answers)


def test_all_servers_vote(kubectl: Kubectl) -> None:
    assert voters(kubectl) == set(SERVERS)
    roles = {node["metadata"]["name"]: node["metadata"]["labels"] for node in kubectl.objects("nodes")}
    assert {name for name, labels in roles.items() if "node-role.kubernetes.io/etcd" in labels} == set(SERVERS)
    assert set(roles) == set(NODES)


def test_what_was_there_before_is_still_there(lab: Lab, kubectl: Kubectl) -> None:
    assert kubectl.get("configmap", "from-before")
    assert lab.has_page(f"http://{kubectl.address('mysite')}/")


def test_each_server_was_told_how_it_comes_in(lab: Lab) -> None:
    told = {name: yaml.safe_load(lab.on(name, "cat", CONFIG)) for name in SERVERS}
    join = f"https://{lab.at(VIP)}:6443"
    assert [(c.get("cluster-init"), c.get("server")) for c in told.values()] == [
        (True, None),
        (None, join),
        (None, join),
    ]
    modes = {lab.on(name, "stat", "--format=%a %U", "/etc/rancher/k3s/token").strip() for name in SERVERS[1:]}
    assert modes == {"600 root"}


@pytest.mark.parametrize("options", [[], pytest.param(["--check"], marks=pytest.mark.soak)])
def test_a_second_run_changes_nothing(controller: Controller, options: list[str]) -> None:
    done = controller.site(*options)
    assert done.code == 0, done.end
    assert done.changed == dict.fromkeys(["localhost", *NODES], 0), done.output
