# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the cluster and its LAN look like from outside of Ansible."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import typing as t
import urllib.request
from pathlib import Path

import openshift_client as oc
import pytest
import yaml

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

testinfra_hosts = ["ansible://k3s_cluster"]

COLLECTION = Path(__file__).parents[3]
LAB = COLLECTION / "tests/lab/lab.py"
K3S_DEFAULTS = COLLECTION / "roles/k3s/defaults/main.yml"


class Lab:
    """The lab that Molecule has made, and a shell on its hosts that needs neither SSH nor the inventory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: dict[str, t.Any] = json.loads(self._run("status", "--json"))

    def _run(self, command: str, *arguments: str) -> str:
        line = [str(LAB), command, "--name", self.name, *arguments]
        return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def on(self, host: str, *command: str) -> str:
        return self._run("shell", host, "--", *command)

    def address(self, host: str) -> str:
        return str(self.facts["hosts"][host]["address"])


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab(os.environ["LAB_NAME"])


@pytest.fixture(scope="session")
def k3s_version() -> str:
    return str(yaml.safe_load(K3S_DEFAULTS.read_text())["k3s_version"])


@pytest.fixture(scope="session")
def kubectl(lab: Lab, k3s_version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubectl of the cluster's version, as the mirror has it."""
    url = f"{lab.facts['mirror_url']}/kubernetes/{k3s_version.split('+')[0]}/bin/linux/amd64/kubectl"
    with urllib.request.urlopen(url, timeout=60) as answer:
        program = answer.read()
    with urllib.request.urlopen(url + ".sha256", timeout=60) as answer:
        assert hashlib.sha256(program).hexdigest() == answer.read().decode().strip()
    path = tmp_path_factory.mktemp("kubectl") / "kubectl"
    path.write_bytes(program)
    path.chmod(0o755)
    return path


@pytest.fixture
def cluster(lab: Lab, kubectl: Path) -> Iterator[None]:
    """The cluster as a client sees it that has nothing to do with Ansible."""
    oc.set_default_oc_path(str(kubectl))
    oc.set_default_kubeconfig_path(lab.facts["paths"]["kubeconfig"])
    with oc.timeout(60):
        yield


@pytest.fixture
def mysite(cluster: None) -> str:
    """The load balancer address of mysite."""
    with oc.project("default"):
        service = oc.selector("service/mysite").object().as_dict()
    (ingress,) = service["status"]["loadBalancer"]["ingress"]
    return str(ingress["ip"])


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
    assert seen == {name: (k3s_version, "True", lab.address(name)) for name in ("server1", "agent1", "agent2")}


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
    interface = lab.on("client", "ip", "-oneline", "route", "get", mysite).split(" dev ")[1].split()[0]
    # A node may be asked for its own address only by others, so the client asks.
    replies = lab.on("client", "arping", "-I", interface, "-c", "3", "-w", "5", mysite)
    answering = {line.split("[")[1].split("]")[0].lower() for line in replies.splitlines() if "reply from" in line}
    macs = {
        json.loads(lab.on(node, "ip", "-json", "link", "show", "dev", interface))[0]["address"]: node
        for node in ("server1", "agent1", "agent2")
    }
    assert len(answering) == 1
    assert answering <= set(macs)


def test_k3s_runs_now_and_after_a_reboot(host: Host) -> None:
    unit = host.service("k3s" if host.backend.get_hostname() == "server1" else "k3s-agent")
    assert unit.is_running
    assert unit.is_enabled


def test_secrets_are_for_root_alone(host: Host) -> None:
    secrets = ["config.yaml", "k3s.yaml" if host.backend.get_hostname() == "server1" else "token"]
    for name in secrets:
        with host.sudo():
            secret = host.file(f"/etc/rancher/k3s/{name}")
            assert (secret.mode, secret.user, secret.group) == (0o600, "root", "root"), name


def test_the_kubeconfig_on_the_controller_is_for_its_owner_alone(lab: Lab) -> None:
    assert Path(lab.facts["paths"]["kubeconfig"]).stat().st_mode & 0o777 == 0o600


def verify_as_a_user(lab: Lab, home: Path) -> subprocess.CompletedProcess[str]:
    """Run verify.yml as a user whose kubeconfig is in its usual place."""
    playbook = Path(sys.executable).with_name("ansible-playbook")
    line = [str(playbook), "playbooks/verify.yml", f"--inventory={lab.facts['paths']['inventory']}"]
    line += ["--extra-vars=kubeconfig_path=~/.kube/config", f"--extra-vars=verify_report_path={home}/report.json"]
    environment = {**os.environ, "HOME": str(home)}
    return subprocess.run(
        line, cwd=COLLECTION, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_verify_reports_the_page(mysite: str, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    shutil.copy(lab.facts["paths"]["kubeconfig"], tmp_path / ".kube/config")
    done = verify_as_a_user(lab, tmp_path)
    assert done.returncode == 0, done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ok"]
    assert {node["name"] for node in report["nodes"]} == {"server1", "agent1", "agent2"}
    (page,) = report["web_services"]
    assert (page["address"], page["http_status"]) == (mysite, 200)
    assert page["first_line"].split()[-1] in pods_of_mysite()


def test_verify_fails_without_a_cluster(lab: Lab, tmp_path: Path) -> None:
    done = verify_as_a_user(lab, tmp_path)
    assert done.returncode != 0
    assert f'~/.kube/config has no context "homecloud-{lab.name}"' in done.stdout + done.stderr
