# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a cluster that has MetalLB, as captured, and as changed by each test."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster, covers, managers, named
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool, pool_of, uses_configmap
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb_reading import compare, read

CAPTURED = (Path(__file__).parents[1] / "data/metallb.yaml").read_text(encoding="utf-8")
OURS = "homecloud.k3s"
Thing = dict[str, t.Any]


class Captured(Cluster):
    """A cluster with these objects."""

    def __init__(self) -> None:
        self.things: list[Thing] = yaml.safe_load(CAPTURED)["items"]

    def objects(self, kind: str, api_version: str, **where: str) -> list[Thing]:
        return [
            thing
            for thing in self.things
            if (thing["kind"], thing["apiVersion"]) == (kind, api_version)
            and thing["metadata"].get("namespace") == where.get("namespace", thing["metadata"].get("namespace"))
        ]

    def current(self, wanted: t.Mapping[str, t.Any]) -> Thing | None:
        return next((thing for thing in self.things if named(thing) == named(wanted)), None)

    def __getitem__(self, name: str) -> Thing:
        return next(thing for thing in self.things if named(thing) == name)

    def without(self, *kinds: str) -> Captured:
        self.things = [thing for thing in self.things if thing["kind"] not in kinds]
        return self

    def add(self, kind: str, api_version: str, name: str, namespace: str = "metallb-system", **rest: object) -> Thing:
        thing = {"kind": kind, "apiVersion": api_version, "metadata": {"name": name, "namespace": namespace}, **rest}
        self.things.append(thing)
        return thing


@pytest.fixture(name="cluster")
def cluster_fixture() -> Captured:
    return Captured()


def test_a_cluster_as_it_was_captured(cluster: Captured) -> None:
    parts = ["controller", "speaker-agent1", "speaker-agent2", "speaker-server1"]
    assert read(cluster, OURS) == {
        "controller": {"version": "v0.16.2", "ours": True, "wanted": 1, "ready": 1},
        "speakers": {"version": "v0.16.2", "ours": True, "wanted": 3, "ready": 3},
        "ready": True,
        "pools": [
            {
                "name": "home",
                "addresses": ["192.168.100.200-192.168.100.225"],
                "auto_assign": True,
                "avoid_buggy_ips": False,
                "priority": 0,
                "namespaces": [],
                "namespace_selectors": [],
                "service_selectors": [],
                "advertise": {"interfaces": [], "node_selectors": []},
                "ours": True,
            }
        ],
        "services": [
            {
                "namespace": "default",
                "name": "mysite",
                "addresses": ["192.168.100.200"],
                "pool": "home",
                "announced_by": ["agent2"],
            }
        ],
        "configuration": [{"component": part, "result": "Valid", "error": ""} for part in parts],
        "old_configuration": None,
        "servicelb": [],
        "elsewhere": [],
    }


def test_a_cluster_without_metallb(cluster: Captured) -> None:
    reading = read(cluster.without(*{thing["kind"] for thing in cluster.things} - {"Service"}), OURS)
    assert (reading["controller"], reading["speakers"], reading["ready"]) == (None, None, False)
    assert (reading["pools"], reading["configuration"], reading["old_configuration"]) == ([], [], None)
    assert [service["announced_by"] for service in reading["services"]] == [[]]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Deployment metallb-system/controller", {"status": {}}),
        ("Deployment metallb-system/controller", {"metadata": {"generation": 99}}),
        ("Deployment metallb-system/controller", {"status": {"updatedReplicas": 0}}),
        ("Deployment metallb-system/controller", {"spec": {"replicas": 0}}),
        # a rolling update that does not come to its end leaves the old pod, and that is ready
        ("Deployment metallb-system/controller", {"status": {"replicas": 2}}),
        ("DaemonSet metallb-system/speaker", {"status": {"numberAvailable": 2}}),
        ("DaemonSet metallb-system/speaker", {"status": {"updatedNumberScheduled": 2}}),
        ("EndpointSlice metallb-system/metallb-webhook-service-vgsfk", {"endpoints": None}),
        (
            "EndpointSlice metallb-system/metallb-webhook-service-vgsfk",
            {"endpoints": [{"conditions": {"ready": False}}]},
        ),
        ("ValidatingWebhookConfiguration metallb-webhook-configuration", {"webhooks": []}),
        ("ValidatingWebhookConfiguration metallb-webhook-configuration", {"webhooks": [{"clientConfig": {}}]}),
    ],
)
def test_not_ready(cluster: Captured, name: str, change: dict[str, t.Any]) -> None:
    for key, value in change.items():
        if value and isinstance(value, dict):
            cluster[name][key].update(value)
        else:
            cluster[name][key] = value
    assert not read(cluster, OURS)["ready"]


