# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Web services of every type, seen from inside and from the LAN, while nodes come and go."""

from __future__ import annotations

import re
import time
import typing as t
from functools import partial

import pytest
import yaml
from homelab.watch import watch
from scenario import COLLECTION, load_balanced, refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenario import Controller, Kubectl, Lab

    Record = Callable[[str, object], None]

SAMPLE = COLLECTION / "inventory/group_vars/all.yml"
WEB = "docker.io/library/nginx:1.22"
NODE_PORT = 30080


def page(text: str) -> dict[str, str]:
    """The configuration of an nginx that says just this."""
    return {"/etc/nginx/conf.d/default.conf": f'server {{ listen 8080; location / {{ return 200 "{text}\\n"; }} }}'}


@pytest.fixture(scope="module")
def web_services(lab: Lab) -> list[dict[str, t.Any]]:
    """The sample home's, and one of every type."""
    common = {"image": WEB, "port": 8080}
    return [
        *yaml.safe_load(SAMPLE.read_text())["web_service_services"],
        {
            **common,
            "name": "inside",
            "namespace": "rooms",
            "type": "ClusterIP",
            "service_port": 8000,
            "files": page("inside"),
        },
        {**common, "name": "everywhere", "type": "NodePort", "node_port": NODE_PORT, "files": page("everywhere")},
        {**common, "name": "reserved", "address": lab.at(228), "files": page("reserved")},
    ]


