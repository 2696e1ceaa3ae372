# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes are switched off by the playbook, and come back by themselves."""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from scenario import wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab

SHUTDOWN = "playbooks/shutdown.yml"
KEPT = "/var/lib/kept"


@pytest.fixture
def log(lab: Lab, kubectl: Kubectl) -> Iterator[str]:
    """What a pod that nobody would make anew writes, also when it is told to end: a file on agent1."""
    nginx = {
        "name": "nginx",
        "image": "docker.io/library/nginx:1.22",
        "command": ["/usr/sbin/nginx", "-g", f"daemon off; error_log {KEPT}/error.log notice;"],
        "volumeMounts": [{"name": "kept", "mountPath": KEPT}],
    }
    volume = {"name": "kept", "hostPath": {"path": KEPT, "type": "DirectoryOrCreate"}}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "lonely", "namespace": "default"},
            "spec": {"nodeName": "agent1", "containers": [nginx], "volumes": [volume]},
        }
    )
    wait_until(lambda: kubectl.is_ready("pod", "lonely"))
    yield f"{KEPT}/error.log"
    kubectl("delete", "pod", "lonely", "--now")
    lab.sh("agent1", f"rm -r {KEPT}")


def test_nothing_is_switched_off_without_a_yes(controller: Controller, lab: Lab) -> None:
    before = [lab.boot_id(host) for host in lab.nodes]
    done = controller.play(SHUTDOWN, ["--check"], {})
    assert done.code == 0, done.output
    assert "To be switched off, with all pods there: agent1, then agent2, then server1." in done.output
    assert "Nothing was switched off" in controller.play(SHUTDOWN, [], {}).output
    assert [lab.boot_id(host) for host in lab.nodes] == before


def test_all_nodes_go_off_the_server_last_and_come_back(
    controller: Controller, lab: Lab, kubectl: Kubectl, mysite: str, log: str
) -> None:
    boots = {host: lab.boot_id(host) for host in lab.nodes}
    with ThreadPoolExecutor() as pool:
        moments = {host: pool.submit(lab.off_for_good, host, boot_id) for host, boot_id in boots.items()}
        done = controller.play(SHUTDOWN, [], {"shutdown_confirmed": True})
    assert done.code == 0, done.output
    assert max(boots, key=lambda host: moments[host].result()) == "server1"
    assert "have not ended" not in done.output

    done = controller.play(SHUTDOWN, ["--limit=agent1"], {})
    assert done.code == 0, done.output
    assert "There is nothing to switch off" in done.output
    assert "Not reached, and so left as it is: agent1" in done.output

    lab.switch_on()
    switched_on = time.time()
    wait_until(partial(lab.has_page, f"http://{mysite}/"), within=120)
    for host in lab.nodes:
        wait_until(partial(kubectl.has_restarted, host, switched_on - 60), within=120)
        wait_until(partial(kubectl.is_ready, "node", host))
    assert "signal 15 (SIGTERM) received" in lab.sh("agent1", f"cat {log}")