def node(name: str, ready: str) -> Thing:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "status": {"conditions": conditions}}


def test_a_node_that_is_down_does_not_hold_up_the_others(cluster: Captured) -> None:
    cluster["DaemonSet metallb-system/speaker"]["status"]["numberAvailable"] = 2
    cluster.things += [node("server1", "True"), node("agent1", "True"), node("agent2", "Unknown")]
    reading = read(cluster, OURS)
    assert (reading["speakers"]["wanted"], reading["speakers"]["ready"], reading["ready"]) == (2, 2, True)
    cluster["DaemonSet metallb-system/speaker"]["status"]["numberAvailable"] = 1
    assert not read(cluster, OURS)["ready"]


def test_what_others_made_is_told_apart(cluster: Captured) -> None:
    for name in ("IPAddressPool metallb-system/home", "Deployment metallb-system/controller"):
        for entry in cluster[name]["metadata"]["managedFields"]:
            entry["manager"] = "kubectl"
    reading = read(cluster, OURS)
    assert [pool["ours"] for pool in reading["pools"]] == [False]
    assert (reading["controller"]["ours"], reading["speakers"]["ours"]) == (False, True)
    assert (
        managers({"metadata": {}})
        == managers({"metadata": {"managedFields": [{"manager": OURS, "operation": "Update"}]}})
        == set()
    )


def test_a_pool_that_nobody_announces(cluster: Captured) -> None:
    reading = read(cluster.without("L2Advertisement"), OURS)
    assert [pool["advertise"] for pool in reading["pools"]] == [None]


def test_all_that_a_pool_can_say_comes_back_from_its_objects() -> None:
    selector = {"matchLabels": {"app": "web"}}
    said = {
        "name": "dmz",
        "addresses": ["192.168.1.240/28", "fd00::10-fd00::20"],
        "auto_assign": False,
        "avoid_buggy_ips": True,
        "priority": 50,
        "namespaces": ["web"],
        "namespace_selectors": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}],
        "service_selectors": [selector],
        "advertise": {"interfaces": ["eth0"], "node_selectors": [selector]},
    }
    pool = Pool.wanted(said)
    address_pool, advertisement = pool.objects
    assert Pool.read(address_pool, advertisement) == pool == pool_of({**said, "ours": True})


def test_a_pool_with_nothing_but_addresses_has_the_defaults_of_metallb() -> None:
    address_pool, advertisement = Pool.wanted({"name": "home", "addresses": ["10.0.0.0/30"], "advertise": None}).objects
    assert address_pool["spec"] == {"addresses": ["10.0.0.0/30"], "autoAssign": True, "avoidBuggyIPs": False}
    assert advertisement["spec"] == {"ipAddressPools": ["home"]}


def test_configuration_that_is_refused(cluster: Captured) -> None:
    cluster["ConfigurationState metallb-system/controller"]["status"] = {"result": "Invalid", "errorSummary": "overlap"}
    cluster["ConfigurationState metallb-system/speaker-agent1"].pop("status")
    assert read(cluster, OURS)["configuration"][:2] == [
        {"component": "controller", "result": "Invalid", "error": "overlap"},
        {"component": "speaker-agent1", "result": "Unknown", "error": ""},
    ]


def test_other_load_balancers(cluster: Captured) -> None:
    speaker = {"spec": {"containers": [{"name": "speaker", "image": "quay.io/metallb/speaker:v0.15.2"}]}}
    cluster.add("DaemonSet", "apps/v1", "metallb-speaker", "metallb", spec={"template": speaker})
    svclb = cluster.add("DaemonSet", "apps/v1", "svclb-mysite-1", "kube-system", spec={"template": speaker})
    svclb["metadata"]["labels"] = {"svccontroller.k3s.cattle.io/nodeselector": "false"}
    svclb["spec"] = {"template": {"spec": {"containers": [{"name": "lb", "image": "rancher/klipper-lb:v0.4.13"}]}}}
    reading = read(cluster, OURS)
    assert reading["elsewhere"] == ["metallb/metallb-speaker"]
    assert reading["servicelb"] == ["kube-system/svclb-mysite-1"]


# As the documentation of v0.9.3 has it, with a pool for a router that speaks BGP.
OLD = """\
peers:
- {peer-address: 10.0.0.1, peer-asn: 64501, my-asn: 64500}
address-pools:
- name: default
  protocol: layer2
  addresses:
  - 192.168.1.240-192.168.1.250
- name: reserve
  protocol: layer2
  auto-assign: false
  avoid-buggy-ips: true
  addresses: [192.168.1.128/28]
- name: routed
  protocol: bgp
  addresses: [198.51.100.0/24]
"""


