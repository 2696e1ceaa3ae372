# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import make_report, page_urls, report_lines

Thing = dict[str, t.Any]

EXCLUDED = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
ASKED = [{"name": "mysite"}]


def node(name: str = "node1", ready: str = "True", address: str = "192.168.1.101", **labels: str) -> Thing:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}],
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"kubeletVersion": "v1.36.2+k3s1"},
        },
    }


def service(name: str = "mysite", *addresses: str, kind: str = "LoadBalancer") -> Thing:
    load_balancer = {"ingress": [{"ip": address} for address in addresses]} if addresses else {}
    return {
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "annotations": {"metallb.io/ip-allocated-from-pool": "home"} if addresses else {},
        },
        "spec": {"type": kind, "ports": [{"port": 80, "nodePort": 30080}]},
        "status": {"loadBalancer": load_balancer},
    }


def deployment(name: str = "mysite", available: int = 2, wanted: int = 2) -> Thing:
    counts = {"replicas": wanted, "updatedReplicas": wanted, "availableReplicas": available}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 1, **counts},
    }


def announcement(of: str = "mysite", by: str = "node1") -> Thing:
    status = {"node": by, "serviceName": of, "serviceNamespace": "default"}
    return {"kind": "ServiceL2Status", "metadata": {"name": "l2-1"}, "status": status}


def configuration(component: str = "controller", result: str = "Valid", error: str = "") -> Thing:
    return {
        "kind": "ConfigurationState",
        "metadata": {"name": component},
        "status": {"result": result, "errorSummary": error},
    }


def page(url: str = "http://192.168.1.200:80/", of: str = "mysite", status: int = 200, content: str = "hi\n") -> Thing:
    return {"item": {"uid": f"uid-{of}", "url": url}, "status": status, "content": content}


SOUND: t.Final = [
    node(),
    service("mysite", "192.168.1.200"),
    deployment(),
    announcement(),
    configuration(),
    configuration("speaker-node1"),
]


def codes(report: Thing) -> list[str]:
    return [fault["code"] for fault in report["faults"]]


def test_a_cluster_that_serves_has_no_fault() -> None:
    assert make_report(SOUND, ASKED, [page(content="hello\nworld\n")]) == {
        "ok": True,
        "nodes": [{"name": "node1", "address": "192.168.1.101", "ready": True, "version": "v1.36.2+k3s1"}],
        "web_services": [
            {
                "name": "mysite",
                "namespace": "default",
                "type": "LoadBalancer",
                "cluster_url": "http://mysite.default:80/",
                "address": "192.168.1.200",
                "pool": "home",
                "announced_by": ["node1"],
                "endpoints": {"ready": 2, "wanted": 2},
                "pages": [{"url": "http://192.168.1.200:80/", "http_status": 200, "first_line": "hello"}],
            }
        ],
        "addresses": [
            {"address": "192.168.1.200", "service": "default/mysite", "pool": "home", "announced_by": ["node1"]}
        ],
        "metallb_configuration": [
            {"component": "controller", "result": "Valid", "error": ""},
            {"component": "speaker-node1", "result": "Valid", "error": ""},
        ],
        "faults": [],
    }


def test_a_node_that_is_not_ready_is_a_fault() -> None:
    for status in ("False", "Unknown"):
        report = make_report([node(), node("node2", status)], [], [])
        assert not report["ok"]
        assert codes(report) == ["node_not_ready"]
        assert "node2" in report["faults"][0]["message"]


def test_a_service_without_an_address_is_a_fault() -> None:
    assert codes(make_report([service(), deployment()], ASKED, [])) == ["no_address"]


def test_an_address_that_nobody_announces_is_a_fault() -> None:
    silent = [thing for thing in SOUND if thing["kind"] != "ServiceL2Status"]
    report = make_report(silent, ASKED, [page()])
    assert codes(report) == ["not_announced"]
    assert '"advertise" of the pool "home"' in report["faults"][0]["advice"]
    report = make_report([*silent[1:], node(**EXCLUDED)], ASKED, [page()])
    assert "node1" in report["faults"][0]["evidence"]
    # A MetalLB that says nothing of itself says nothing of this.
    assert make_report([t for t in silent if t["kind"] != "ConfigurationState"], ASKED, [page()])["ok"]


def test_a_configuration_that_is_refused_is_a_fault() -> None:
    report = make_report([*SOUND, configuration("speaker-node2", "Invalid", "overlapping pools")], ASKED, [page()])
    assert codes(report) == ["configuration_refused"]
    assert report["faults"][0]["evidence"] == "speaker-node2: overlapping pools"


