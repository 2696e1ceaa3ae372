# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where packets to Services go, as kube_path_info explains it, and as pods and clients see it."""

from __future__ import annotations

import gzip
import json
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from looking_glass import DRIFT, GLASS, KINDS, TRACING, Glass, client_by, rules, seen, way
from scenario import COLLECTION, wait_until

if t.TYPE_CHECKING:
    from pathlib import Path

    from scenario import Answer, Controller, Kubectl, Lab

MODULE = COLLECTION / "plugins/modules/kube_path_info.py"


@pytest.mark.parametrize("asker", ["pod on server1", "agent1", "client"])
def test_packets_go_where_they_are_said_to(
    controller: Controller, lab: Lab, glass: Glass, should_be: dict[str, t.Any], asker: str
) -> None:
    # Who asks from outside does so by way of a node.
    node = {"pod on server1": "server1", "agent1": "agent1"}.get(asker, "agent2")
    source = glass.pods["server1"] if asker.startswith("pod") else lab.address(asker)
    (answer,) = controller.tasks(way(node, service=GLASS, source=source, **should_be))
    assert not answer["failed"], answer["msg"]
    assert {path["frontend"]["kind"] for path in answer["paths"]} == set(KINDS)
    for path in answer["paths"]:
        assert (path["verdict"], path["verdict_shares"]) == ("dnat", {"dnat": 1.0})
        ends = {end["address"]: end for end in path["endpoints"]}
        assert ends.keys() == set(glass.pods.values())
        assert sum(end["share"] for end in ends.values()) == pytest.approx(1)
        with client_by(lab, glass, node):
            reached = seen(lab, glass, asker, glass.door(path["frontend"]["kind"], lab.address(node)))
        assert reached == {(address, end["source_seen"]) for address, end in ends.items()}, path["table"]
    assert [finding for finding in answer["findings"] if finding["severity"] != "info"] == []


def test_nothing_is_wrong_with_the_rules_of_a_fresh_cluster(
    controller: Controller, lab: Lab, should_be: dict[str, t.Any]
) -> None:
    answers = controller.tasks(*(way(node, **should_be) for node in lab.nodes))
    for answer in answers:
        assert not answer["failed"], answer["msg"]
        assert not DRIFT & {finding["code"] for finding in answer["findings"]}, answer["findings"]
        assert (answer["backend"]["variant"], answer["changed"]) == ("iptables-nft", False)


def test_saved_rules_say_the_same(
    controller: Controller, lab: Lab, glass: Glass, should_be: dict[str, t.Any], tmp_path: Path
) -> None:
    (there,) = controller.tasks(way("agent1", service=GLASS, **should_be))
    saved = tmp_path / "rules.gz"
    saved.write_bytes(gzip.compress(lab.on("agent1", "iptables-save", "--counters").encode()))
    told = {
        "ruleset_src": str(saved),
        "node_name": "agent1",
        "local_addresses": [lab.address("agent1")],
        "routes": json.loads(lab.on("agent1", "ip", "-json", "route")),
    }
    (here,) = controller.tasks({"homecloud.k3s.kube_path_info": {"service": GLASS, **told, **should_be}})
    without_flannel = [without_source_seen(path) for path in here["paths"]]
    assert without_flannel == [without_source_seen(path) for path in there["paths"]]


def without_source_seen(path: Answer) -> Answer:
    """A way but for what only the addresses of interfaces tell."""
    return {**path, "endpoints": [{**end, "source_seen": ""} for end in path["endpoints"]]}


def test_to_read_rules_does_not_change_them(controller: Controller, lab: Lab) -> None:
    before = rules(lab, "agent1")
    (answer,) = controller.tasks(way("agent1"))
    assert not answer["failed"], answer["msg"]
    assert rules(lab, "agent1") == before


@pytest.mark.parametrize("asker", ["pod on server1", "server1", "client"])
def test_the_kernel_confirms_what_is_explained(controller: Controller, lab: Lab, glass: Glass, asker: str) -> None:
    before = rules(lab, "server1")
    source = glass.pods["server1"] if asker.startswith("pod") else lab.address(asker)
    with ThreadPoolExecutor() as at_once:
        answering = at_once.submit(controller.tasks, way("server1", service=GLASS, source=source, trace=10))
        wait_until(lambda: TRACING in lab.on("server1", "nft", "list", "tables"), within=30)
        with client_by(lab, glass, "server1"):
            for kind in KINDS:
                seen(lab, glass, asker, glass.door(kind, lab.address("server1")), times=5)
        (answer,) = answering.result()
    assert not answer["failed"], answer["msg"]
    trace = answer["trace"]
    assert (trace["agrees"], trace["differences"]) == (True, [])
    assert trace["seen"] == 15
    assert rules(lab, "server1") == before


