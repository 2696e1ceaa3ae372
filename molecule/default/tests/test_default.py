# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster and its LAN look like from outside of Ansible."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import openshift_client as oc

if t.TYPE_CHECKING:
    from scenario import Controller, Lab, Result
    from testinfra.host import Host

testinfra_hosts = ["ansible://k3s_cluster"]


def pods_of_mysite() -> dict[str, str]:
    """The node of each pod of mysite."""
    with oc.project("default"):
        pods = [pod.as_dict() for pod in oc.selector("pods", labels={"app.kubernetes.io/name": "mysite"}).objects()]
    return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods}


def test_all_nodes_are_ready_at_the_version_asked_for(cluster: None, lab: Lab, k3s_version: str) -> None:
    nodes = [node.as_dict() for node in oc.selector("nodes").objects()]
    seen = {
        node["metadata"]["name"]: (
            node["status"]["nodeInfo"]["kubeletVersion"],
            next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"),
            next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"),
        )
        for node in nodes
    }
    assert seen == {name: (k3s_version, "True", lab.address(name)) for name in lab.nodes}


def test_the_service_load_balancer_of_k3s_is_off(cluster: None) -> None:
    with oc.project("kube-system"):
        names = {daemonset.name() for daemonset in oc.selector("daemonsets").objects()}
    assert not [name for name in names if name.startswith("svclb-")]


def test_the_address_comes_from_the_pool(mysite: str, lab: Lab) -> None:
    network, host = mysite.rsplit(".", 1)
    assert network == lab.address("server1").rsplit(".", 1)[0]
    assert 200 <= int(host) <= 225


def test_pods_on_both_agents_answer_a_client_on_the_lan(mysite: str, lab: Lab) -> None:
    node_of = pods_of_mysite()
    pages = [
        lab.on("client", "curl", "--fail", "--silent", "--max-time", "5", f"http://{mysite}/") for request in range(20)
    ]
    answered = [page.split()[-1] for page in pages]
    assert set(answered) <= set(node_of)
    assert {"agent1", "agent2"} <= {node_of[pod] for pod in answered}


def test_one_node_answers_for_the_address(mysite: str, lab: Lab) -> None:
    (node,) = lab.answering(mysite)
    assert node in lab.nodes


def test_k3s_runs_now_and_after_a_reboot(host: Host) -> None:
    unit = host.service("k3s" if host.backend.get_hostname() == "server1" else "k3s-agent")
    assert unit.is_running
    assert unit.is_enabled


def test_secrets_are_for_root_alone(host: Host) -> None:
    of_a_server = ["/etc/rancher/k3s/k3s.yaml", "/var/lib/rancher/k3s/server/token"]
    own = of_a_server if host.backend.get_hostname() == "server1" else ["/etc/rancher/k3s/token"]
    for path in ["/etc/rancher/k3s/config.yaml", *own]:
        with host.sudo():
            secret = host.file(path)
            assert (secret.mode, secret.user, secret.group) == (0o600, "root", "root"), path


def test_the_kubeconfig_on_the_controller_is_for_its_owner_alone(lab: Lab) -> None:
    assert Path(lab.facts["paths"]["kubeconfig"]).stat().st_mode & 0o777 == 0o600


def verify_as_a_user(controller: Controller, home: Path) -> Result:
    """Run verify.yml as a user whose kubeconfig is in its usual place."""
    variables = {"kubeconfig_path": "~/.kube/config", "verify_report_path": f"{home}/report.json"}
    return controller.play("playbooks/verify.yml", [], variables, home)


def test_verify_reports_the_page(mysite: str, lab: Lab, controller: Controller, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    shutil.copy(lab.facts["paths"]["kubeconfig"], tmp_path / ".kube/config")
    done = verify_as_a_user(controller, tmp_path)
    assert done.code == 0, done.end
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"]
    assert {node["name"] for node in report["nodes"]} == set(lab.nodes)
    (service,) = report["web_services"]
    (page,) = service["pages"]
    assert (service["address"], page["http_status"]) == (mysite, 200)
    assert page["first_line"].split()[-1] in pods_of_mysite()


def test_verify_fails_without_a_cluster(lab: Lab, controller: Controller, tmp_path: Path) -> None:
    done = verify_as_a_user(controller, tmp_path)
    assert done.code != 0
    assert f'~/.kube/config has no context "homecloud-{lab.name}"' in done.output
