# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that somebody has set up by hand, with k3s's own load balancer, is taken over.

It is set up on the nodes that test_undo has left bare. The tests follow each other.
"""

from __future__ import annotations

import json
import shlex
import typing as t
from pathlib import Path

import pytest
import yaml
from scenario import Kubectl, load_balanced, refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Lab

ADOPT = "playbooks/adopt.yml"
YES = {"adopt_confirmed": True}
ONLY_THIS: dict[str, t.Any] = {"web_service_services": []}
SERVER, AGENT = "server1", "agent1"
TOKEN = "a-token-that-nobody-sees"
SHOP = "shop"
COPY = ".before-adoption"
UNITS = {SERVER: "/etc/systemd/system/k3s.service", AGENT: "/etc/systemd/system/k3s-agent.service"}

# What https://get.k3s.io writes, as far as it matters to systemd.
UNIT = r"""[Unit]
Description=Lightweight Kubernetes
[Install]
WantedBy=multi-user.target
[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-{path}.env
KillMode=process
Delegate=yes
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStart=/usr/local/bin/k3s \
    {command}
"""
FLAGS = {
    SERVER: ["server", "--write-kubeconfig-mode", "644", "--node-label", "disk=ssd", "--disable=traefik,local-storage"],
    AGENT: ["agent", "--node-label", "disk=sd"],
}


def install(lab: Lab, host: str, version: str, **environment: str) -> None:
    """Install k3s as its script does."""
    path, settings = UNITS[host], lab.settings
    release = f"{settings['k3s_mirror_url']}/{version}"
    archives = [archive["url"] for archive in settings["k3s_image_archives"]]
    flags = FLAGS[host] + [f"--kubelet-arg={argument}" for argument in settings["k3s_config"]["kubelet-arg"]]
    files = {
        path: UNIT.format(path=path, command=" \\\n\t".join(f"'{flag}'" for flag in flags)),
        f"{path}.env": "".join(f"{name}='{value}'\n" for name, value in environment.items()),
    }
    writes = [f"printf %s {shlex.quote(content)} >{name}" for name, content in files.items()]
    lab.sh(
        host,
        f"""
        mkdir -p /usr/local/bin /var/lib/rancher/k3s/agent/images
        cd /var/lib/rancher/k3s/agent/images
        for url in {release}/k3s-airgap-images-amd64.tar {" ".join(archives)}; do
            curl -sSfO --retry 5 --retry-connrefused "$url"
        done
        curl -sSfo /usr/local/bin/k3s {release}/k3s
        chmod 755 /usr/local/bin/k3s
        {"; ".join(writes)}
        chmod 600 {path}.env
        systemctl enable --now --no-block {Path(path).stem}
        """,
    )


@pytest.fixture(scope="module")
def by_hand(lab: Lab, controller: Controller, k3s_version: str) -> Iterator[None]:
    """A cluster of which this collection knows nothing."""
    lab.have_nodes(2)
    install(lab, SERVER, k3s_version, K3S_TOKEN=TOKEN)
    install(lab, AGENT, k3s_version, K3S_TOKEN=TOKEN, K3S_URL=f"https://{lab.address(SERVER)}:6443")
    yield
    done = controller.play("playbooks/reset.yml", [], {"reset_confirmed": True})
    assert done.code == 0, done.end


@pytest.fixture(scope="module")
def cluster(lab: Lab, kubectl: Kubectl, by_hand: None, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """The cluster with a site, through the kubeconfig that somebody has copied from it."""
    kubeconfig = tmp_path_factory.mktemp("by-hand") / "kubeconfig"
    wait_until(lambda: lab.sh(SERVER, "systemctl is-active k3s || true") == "active\n")
    kubeconfig.write_text(lab.on(SERVER, "cat", "/etc/rancher/k3s/k3s.yaml").replace("127.0.0.1", lab.address(SERVER)))
    cluster = Kubectl(kubectl.program, str(kubeconfig))
    wait_until(lambda: cluster.is_ready("node", SERVER) and cluster.is_ready("node", AGENT))
    pod = {"containers": [{"name": "nginx", "image": "docker.io/library/nginx:1.22"}]}
    labels = {"app.kubernetes.io/name": SHOP}
    service = load_balanced(SHOP, finalizers=["service.kubernetes.io/load-balancer-cleanup"])  # as k3s puts it there
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": SHOP, "namespace": "default"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {**service, "spec": {**service["spec"], "selector": labels}},
    )
    wait_until(lambda: cluster.is_complete("deployment", SHOP, "default"))
    wait_until(lambda: len(cluster.status("service", SHOP).get("loadBalancer", {}).get("ingress", [])) == len(UNITS))
    return cluster


@pytest.fixture(scope="module")
def said(lab: Lab, cluster: Kubectl) -> Iterator[None]:
    """The inventory says what the hosts' units say."""
    directory = Path(lab.facts["paths"]["inventory"], "host_vars")
    directory.mkdir(exist_ok=True)
    files = {host: directory / f"{host}.yml" for host in (SERVER, AGENT)}
    for host, file in files.items():
        config = {**lab.settings["k3s_config"], "node-label": [FLAGS[host][FLAGS[host].index("--node-label") + 1]]}
        file.write_text(yaml.safe_dump({"k3s_config": config}))
    yield
    for file in files.values():
        file.unlink()


def told(lab: Lab) -> dict[str, str]:
    """What k3s is told on each host, and when it was."""
    places = "/etc/systemd/system/k3s* /etc/rancher/k3s"
    script = (
        f"find {places} -type f -printf '%p %m %T@\\n' || true; systemctl show --property=ExecMainStartTimestamp 'k3s*'"
    )
    return {host: lab.sh(host, script) for host in (SERVER, AGENT)}


def identity(lab: Lab, kubectl: Kubectl) -> dict[str, t.Any]:
    """What must outlive the takeover."""
    pods = [pod for pod in kubectl.objects("pods") if pod["metadata"]["namespace"] != "metallb-system"]
    return {
        "nodes": {n["metadata"]["uid"]: n["metadata"]["labels"]["disk"] for n in kubectl.objects("nodes")},
        "pods": {
            pod["metadata"]["uid"]: [status["containerID"] for status in pod["status"]["containerStatuses"]]
            for pod in pods
            if "svclb" not in pod["metadata"]["name"]
        },
        "cluster": kubectl.get("namespace", "kube-system")["metadata"]["uid"],
        "tokens": [lab.on(SERVER, "cat", f"/var/lib/rancher/k3s/server/{name}") for name in ("token", "agent-token")],
    }


def test_flags_that_would_be_lost_are_refused(controller: Controller, lab: Lab, cluster: Kubectl) -> None:
    before = told(lab)
    done = controller.play(ADOPT, [], {**YES, **ONLY_THIS})
    refused(done, "flags_not_in_inventory", 'node-label: "disk=ssd"', 'node-label: "disk=sd"')
    assert TOKEN not in done.output
    refused(controller.site(), "not_adopted", "homecloud.k3s.adopt")
    assert told(lab) == before


def test_what_will_change_is_shown(controller: Controller, lab: Lab, cluster: Kubectl, said: None) -> None:
    before = told(lab)
    done = controller.play(ADOPT, ["--check", "--diff"], ONLY_THIS)
    assert done.code == 0, done.end
    assert "Lightweight Kubernetes" not in done.output  # of the unit, where a token may be
    output = " ".join(done.output.split())
    for words in (
        "disable: traefik, local-storage -> servicelb, traefik, local-storage",
        "write-kubeconfig-mode: 644 -> 0600",
        f"kube-system/svclb-{SHOP}-",
        f"default/{SHOP}: {lab.address(SERVER)}, {lab.address(AGENT)} -> an address of the pool home",
    ):
        assert words in output, output
    assert TOKEN not in done.output
    assert told(lab) == before


def test_the_cluster_is_taken_over(controller: Controller, lab: Lab, cluster: Kubectl, said: None) -> None:
    before = identity(lab, cluster)
    units = {path: lab.on(host, "cat", path) for host, path in UNITS.items()}
    done = controller.play(ADOPT, [], {**YES, **ONLY_THIS})
    assert done.code == 0, done.end
    assert TOKEN not in done.output
    assert identity(lab, cluster) == before
    for host, path in UNITS.items():
        assert f"ExecStart=/usr/local/bin/k3s {FLAGS[host][0]}\n" in lab.on(host, "cat", path)
        assert lab.on(host, "cat", f"{path}{COPY}") == units[path]
        assert lab.on(host, "stat", "--format=%a", f"{path}{COPY}", f"{path}.env{COPY}") == "600\n600\n"
        assert f"{path}.env" not in lab.tree(host)
    config = yaml.safe_load(lab.on(SERVER, "cat", "/etc/rancher/k3s/config.yaml"))
    assert config["disable"] == ["servicelb", "traefik", "local-storage"]
    assert config["node-label"] == ["disk=ssd"]


def test_its_services_have_addresses_of_the_pool(lab: Lab, cluster: Kubectl) -> None:
    assert not [thing for thing in cluster.objects("daemonsets") if "svclb" in thing["metadata"]["name"]]
    address = cluster.address(SHOP)
    assert address in {lab.at(number) for number in range(200, 226)}
    assert "nginx" in lab.page(f"http://{address}/")
    # Nobody is left to do for it what k3s's own load balancer has asked to wait for.
    cluster("delete", "service", SHOP, "--timeout=20s")
    assert not cluster.get("service", SHOP)


def test_a_second_run_finds_nothing_to_do(controller: Controller, said: None) -> None:
    done = controller.play(ADOPT, [], ONLY_THIS)
    assert done.code == 0, done.end
    assert "There is nothing to adopt" in done.output
    assert not any(done.changed.values()), json.dumps(done.changed)