def old_metallb(cluster: Captured, image: str, config: str | None) -> Captured:
    cluster["Deployment metallb-system/controller"]["spec"]["template"]["spec"]["containers"][0]["image"] = image
    cluster.without("IPAddressPool", "L2Advertisement", "ConfigurationState", "ServiceL2Status")
    if config is not None:
        cluster.add("ConfigMap", "v1", "config", data={"config": config})
    return cluster


def test_the_configmap_of_v0_9_3_is_converted(cluster: Captured) -> None:
    reading = read(old_metallb(cluster, "metallb/controller:v0.9.3", OLD), OURS)
    assert reading["controller"]["version"] == "v0.9.3"
    assert reading["old_configuration"] == {
        "pools": [
            {"name": "default", "addresses": ["192.168.1.240-192.168.1.250"]},
            {"name": "reserve", "addresses": ["192.168.1.128/28"], "auto_assign": False, "avoid_buggy_ips": True},
        ],
        "not_converted": ["pool routed (protocol bgp)", "peers"],
    }


@pytest.mark.parametrize("config", [None, "", "address-pools:\n"])
def test_an_old_metallb_without_pools(cluster: Captured, config: str | None) -> None:
    reading = read(old_metallb(cluster, "quay.io/metallb/controller:v0.12.1", config), OURS)
    assert reading["old_configuration"] == {"pools": [], "not_converted": []}


def test_a_configmap_that_is_no_longer_read_is_left_alone(cluster: Captured) -> None:
    cluster.add("ConfigMap", "v1", "config", data={"config": OLD})
    assert read(cluster, OURS)["old_configuration"] is None


@pytest.mark.parametrize(
    ("version", "old"), [("v0.9.3", True), ("v0.12.1", True), ("v0.13.0", False), ("v1.0.0", False), ("main", False)]
)
def test_versions_that_read_a_configmap(version: str, old: bool) -> None:
    assert uses_configmap(version) == old


@pytest.mark.parametrize(
    ("there", "wanted", "answer"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({}, {"a": {"b": 1}}, False),
        (None, {"a": 1}, False),
        ({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": None, "b": "", "c": [], "d": {}}, True),
        ({}, {"a": False}, False),
        ({}, {"a": 0}, False),
        ({"created": "now"}, {"created": None}, True),
    ],
)
def test_what_an_object_has_of_what_is_wanted(there: object, wanted: object, answer: bool) -> None:
    assert covers(there, wanted) == answer


def manifest(cluster: Captured, place: Path) -> str:
    """A manifest of some objects of the cluster, without what the API has added."""
    kind = cluster.add("CustomResourceDefinition", "apiextensions.k8s.io/v1", "ipaddresspools.metallb.io", "")
    things = [cluster["Deployment metallb-system/controller"], cluster["DaemonSet metallb-system/speaker"], kind]
    written = [
        {**thing, "metadata": {key: thing["metadata"][key] for key in ("name", "namespace")}, "status": None}
        for thing in things
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert", "namespace": "metallb-system"}}
    path = place / "metallb.yaml"
    path.write_text(yaml.safe_dump_all([*written, secret]), encoding="utf-8")
    return str(path)


def test_a_cluster_that_is_as_its_manifest_says(cluster: Captured, tmp_path: Path) -> None:
    assert compare(cluster, manifest(cluster, tmp_path), OURS) == {"differences": [], "surplus": []}


def test_a_cluster_that_is_not_as_its_manifest_says(cluster: Captured, tmp_path: Path) -> None:
    path = manifest(cluster, tmp_path)
    cluster["DaemonSet metallb-system/speaker"]["spec"]["template"]["spec"]["containers"][0]["args"].append("--debug")
    mine = {"managedFields": [{"manager": OURS, "operation": "Apply"}]}
    cluster.add("Deployment", "apps/v1", "of-the-last-version")["metadata"].update(mine)
    cluster.add("Deployment", "apps/v1", "of-others")
    cluster.add("Deployment", "apps/v1", "of-ours", "web")["metadata"].update(mine)
    # with a kind all objects of the kind would go
    kind = cluster.add("CustomResourceDefinition", "apiextensions.k8s.io/v1", "addresspools.metallb.io", "")
    kind["metadata"].update(mine)
    assert compare(cluster, path, OURS) == {
        "differences": ["DaemonSet metallb-system/speaker"],
        "surplus": [
            {
                "kind": "Deployment",
                "apiVersion": "apps/v1",
                "metadata": {"name": "of-the-last-version", "namespace": "metallb-system"},
            }
        ],
    }