@pytest.fixture(scope="module")
def home(lab: Lab, web_services: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """A home with two pools and web services of all types."""
    spare = {"name": "spare", "addresses": [f"{lab.at(226)}-{lab.at(229)}"], "auto_assign": False}
    return {"metallb_pools": [*lab.settings["metallb_pools"], spare], "web_service_services": web_services}


@pytest.fixture(scope="module", autouse=True)
def made(controller: Controller, kubectl: Kubectl, home: dict[str, t.Any]) -> Iterator[None]:
    done = controller.site(**home)
    assert done.code == 0, done.end
    yield
    mysite, *others = home["web_service_services"]
    absent = [mysite, *({**service, "state": "absent"} for service in others)]
    for role, variables in (("web_service", {**home, "web_service_services": absent}), ("metallb", {})):
        done = controller.role(role, **variables)
        assert done.code == 0, done.end
    kubectl("delete", "namespace", "rooms", "--wait=false")


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_an_unchanged_home_is_left_alone(
    controller: Controller, lab: Lab, home: dict[str, t.Any], options: list[str]
) -> None:
    done = controller.site(*options, **home)
    assert done.code == 0, done.end
    assert done.changed == dict.fromkeys(["localhost", *lab.nodes], 0), done.output


def test_a_check_shows_what_a_run_would_change(
    controller: Controller, kubectl: Kubectl, home: dict[str, t.Any]
) -> None:
    mysite = home["web_service_services"][0]
    before = kubectl.specs("deployments")
    fewer = {**home, "web_service_services": [{**mysite, "replicas": 2}]}
    done = controller.role("web_service", "--check", "--diff", **fewer)
    assert (done.code, done.changed) == (0, {"localhost": 1}), done.output
    assert re.search(r"^\+ +replicas: 2$", done.output, re.MULTILINE), done.output
    assert kubectl.specs("deployments") == before


def test_what_a_killed_run_did_not_come_to_remove_goes(
    controller: Controller, kubectl: Kubectl, home: dict[str, t.Any]
) -> None:
    kubectl("create", "secret", "generic", "everywhere-secrets")
    done = controller.role("web_service", **home)
    assert (done.code, done.changed) == (0, {"localhost": 1}), done.output
    assert not kubectl.get("secret", "everywhere-secrets")


WRONG: dict[str, dict[str, t.Any]] = {
    "invalid_service_name": {"name": "My Site"},
    "invalid_port": {"name": "low", "type": "NodePort", "node_port": 80},
    "address_outside_pools": {"name": "far", "address": "10.11.12.13"},
    "unknown_pool": {"name": "lost", "pool": "nowhere"},
}


def test_wrong_web_services_are_refused_before_anything_is_changed(
    controller: Controller, kubectl: Kubectl, home: dict[str, t.Any]
) -> None:
    before = kubectl.specs("deployments,services")
    wrong = [{"image": WEB, **service} for service in WRONG.values()]
    done = controller.site(**{**home, "web_service_services": [*home["web_service_services"], *wrong]})
    for code, service in WRONG.items():
        refused(done, code, str(service["name"]))
    assert set(done.changed.values()) == {0}, done.output
    assert kubectl.specs("deployments,services") == before


def test_a_pod_finds_a_service_by_address_and_by_name(kubectl: Kubectl, lab: Lab) -> None:
    pod = kubectl.objects("pods", "--selector=app.kubernetes.io/name=mysite")[0]
    node = pod["spec"]["nodeName"]
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    tasks = lab.on(node, "k3s", "ctr", "--namespace", "k8s.io", "tasks", "list")
    (pid,) = [line.split()[1] for line in tasks.splitlines() if line.startswith(container)]
    (service,) = [s for s in kubectl.objects("services") if s["metadata"]["name"] == "inside"]
    # The image of the pod has no client, so one of the node enters its network, with its list of name servers.
    script = f"""
        mount -t tmpfs none /mnt
        cat /proc/{pid}/root/etc/resolv.conf > /mnt/resolv.conf
        mount --bind /mnt/resolv.conf /etc/resolv.conf
        curl --fail --silent --max-time 5 http://{service["spec"]["clusterIP"]}:8000/
        curl --fail --silent --max-time 5 http://inside.rooms:8000/
        curl --fail --silent --max-time 5 http://inside.rooms.svc.cluster.local:8000/
    """
    seen = lab.on(node, "nsenter", "--target", pid, "--net", "unshare", "--mount", "sh", "-euc", script)
    assert seen.split() == ["inside"] * 3


def test_a_node_port_is_open_on_every_node(lab: Lab) -> None:
    pages = {node: lab.page(f"http://{lab.address(node)}:{NODE_PORT}/") for node in lab.nodes}
    assert pages == dict.fromkeys(lab.nodes, "everywhere\n")


def test_a_reserved_address_is_given(kubectl: Kubectl, lab: Lab) -> None:
    assert kubectl.address("reserved") == lab.at(228)
    assert lab.page(f"http://{lab.at(228)}/") == "reserved\n"


# Nodes that come and go


@pytest.fixture
def on_an_agent(kubectl: Kubectl, lab: Lab) -> Iterator[tuple[str, str]]:
    """A Service for mysite that an agent announces, and this node: the API shall stay."""
    names = [f"moving-{number}" for number in range(5)]
    kubectl.apply(*map(load_balanced, names))

    def announced() -> dict[str, list[str]]:
        return {name: nodes for name in names if (nodes := kubectl.announcing(name))}

    try:
        wait_until(lambda: len(announced()) == len(names))
        (name, (node,)), *_others = (item for item in announced().items() if item[1] != ["server1"])
        yield name, node
    finally:
        kubectl("delete", "service", *names)


def test_the_address_of_a_node_without_power_moves(
    lab: Lab, kubectl: Kubectl, on_an_agent: tuple[str, str], record_property: Record
) -> None:
    name, node = on_an_agent
    address = kubectl.address(name)
    with watch(lab.name, address) as client:
        begin = client.answer(True, 0, within=10).asked
        assert lab.answering(address) == {node}
        lab.off(node)
        try:
            wait_until(lambda: set(kubectl.announcing(name)) - {node}, within=30)
            client.answer(True, time.time(), within=10)
            seconds = round(client.gap(begin), 1)
            record_property("seconds without an answer when the node that announces an address loses power", seconds)
        finally:
            moment = time.time()
            lab.switch_on()
        wait_until(lambda: kubectl.has_restarted(node, moment), within=120)
        wait_until(lambda: len(kubectl.announcing(name)) == 1)
        client.answer(True, time.time(), within=10)
    assert len(lab.answering(address)) == 1


@pytest.mark.soak
def test_the_page_comes_back_when_all_nodes_restart_at_once(
    lab: Lab, kubectl: Kubectl, mysite: str, record_property: Record
) -> None:
    before = {node: lab.boot_id(node) for node in lab.nodes}
    with watch(lab.name, mysite) as client:
        moment = client.answer(True, 0, within=10).asked
        for node in lab.nodes:
            lab.sh(node, "systemctl reboot &")
        for node in lab.nodes:
            wait_until(partial(lab.has_rebooted, node, before[node]))
        for node in lab.nodes:
            wait_until(partial(kubectl.has_restarted, node, moment), within=180)
        client.answer(True, time.time(), within=10)
        record_property("seconds without the page when all nodes restart at once", round(client.gap(moment), 1))
    assert len(lab.answering(mysite)) == 1
    assert kubectl.address("mysite") == mysite
