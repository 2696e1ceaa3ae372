# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.plugin_utils._adoption import adoption_plan

Config = dict[str, t.Any]
Plan = dict[str, t.Any]

UNIT = "/etc/systemd/system/k3s.service"
ANY_OF_HOME = "an address of the pool home (192.168.1.200-192.168.1.225)"
HOME = {"name": "home", "addresses": ["192.168.1.200-192.168.1.225"]}
OWN = {"node-name": "node1", "node-ip": "192.168.1.101"}
SERVER = {**OWN, "tls-san": ["192.168.1.101"], "write-kubeconfig-mode": "0600", "disable": ["servicelb"]}


def hashed(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def reading(number: int = 1, config: Config | None = None, unit: Config | None = None) -> dict[str, t.Any]:
    of_others = {
        "path": UNIT,
        "program": "/usr/local/bin/k3s",
        "variables": [],
        "environment_files": [f"{UNIT}.env"],
        "overriding": [],
        "foreign": True,
    }
    return {
        "k3s": {"config": config or {}, "unit": {**of_others, **(unit or {})}},
        "interfaces": [{"addresses": ["127.0.0.1/8"]}, {"addresses": [f"192.168.1.10{number}/24"]}],
    }


def node(number: int = 1, name: str = "", **labels: str) -> dict[str, t.Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name or f"node{number}", "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": f"192.168.1.10{number}"}]},
    }


def service(name: str = "mysite", *addresses: str, **spec: object) -> list[dict[str, t.Any]]:
    """A Service that k3s's own load balancer serves, and what it serves it by."""
    prefix = "svccontroller.k3s.cattle.io/"
    labels = {f"{prefix}nodeselector": "false", f"{prefix}svcname": name, f"{prefix}svcnamespace": "default"}
    return [
        {
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "LoadBalancer", **spec},
            "status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}},
        },
        {"kind": "DaemonSet", "metadata": {"name": f"svclb-{name}", "namespace": "kube-system", "labels": labels}},
    ]


def plan(
    was: Config,
    will: Config | None = None,
    said: Config | None = None,
    objects: list[dict[str, t.Any]] | None = None,
    unit: Config | None = None,
) -> Plan:
    return adoption_plan(
        {"node1": reading(config=was, unit=unit)},
        {"node1": SERVER if will is None else will},
        {"node1": said or {}},
        [node()] if objects is None else objects,
        [HOME],
        {},
    )


def codes(found: Plan) -> list[str]:
    return [fault["code"] for fault in found["faults"]]


def blocks(found: Plan) -> list[Config]:
    return [yaml.safe_load("\n".join(block["lines"]))["k3s_config"] for block in found["blocks"]]


@pytest.mark.parametrize(
    ("was", "will", "changes"),
    [
        ({}, SERVER, ["disable: none -> servicelb", "tls-san: none -> 192.168.1.101"]),
        (SERVER, SERVER, []),
        ({**SERVER, "token": "sha256:1", "token-file": "/x", "config": "/y"}, SERVER, []),
        ({**SERVER, "disable": "servicelb"}, SERVER, []),
        ({**SERVER, "write-kubeconfig-mode": "644"}, SERVER, ["write-kubeconfig-mode: 644 -> 0600"]),
        ({**SERVER, "cluster-init": True}, SERVER, ["cluster-init: true -> none"]),
        (
            {**OWN, "server": "https://a:6443"},
            {**OWN, "server": "https://b:6443"},
            ["server: https://a:6443 -> https://b:6443"],
        ),
        ({**OWN, "kubelet-arg": ["a=1", "b=2"]}, {**OWN, "kubelet-arg": ["b=2", "a=1"]}, []),
        ({**OWN, "debug": True, "v": "2"}, {**OWN, "debug": "true", "v": 2}, []),
        ({**OWN, "agent-token": hashed("s3cret")}, {**OWN, "agent-token": "s3cret"}, []),
    ],
)
def test_what_changes(was: Config, will: Config, changes: list[str]) -> None:
    found = plan(was, will)
    assert found["hosts"] == [{"host": "node1", "changes": changes}]
    assert (found["faults"], found["blocks"]) == ([], [])


@pytest.mark.parametrize(
    ("was", "said", "needed"),
    [
        ({"node-label": ["disk=ssd"]}, {}, {"node-label": ["disk=ssd"]}),
        ({"disable": "traefik,servicelb"}, {}, {"disable+": ["traefik"]}),
        ({"tls-san": ["a.example", "192.168.1.101"]}, {}, {"tls-san+": ["a.example"]}),
        ({"node-name": "pi"}, {}, {"node-name": "pi"}),
        ({"node-ip": "192.168.1.111"}, {}, {"node-ip": "192.168.1.111"}),
        ({"flannel-backend": "host-gw", "debug": True}, {}, {"flannel-backend": "host-gw", "debug": True}),
        ({"disable": ["traefik"]}, {"disable+": "coredns", "v": 1}, {"disable+": ["coredns", "traefik"], "v": 1}),
        ({"data-dir": "/mnt/ssd"}, {"v": 1}, {"data-dir": "/mnt/ssd", "v": 1}),
    ],
)
def test_what_would_be_lost(was: Config, said: Config, needed: Config) -> None:
    found = plan({**SERVER, **was}, said=said)
    assert (codes(found), blocks(found)) == (["flags_not_in_inventory"], [needed])
    assert found["hosts"][0]["changes"] == []


def test_what_the_inventory_says_otherwise_is_no_loss() -> None:
    said = {"disable": ["servicelb"], "node-name": "node1", "flannel-backend": "vxlan"}
    found = plan(
        {**SERVER, "disable": ["traefik"], "flannel-backend": "host-gw"}, {**SERVER, "flannel-backend": "vxlan"}, said
    )
    assert not found["faults"]
    assert found["hosts"][0]["changes"] == ["disable: traefik -> servicelb", "flannel-backend: host-gw -> vxlan"]


