# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.plugin_utils._verify import make_report, report_lines


def node(name: str = "node1", ready: str = "True") -> dict[str, t.Any]:
    return {
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "192.168.1.101"}],
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"kubeletVersion": "v1.36.2+k3s1"},
        },
    }


def service(name: str = "mysite", *addresses: str) -> dict[str, t.Any]:
    load_balancer = {"ingress": [{"ip": address} for address in addresses]} if addresses else {}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "status": {"loadBalancer": load_balancer},
    }


def page(of: dict[str, t.Any], status: int = 200, content: str = "hello\nworld\n") -> dict[str, t.Any]:
    return {"item": of, "url": "http://192.168.1.200:80/", "status": status, "content": content}


def codes(report: dict[str, t.Any]) -> list[str]:
    return [fault["code"] for fault in report["faults"]]


def test_a_cluster_that_serves_has_no_fault() -> None:
    mysite = service("mysite", "192.168.1.200")
    report = make_report([node()], [{"name": "mysite"}], [mysite], [page(mysite)])
    assert report == {
        "ok": True,
        "nodes": [{"name": "node1", "address": "192.168.1.101", "ready": True, "version": "v1.36.2+k3s1"}],
        "web_services": [
            {
                "name": "mysite",
                "namespace": "default",
                "address": "192.168.1.200",
                "url": "http://192.168.1.200:80/",
                "http_status": 200,
                "first_line": "hello",
            }
        ],
        "faults": [],
    }


def test_a_node_that_is_not_ready_is_a_fault() -> None:
    for status in ("False", "Unknown"):
        report = make_report([node(), node("node2", status)], [], [], [])
        assert not report["ok"]
        assert codes(report) == ["node_not_ready"]
        assert "node2" in report["faults"][0]["message"]


def test_a_service_without_an_address_is_a_fault() -> None:
    assert codes(make_report([], [{"name": "mysite"}], [service()], [])) == ["no_address"]


def test_a_page_that_does_not_come_is_a_fault() -> None:
    mysite = service("mysite", "192.168.1.200")
    silent = make_report([], [{"name": "mysite"}], [mysite], [page(mysite, -1, "")])
    assert codes(silent) == ["no_page"]
    assert silent["faults"][0]["evidence"] == "no answer"
    broken = make_report([], [{"name": "mysite"}], [mysite], [page(mysite, 502)])
    assert broken["faults"][0]["evidence"] == "HTTP status 502"


def test_a_web_service_that_is_not_there_is_a_fault() -> None:
    elsewhere = service("mysite", "192.168.1.200")
    report = make_report([], [{"name": "mysite", "namespace": "web"}], [elsewhere], [page(elsewhere)])
    assert codes(report) == ["no_service"]
    assert "web/mysite" in report["faults"][0]["message"]


def test_pages_are_told_apart_by_their_service() -> None:
    one, two = service("one", "192.168.1.200"), service("two", "192.168.1.201")
    report = make_report(
        [], [{"name": "one"}, {"name": "two"}], [one, two], [page(two, content="two"), page(one, content="one")]
    )
    assert [s["first_line"] for s in report["web_services"]] == ["one", "two"]


def test_services_that_nobody_asked_for_are_left_out() -> None:
    report = make_report([], [{"name": "one"}], [service("one", "192.168.1.200"), service("kubernetes")], [])
    assert [s["name"] for s in report["web_services"]] == ["one"]


def test_the_text_shows_each_node_service_and_fault() -> None:
    mysite = service("mysite", "192.168.1.200")
    asked = [{"name": "mysite"}, {"name": "lost"}]
    lines = report_lines(make_report([node(ready="False")], asked, [mysite, service("lost")], [page(mysite)]))
    assert lines[1].split() == ["node1", "192.168.1.101", "NO", "v1.36.2+k3s1"]
    assert lines[4].split() == ["default/mysite", "192.168.1.200", "http://192.168.1.200:80/", "200"]
    assert lines[5].split() == ["default/lost", "none", "none", "none"]
    assert lines[7] == "http://192.168.1.200:80/: hello"
    assert lines[9].startswith("ERROR node_not_ready: ")
    assert lines[12].startswith("ERROR no_address: ")