def test_nothing_is_left_of_a_trace_that_is_killed(controller: Controller, lab: Lab, glass: Glass) -> None:
    before = rules(lab, "server1")
    with ThreadPoolExecutor() as at_once:
        answering = at_once.submit(controller.tasks, way("server1", service=GLASS, trace=60))
        wait_until(lambda: TRACING in lab.on("server1", "nft", "list", "tables"), within=30)
        lab.sh("server1", "kill -9 $(ps -o ppid= -p $(pgrep -xf '.*nft -i'))")
        (answer,) = answering.result()
    assert answer["failed"]
    wait_until(lambda: rules(lab, "server1") == before, within=5)


def test_what_somebody_has_broken_is_found_and_mended(
    controller: Controller, kubectl: Kubectl, lab: Lab, glass: Glass
) -> None:
    url = glass.door("node_port", lab.address("agent2"))
    assert lab.has_page(url)
    jump = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    lab.sh("agent2", f"iptables -t nat -D PREROUTING {jump}")
    try:
        assert not lab.has_page(url)
        done = controller.play("playbooks/path.yml", [], {"service": GLASS})
        assert done.code != 0
        assert "ERROR missing_jump on agent2: PREROUTING of nat does not call KUBE-SERVICES" in done.output
        assert "not translated by any rule" in done.output
        assert {host for host in lab.nodes if f"fatal: [{host}]" in done.output} == {"agent2"}
    finally:
        lab.sh("agent2", "systemctl restart k3s-agent")
    wait_until(lambda: lab.has_page(url))
    done = controller.play("playbooks/path.yml", [], {"service": GLASS, "node": "agent2"})
    assert done.code == 0, done.end
    wait_until(lambda: kubectl.is_ready("node", "agent2"))


def test_what_is_around_the_rules_is_found(controller: Controller, lab: Lab) -> None:
    # Rules of another variant and before those of kube-proxy, and a connection to a pod of the DNS that is gone.
    gone = "--reply-src 10.42.9.9 --reply-dst 10.42.1.9 --reply-port-src 53 --reply-port-dst 999 --timeout 60"
    broken = {
        "iptables-legacy -A INPUT -p tcp --dport 1 -j ACCEPT": "iptables-legacy -F INPUT",
        "iptables -t nat -I PREROUTING -d 10.43.9.9 -j ACCEPT": "iptables -t nat -D PREROUTING 1",
        f"conntrack -I -p udp -s 10.42.1.9 -d 10.43.0.10 --sport 999 --dport 53 {gone}": "conntrack -D -s 10.42.1.9",
    }
    lab.sh("agent1", "\n".join(broken))
    try:
        (answer,) = controller.tasks(way("agent1"))
    finally:
        lab.sh("agent1", "\n".join(broken.values()))
    assert not answer["failed"], answer["msg"]
    found = {finding["code"]: finding for finding in answer["findings"]}
    assert found["both_backends"]["severity"] == "warning"
    assert "10.43.9.9" in found["foreign_rule_first"]["rule"]
    assert "10.42.9.9" in found["stale_conntrack"]["evidence"]


def test_the_playbook_checks_all_nodes(controller: Controller, glass: Glass) -> None:
    for options in ([], ["--check"]):
        done = controller.play("playbooks/path.yml", options, {})
        assert done.code == 0, done.end
        assert not any(done.changed.values())


def test_a_service_that_is_not_there_is_told(controller: Controller) -> None:
    done = controller.play("playbooks/path.yml", [], {"service": "default/mysit", "node": "server1"})
    assert done.code != 0
    assert "There is no Service default/mysit in the cluster. Did you mean default/mysite?" in done.output


def test_the_examples_run(controller: Controller, lab: Lab, mysite: str, tmp_path: Path) -> None:
    text = next(part for part in MODULE.read_text().split('r"""\n') if part.startswith("- name:")).partition('"""')[0]
    saved = tmp_path / "saved.gz"
    saved.write_bytes(gzip.compress(lab.on("server1", "iptables-save").encode()))
    own = {"192.168.1.200": mysite, "192.168.1.101": lab.address("server1"), "/tmp/iptables-save.txt.gz": str(saved)}
    for example, here in own.items():
        assert example in text
        text = text.replace(example, here)
    playbook = tmp_path / "examples.yml"
    playbook.write_text(json.dumps([{"hosts": "server1", "gather_facts": False, "tasks": yaml.safe_load(text)}]))
    done = controller.play(str(playbook), [], {})
    assert done.code == 0, done.end
    assert "STEP" in done.output