def test_the_name_and_the_address_that_the_cluster_knows() -> None:
    """k3s has named the node by itself, and takes the address of another interface than the collection would."""
    found = plan({"with-node-id": True}, objects=[node(name="pi-1a2b3c4d")])
    assert (codes(found), blocks(found)) == (["flags_not_in_inventory"], [{"node-name": "pi-1a2b3c4d"}])
    both = node()
    both["status"]["addresses"].append({"type": "InternalIP", "address": "fd00::1"})
    assert blocks(plan({}, objects=[both])) == [{"node-ip": "192.168.1.101,fd00::1"}]


def test_no_secret_is_shown() -> None:
    will = {**OWN, "agent-token": "new-s3cret"}
    for said in ({}, {"agent-token": "new-s3cret"}):
        found = plan({**OWN, "agent-token": hashed("old-s3cret"), "datastore-endpoint": hashed("mysql")}, will, said)
        assert codes(found) == ["flags_not_in_inventory"]
        assert "agent-token" in str(found)
        assert "s3cret" not in str(found)
        assert "sha256" not in str(found)


def test_hosts_that_need_the_same_are_told_together() -> None:
    readings = {f"node{n}": reading(n, {"node-label": "disk=sd"}) for n in (1, 2)}
    wishes = {f"node{n}": {"node-name": f"node{n}", "node-ip": f"192.168.1.10{n}"} for n in (1, 2)}
    found = adoption_plan(readings, wishes, {"node1": {}, "node2": {}}, [node(1), node(2)], [], {})
    assert [block["hosts"] for block in found["blocks"]] == [["node1", "node2"]]
    assert [fault["host"] for fault in found["faults"]] == ["node1", "node2"]


@pytest.mark.parametrize(
    ("code", "was", "unit"),
    [
        ("another_program", {}, {"program": "/opt/bin/k3s"}),
        ("another_program", {}, {"program": ""}),
        ("unit_overridden", {}, {"overriding": [f"{UNIT}.d/a.conf"]}),
        ("variables_lost", {}, {"variables": ["HTTP_PROXY"]}),
        ("cannot_be_adopted", {"docker": True}, {}),
        ("cannot_be_adopted", {"rootless": True}, {}),
        ("cannot_be_adopted", {"https-listen-port": "8443"}, {}),
        ("cannot_be_adopted", {"disable-agent": True}, {}),
    ],
)
def test_what_cannot_be_adopted(code: str, was: Config, unit: Config) -> None:
    found = plan({**SERVER, **was}, unit=unit)
    assert (codes(found), found["blocks"]) == ([code], [])


def test_nodes_that_are_in_no_inventory() -> None:
    server = {"node-role.kubernetes.io/control-plane": "true"}
    found = plan(SERVER, objects=[node(), node(2), node(3, **server)])
    assert [(fault["code"], fault["severity"]) for fault in found["faults"]] == [
        ("node_not_in_inventory", "warning"),
        ("node_not_in_inventory", "error"),
    ]


def test_a_cluster_that_does_not_answer() -> None:
    assert codes(plan(SERVER, objects=[])) == ["api_silent"]


def test_nothing_to_adopt() -> None:
    ours = reading(config={"debug": True}, unit={"foreign": False})
    found = adoption_plan({"node1": ours}, {"node1": SERVER}, {"node1": {}}, [], [], {})
    assert found == {"hosts": [], "blocks": [], "daemonsets": [], "services": [], "faults": []}


@pytest.mark.parametrize(
    ("pools", "annotations", "spec", "after"),
    [
        ([HOME], {}, {}, ANY_OF_HOME),
        ([HOME], {"metallb.io/loadBalancerIPs": "192.168.1.207"}, {}, "192.168.1.207"),
        ([HOME], {}, {"loadBalancerIP": "192.168.1.208"}, "192.168.1.208"),
        ([HOME], {}, {"loadBalancerIP": "192.168.1.101"}, ""),
        ([HOME], {"metallb.io/address-pool": "dmz"}, {}, ""),
        ([{**HOME, "auto_assign": False}], {"metallb.io/address-pool": "home"}, {}, ANY_OF_HOME),
        ([{**HOME, "auto_assign": False}], {}, {}, ""),
        ([{**HOME, "namespaces": ["web"]}], {}, {}, ""),
        ([], {}, {}, ""),
    ],
)  # fmt: skip
def test_addresses(pools: list[Config], annotations: dict[str, str], spec: Config, after: str) -> None:
    objects = [node(), *service("mysite", "192.168.1.101", "192.168.1.102", **spec)]
    objects[1]["metadata"]["annotations"] = annotations
    found = adoption_plan({"node1": reading(config=SERVER)}, {"node1": SERVER}, {"node1": {}}, objects, pools, {})
    assert found["daemonsets"] == ["kube-system/svclb-mysite"]
    if after:
        assert found["services"] == [f"default/mysite: 192.168.1.101, 192.168.1.102 -> {after}"]
    assert codes(found) == ([] if after else ["no_pool_for_service"])


def test_an_address_that_another_setting_gives() -> None:
    objects = [node(), *service("traefik"), {**service("other")[0]}]
    given = {"default/traefik": "192.168.1.200", "default/other": ""}
    found = adoption_plan({"node1": reading(config=SERVER)}, {"node1": SERVER}, {"node1": {}}, objects, [HOME], given)
    assert found["services"] == ["default/traefik: none -> 192.168.1.200"]
