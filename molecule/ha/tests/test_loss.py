# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server dies, and the cluster does not."""

from __future__ import annotations

import typing as t

import pytest
from scenario import refused, wait_until
from servers import SERVERS, Writer, holder, started, voters

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab, Result

LOG = "a-log"


def of_nodes(done: Result) -> set[int]:
    """How much was changed on nodes. The kubeconfig gets the certificate of the first server that runs."""
    return {changes for host, changes in done.changed.items() if host != "localhost"}


@pytest.fixture(autouse=True)
def whole_again(lab: Lab, kubectl: Kubectl) -> Iterator[None]:
    yield
    lab.switch_on()
    wait_until(lambda: voters(kubectl) == set(SERVERS), within=120)


def test_nothing_that_was_written_is_lost_with_a_server(
    lab: Lab, kubectl: Kubectl, record_property: t.Callable[[str, object], None]
) -> None:
    kubectl("create", "configmap", LOG)
    lost = holder(lab)
    with Writer(kubectl, LOG) as writer:
        wait_until(lambda: len(writer.written) > 5)
        lab.off(lost)
        before = len(writer.written)
        wait_until(lambda: len(writer.written) > before + 10)
    stored = kubectl.get("configmap", LOG)["data"]
    assert [number for number in writer.written if str(number) not in stored] == []
    record_property("the longest time without a write, in s", round(writer.longest, 1))


def test_without_the_first_server_all_goes_on(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    # Pods stay where they were started: all are on the server that was there first.
    kubectl("rollout", "restart", "deployment/mysite")
    kubectl("rollout", "status", "deployment/mysite", "--timeout=50s")
    lab.off("server1")
    before = {name: started(lab, name) for name in ("server2", "server3")}
    done = controller.site("--limit=!server1")
    assert done.code == 0, done.end
    assert of_nodes(done) == {0}, done.output
    assert {name: started(lab, name) for name in before} == before
    wait_until(lambda: kubectl.status("node", "server1") and not kubectl.is_ready("node", "server1"), within=90)
    assert kubectl.is_ready("node", "agent1")
    # The pods of the lost server leave the Service once its node is not Ready.
    wait_until(lambda: lab.has_page(f"http://{kubectl.address('mysite')}/"), within=90)


def test_no_server_is_restarted_that_etcd_needs(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    lab.off("server3")
    before = started(lab, "server2")
    labelled = {**lab.settings["k3s_config"], "node-label": ["tests=loss"]}
    done = controller.site("--limit=server2", k3s_config=labelled)
    refused(done, "quorum_lost", "server3")
    assert started(lab, "server2") == before
    done = controller.play("playbooks/shutdown.yml", ["--limit=server2"], {"shutdown_confirmed": True})
    refused(done, "quorum_lost", "Nothing was switched off", "server3")
    lab.off("server1")
    done = controller.play("playbooks/shutdown.yml", ["--limit=server2"], {"shutdown_confirmed": True})
    assert done.code != 0
    assert "does not answer" in done.output
    assert started(lab, "server2") == before
    # A run when all is well again puts right what is left of that one.
    lab.switch_on()
    wait_until(lambda: voters(kubectl) == set(SERVERS), within=120)
    done = controller.site("--limit=server2")
    assert (done.code, done.changed["server2"] > 0) == (0, True), done.end