def test_a_page_that_does_not_come_is_a_fault() -> None:
    silent = make_report(SOUND, ASKED, [page(status=-1, content="")])
    assert codes(silent) == ["no_page"]
    assert silent["faults"][0]["evidence"] == "no answer"
    broken = make_report(SOUND, ASKED, [page(status=502)])
    assert broken["faults"][0]["evidence"] == "HTTP status 502"


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_a_program_that_refuses_is_there(status: int) -> None:
    assert make_report(SOUND, ASKED, [page(status=status)])["ok"]


def test_pods_that_do_not_serve_are_a_fault() -> None:
    report = make_report([service("mysite", "192.168.1.200"), deployment(available=0)], ASKED, [])
    assert codes(report) == ["pods_not_ready"]
    assert report["web_services"][0]["endpoints"] == {"ready": 0, "wanted": 2}


def test_a_web_service_that_is_stopped_is_none() -> None:
    stopped = [service("mysite", "192.168.1.200"), deployment(available=0, wanted=0), configuration()]
    assert page_urls(stopped, ASKED) == []
    assert make_report(stopped, ASKED, [])["ok"]


def test_a_web_service_that_is_not_there_is_a_fault() -> None:
    report = make_report(SOUND, [{"name": "mysite", "namespace": "web"}], [page()])
    assert codes(report) == ["no_service", "no_deployment"]
    assert "web/mysite" in report["faults"][0]["message"]


def test_a_web_service_that_is_to_be_absent_is_not_asked_for() -> None:
    asked = [{"name": "mysite", "state": "absent"}]
    assert page_urls(SOUND, asked) == []
    assert make_report(SOUND, asked, [])["web_services"] == []


def test_pages_are_told_apart_by_their_service() -> None:
    services = [service("one", "192.168.1.200"), service("two", "192.168.1.201"), deployment("one"), deployment("two")]
    pages = [page(of="two", content="two"), page(of="one", content="one")]
    report = make_report(services, [{"name": "one"}, {"name": "two"}], pages)
    assert [s["pages"][0]["first_line"] for s in report["web_services"]] == ["one", "two"]


def test_services_that_nobody_asked_for_are_left_out() -> None:
    report = make_report([*SOUND, service("other", "192.168.1.201"), service("kubernetes")], ASKED, [page()])
    assert [s["name"] for s in report["web_services"]] == ["mysite"]
    assert [a["service"] for a in report["addresses"]] == ["default/mysite", "default/other"]


def test_each_type_has_its_pages() -> None:
    nodes = [node(), node("node2", address="fd00::2")]
    found = {
        kind: [page["url"] for page in page_urls([*nodes, service(kind=kind), deployment()], ASKED)]
        for kind in ("ClusterIP", "NodePort", "LoadBalancer")
    }
    assert found == {
        "ClusterIP": [],
        "NodePort": ["http://192.168.1.101:30080/", "http://[fd00::2]:30080/"],
        "LoadBalancer": [],
    }
    assert page_urls(SOUND, ASKED) == [{"uid": "uid-mysite", "url": "http://192.168.1.200:80/"}]


def test_the_text_shows_all() -> None:
    asked = [*ASKED, {"name": "inside"}, {"name": "down"}]
    more = [node("node2", "False"), service("inside", kind="ClusterIP"), deployment("inside"), service("down")]
    refused = configuration("speaker-node2", "Invalid", "overlapping pools")
    lines = report_lines(make_report([*SOUND, *more, deployment("down", 0), refused], asked, [page()]))
    rows = [line.split() for line in lines]
    assert ["node2", "192.168.1.101", "NO", "v1.36.2+k3s1"] in rows
    assert ["default/mysite", "LoadBalancer", "2/2", "http://192.168.1.200:80/", "200"] in rows
    assert "default/inside  ClusterIP     2/2   http://inside.default:80/ inside the cluster only  not asked" in lines
    assert ["default/down", "LoadBalancer", "0/2", "none", "none"] in rows
    assert ["192.168.1.200", "default/mysite", "home", "node1"] in rows
    assert "MetalLB's configuration is accepted by controller, speaker-node1." in lines
    assert "MetalLB's configuration is refused by speaker-node2: overlapping pools" in lines
    assert "http://192.168.1.200:80/: hi" in lines
    faults = [line.split()[1].rstrip(":") for line in lines if line.startswith("ERROR")]
    assert faults == ["node_not_ready", "configuration_refused", "pods_not_ready", "no_address"]
