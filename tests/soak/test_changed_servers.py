# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first of three servers leaves or is installed anew, and comes back; so does the whole board."""

from __future__ import annotations

import typing as t

import pytest
from board import becomes_whole, switched_off_by_itself
from servers import SERVERS, voters

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab


@pytest.fixture(autouse=True)
def settled(lab: Lab, controller: Controller, kubectl: Kubectl) -> Iterator[None]:
    """In the end all servers vote, and a run has nothing to do. The kubeconfig has the certificate of one that ran."""
    yield
    becomes_whole(lab, kubectl)
    done = controller.site()
    assert (done.code, {changes for host, changes in done.changed.items() if host != "localhost"}) == (0, {0}), done.end


def test_the_first_server_leaves_and_comes_back(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    given = {"remove_node_names": "server1", "remove_node_confirmed": True}
    done = controller.play("playbooks/remove_node.yml", [], given)
    assert done.code == 0, done.end
    assert voters(kubectl) == {*SERVERS} - {"server1"}
    assert lab.has_page(f"http://{kubectl.address('mysite')}/")
    done = controller.site()
    assert done.code == 0, done.end


def test_a_server_that_was_installed_anew_joins_the_others(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    lab.sh("server1", "k3s-uninstall.sh; rm -rf /etc/rancher")
    kubectl("delete", "node", "server1")
    done = controller.site()
    assert done.code == 0, done.end
    assert voters(kubectl) == {*SERVERS}


def test_the_board_goes_off_and_comes_back_without_hands(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    with switched_off_by_itself(lab) as off:
        done = controller.play("playbooks/shutdown.yml", [], {"shutdown_confirmed": True})
    assert done.code == 0, done.end
    assert sorted(lab.nodes, key=lambda node: off[node].result()) == ["agent1", *reversed(SERVERS)]
