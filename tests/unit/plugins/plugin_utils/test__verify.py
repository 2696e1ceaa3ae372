# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import make_report, page_urls, report_lines

Thing = dict[str, t.Any]


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


def web_service(
    name: str = "mysite", *addresses: str, kind: str = "LoadBalancer", ready: int = 2, faults: tuple[Thing, ...] = ()
) -> Thing:
    """What kube_service_info returns of a Service with two endpoints."""
    return {
        "namespace": "default",
        "name": name,
        "service": service(name, *addresses, kind=kind),
        "addresses": list(addresses),
        "endpoints": [{"address": f"10.42.0.{number}", "ready": number < ready} for number in range(2)],
        "announced_by": ["node1"] if addresses else [],
        "diagnosis": list(faults),
    }


def answer(*services: Thing) -> Thing:
    return {"services": list(services), "diagnosis": [fault for service in services for fault in service["diagnosis"]]}


def fault(code: str) -> Thing:
    return {"code": code, "severity": "error", "host": "", "message": "M", "evidence": "E", "advice": "A"}


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
    return {"item": {"service": f"default/{of}", "url": url}, "status": status, "content": content}


SOUND: t.Final = [
    node(),
    service("mysite", "192.168.1.200"),
    announcement(),
    configuration(),
    configuration("speaker-node1"),
]
MYSITE: t.Final = web_service("mysite", "192.168.1.200")


def codes(report: Thing) -> list[str]:
    return [fault["code"] for fault in report["faults"]]


def test_a_cluster_that_serves_has_no_fault() -> None:
    assert make_report(SOUND, answer(MYSITE), [page(content="hello\nworld\n")]) == {
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
                "endpoints": {"ready": 2, "all": 2},
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
        "sites": [],
        "faults": [],
    }


def test_a_node_that_is_not_ready_is_a_fault() -> None:
    for status in ("False", "Unknown"):
        report = make_report([node(), node("node2", status)], answer(), [])
        assert not report["ok"]
        assert codes(report) == ["node_not_ready"]
        assert "node2" in report["faults"][0]["message"]


def test_what_keeps_a_web_service_from_serving_is_a_fault() -> None:
    report = make_report(SOUND, answer(web_service(faults=(fault("no_pool"), fault("crash_loop")))), [])
    assert codes(report) == ["no_pool", "crash_loop"]
    assert report["faults"][0] == fault("no_pool")


def test_a_configuration_that_is_refused_is_a_fault() -> None:
    refused = configuration("speaker-node2", "Invalid", "overlapping pools")
    report = make_report([*SOUND, refused], answer(MYSITE), [page()])
    assert codes(report) == ["configuration_refused"]
    assert report["faults"][0]["evidence"] == "speaker-node2: overlapping pools"


def test_a_page_that_does_not_come_is_a_fault() -> None:
    silent = make_report(SOUND, answer(MYSITE), [page(status=-1, content="")])
    assert codes(silent) == ["no_page"]
    assert silent["faults"][0]["evidence"] == "no answer"
    broken = make_report(SOUND, answer(MYSITE), [page(status=502)])
    assert broken["faults"][0]["evidence"] == "HTTP status 502"


@pytest.mark.parametrize("status", [200, 302, 401, 404])
def test_a_program_that_refuses_is_there(status: int) -> None:
    assert make_report(SOUND, answer(MYSITE), [page(status=status)])["ok"]


def test_pages_are_told_apart_by_their_service() -> None:
    services = [web_service("one", "192.168.1.200"), web_service("two", "192.168.1.201")]
    pages = [page(of="two", content="two"), page(of="one", content="one")]
    report = make_report([], answer(*services), pages)
    assert [s["pages"][0]["first_line"] for s in report["web_services"]] == ["one", "two"]


def test_addresses_of_services_that_nobody_asked_for_are_shown_too() -> None:
    others = [service("other", "192.168.1.201"), service("kubernetes", kind="ClusterIP")]
    report = make_report([*SOUND, *others], answer(MYSITE), [page()])
    assert [s["name"] for s in report["web_services"]] == ["mysite"]
    assert [a["service"] for a in report["addresses"]] == ["default/mysite", "default/other"]


def test_each_type_has_its_pages() -> None:
    nodes = [node(), node("node2", address="fd00::2")]
    found = {
        kind: [page["url"] for page in page_urls(nodes, [web_service(kind=kind)])]
        for kind in ("ClusterIP", "NodePort", "LoadBalancer")
    }
    assert found == {
        "ClusterIP": [],
        "NodePort": ["http://192.168.1.101:30080/", "http://[fd00::2]:30080/"],
        "LoadBalancer": [],
    }
    assert page_urls(nodes, [MYSITE]) == [{"service": "default/mysite", "url": "http://192.168.1.200:80/"}]


def test_without_pods_there_are_no_pages() -> None:
    assert page_urls([node()], [web_service("mysite", "192.168.1.200", ready=0)]) == []


def test_the_text_shows_all() -> None:
    more = [web_service("inside", kind="ClusterIP"), web_service("down", ready=0, faults=(fault("no_pool"),))]
    refused = configuration("speaker-node2", "Invalid", "overlapping pools")
    lines = report_lines(make_report([*SOUND, node("node2", "False"), refused], answer(MYSITE, *more), [page()]))
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
    assert faults == ["node_not_ready", "configuration_refused", "no_pool"]
