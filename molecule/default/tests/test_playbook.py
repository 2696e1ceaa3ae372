# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that watches over the ways of packets on all nodes, and what all say that find no API."""

from __future__ import annotations

import json
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from scenario import refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenario import Controller, Kubectl, Lab, Result

PLAYBOOK = "playbooks/path.yml"
MYSITE = "default/mysite"
TRACING = "homecloud-trace-"
JUMP = 'PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'


def show(controller: Controller, *options: str, **variables: object) -> Result:
    done = controller.play(PLAYBOOK, options, variables)
    assert not any(done.changed.values()), done.output
    return done


def left(lab: Lab) -> dict[str, str]:
    """What a trace might leave on each node."""
    script = "iptables-save; ip6tables-save; nft list tables; ls -A /root/.ansible_async || :"
    return {node: re.sub(r"(?m)^[#:].*\n", "", lab.sh(node, script)) for node in lab.nodes}


@contextmanager
def broken(lab: Lab, change: str, back: str, *nodes: str) -> Iterator[None]:
    """Something that is so on some nodes for a while."""
    try:
        for node in nodes:
            lab.sh(node, change)
        yield
    finally:
        for node in nodes:
            lab.sh(node, back)


def test_the_kernel_confirms_what_is_explained(controller: Controller, lab: Lab, mysite: str) -> None:
    before = left(lab)
    done = show(controller, service=MYSITE, trace=10)
    assert done.code == 0, done.end
    assert done.output.count("All went as explained.") == len(lab.nodes)
    # Who asks is this machine, by its address on the LAN.
    assert f"load balancer {mysite}, port 80/tcp, from {lab.at(2)} (external)" in done.output
    made = dict(re.findall(r"(\S+)/tcp +([1-9]\d*) of \2 connections came about", done.output))
    assert {place.partition(":")[0] for place in made} == {mysite, *map(lab.address, lab.nodes)}
    assert "not tried: it is only reached from inside of the cluster" in done.output
    assert left(lab) == before


def test_nothing_seen_is_no_failure(controller: Controller, lab: Lab) -> None:
    # Packets of the client alone are watched, and it sends none.
    done = show(controller, service=MYSITE, trace=1, node="agent1", source=lab.address("client"))
    assert done.code == 0, done.end
    assert "The kernel has seen no packet" in done.output


def test_what_the_kernel_does_otherwise_is_an_error(controller: Controller, lab: Lab) -> None:
    change = "iptables -t nat {} PREROUTING -p tcp --syn -m comment --comment meanwhile"
    with ThreadPoolExecutor() as at_once:
        showing = at_once.submit(show, controller, service=MYSITE, trace=10, node="agent1")
        wait_until(lambda: TRACING in lab.on("agent1", "nft", "list", "tables"), within=30)
        with broken(lab, change.format("-I"), change.format("-D"), "agent1"):
            done = showing.result()
    refused(done, "trace_disagrees on agent1", "Not all went as explained.", "fatal: [agent1]")


def test_a_node_that_cannot_trace_says_why(controller: Controller, lab: Lab) -> None:
    nft = lab.sh("agent1", "command -v nft").strip()
    with broken(lab, f"mv {nft} {nft}.away", f"mv {nft}.away {nft}", "agent1"):
        done = show(controller, service=MYSITE, trace=1, node="agent1")
    refused(done, "no_trace on agent1", "There is no program nft on this node", "default/mysite, load balancer")


def test_a_check_traces_nothing(controller: Controller) -> None:
    done = show(controller, "--check", service=MYSITE, trace=10, node="agent1")
    assert done.code == 0, done.end
    assert "from 203.0.113.1 (external)" in done.output
    assert "What the kernel has shown" not in done.output


def test_all_nodes_make_one_list(controller: Controller, lab: Lab, tmp_path: Path) -> None:
    gone = {"ansible_host": lab.at(199), "ansible_ssh_common_args": "-o ConnectTimeout=2"}
    more = tmp_path / "more.json"
    more.write_text(json.dumps({"agent": {"hosts": {"agent9": gone}}}))
    legacy = "iptables-legacy {} INPUT -p tcp --dport 1 -j ACCEPT"
    with broken(lab, legacy.format("-A"), legacy.format("-D"), "server1"):
        with broken(lab, f"iptables -t nat -D {JUMP}", f"iptables -t nat -I {JUMP}", "agent1", "agent2"):
            done = show(controller, f"--inventory={more}")
            refused(
                done, "missing_jump on agent1, agent2", "ERROR no_answer on agent9", "WARNING both_backends on server1"
            )
            assert re.findall(r"^ +(ERROR|WARNING) ", done.output, re.M) == ["ERROR", "ERROR", "WARNING"]
            assert {host for host in lab.nodes if f"fatal: [{host}]" in done.output} == {"agent1", "agent2"}
            done = show(controller, fail_on="never")
            assert (done.code, "ERROR missing_jump on agent1, agent2" in done.output) == (0, True), done.output
        done = show(controller)
        assert (done.code, "WARNING both_backends on server1" in done.output) == (0, True), done.output
        done = show(controller, fail_on="warning")
        assert (done.code != 0, "fatal: [server1]" in done.output) == (True, True), done.output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"fail_on": "warn"}, 'fail_on is "warn"'),
        ({"trace": "5s", "service": MYSITE}, 'trace is "5s"'),
        ({"trace": 5}, "there has to be a service"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(
    controller: Controller, variables: dict[str, object], words: str
) -> None:
    done = show(controller, **variables)
    assert done.code != 0
    assert words in re.sub(r"\s+", " ", done.output)
    assert "TASK [Read Services, endpoints and nodes]" not in done.output


@pytest.mark.parametrize("name", ["path", "upgrade"])
def test_an_api_that_does_not_answer_is_named(
    controller: Controller, kubectl: Kubectl, tmp_path: Path, name: str
) -> None:
    kubeconfig = json.loads(kubectl("config", "view", "--raw", "--output=json"))
    api = kubeconfig["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(json.dumps(kubeconfig))
    done = controller.play(f"playbooks/{name}.yml", [], {"kubeconfig_path": str(nowhere)})
    assert done.code != 0
    said = re.sub(r"\s+", " ", done.output)
    assert f"The API of the cluster does not answer at {api}" in said, said
    assert "journalctl --unit k3s" in said
    assert not any(done.changed.values()), done.output
