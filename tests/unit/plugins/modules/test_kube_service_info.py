# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.modules import kube_service_info as MODULE

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Api, Run

Thing = dict[str, t.Any]

RETURNED = yaml.safe_load(MODULE.RETURN)


def service(name: str, namespace: str = "rooms", **labels: str) -> Thing:
    spec = {"type": "ClusterIP", "clusterIPs": ["10.43.0.7"], "ports": [{"port": 80, "protocol": "TCP"}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "managedFields": []},
        "spec": {**spec, "selector": {"app": name}},
        "status": {"loadBalancer": {}},
    }


def endpoints(name: str, *ready: bool, namespace: str = "rooms") -> Thing:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "", "port": 80}],
        "endpoints": [
            {"addresses": [f"10.42.1.{number}"], "conditions": {"ready": is_ready}, "nodeName": "node2"}
            for number, is_ready in enumerate(ready)
        ],
    }


def deployment(name: str, ready: int) -> Thing:
    counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": ready, "observedGeneration": 1}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "web"}]}}
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "namespace": "rooms", "generation": 1, "uid": name},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template},
        "status": counts,
    }


@pytest.fixture(name="api")
def with_services(api: Api) -> Api:
    """Two Services that serve, and one that does not."""
    api.things = [thing for thing in api.things if thing["kind"] not in ("Service", "EndpointSlice")]
    api.things += [
        service("sound", tier="front"),
        endpoints("sound", True, False),
        deployment("sound", 1),
        service("whole", "cellar"),
        endpoints("whole", True, namespace="cellar"),
        service("broken", tier="back"),
    ]
    return api


def names(result: Thing) -> list[str]:
    return [f"{service['namespace']}/{service['name']}" for service in result["services"]]


@pytest.mark.usefixtures("api")
def test_the_result_is_as_documented(run: Run, shape: t.Callable[[object], object]) -> None:
    result = run()
    assert RETURNED.keys() <= result.keys()
    assert result["changed"] is False
    documented = RETURNED["services"]
    assert result["services"][0].keys() == documented["contains"].keys() == documented["sample"][0].keys()
    assert "managedFields" not in result["services"][0]["service"]["metadata"]
    assert shape(result["services"][0]["endpoints"]) == shape(documented["sample"][0]["endpoints"])


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({}, ["rooms/sound", "cellar/whole", "rooms/broken"]),
        ({"name": []}, []),
        ({"name": "cellar/whole"}, ["cellar/whole"]),
        ({"name": ["whole"], "namespace": "cellar"}, ["cellar/whole"]),
        ({"name": ["sound", "cellar/whole"], "namespace": "rooms"}, ["rooms/sound", "cellar/whole"]),
        ({"namespace": "rooms"}, ["rooms/sound", "rooms/broken"]),
        ({"label_selectors": ["tier=front"]}, ["rooms/sound"]),
    ],
)
def test_services_are_chosen(run: Run, args: Thing, expected: list[str]) -> None:
    assert names(run(**args)) == expected


@pytest.mark.usefixtures("api")
def test_each_has_its_verdict(run: Run) -> None:
    result = run()
    assert {service["name"]: service["healthy"] for service in result["services"]} == {
        "sound": True,
        "whole": True,
        "broken": False,
    }
    assert not result["healthy"]
    assert result["diagnosis"] == result["services"][2]["diagnosis"] != []
    rows = {line.split()[0]: line for line in result["table"]}
    assert rows["rooms/sound"].split() == ["rooms/sound", "ClusterIP", "10.43.0.7", "80/TCP", "1/2", "yes"]
    assert rows["rooms/broken"].split()[-2:] == ["NO:", result["diagnosis"][0]["code"]]


@pytest.mark.usefixtures("api")
def test_what_does_not_serve_fails_only_a_wait(run: Run) -> None:
    assert not run(name="rooms/broken").get("failed")
    result = run(name="rooms/broken", wait=True, wait_timeout=0)
    assert result["failed"]
    assert result["msg"].startswith("Not all Services serve after 0 s.")
    assert result["diagnosis"][0]["message"] in result["msg"]
    assert run(name=["rooms/sound", "cellar/whole"], wait=True, wait_timeout=0)["healthy"]


@pytest.mark.usefixtures("api")
def test_a_service_that_is_not_there_is_missed(run: Run) -> None:
    result = run(name=["rooms/sound", "none"])
    assert names(result) == ["rooms/sound"]
    assert not result["healthy"]
    assert [fault["code"] for fault in result["diagnosis"]] == ["no_service"]
    assert "default/none" in result["diagnosis"][0]["message"]


@pytest.mark.usefixtures("api")
def test_a_rollout_is_waited_for_when_asked(run: Run) -> None:
    result = run(name="rooms/sound", wait=True, wait_timeout=0, rollouts=True)
    assert result["failed"]
    assert [fault["code"] for fault in result["diagnosis"]] == ["pods_not_ready"]
    assert "Deployment rooms/sound" in result["msg"]


def test_what_a_rollout_and_a_service_miss_is_said_once(run: Run, api: Api) -> None:
    waiting = {"name": "web", "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "none"}}}
    pod = {"name": "sound-1", "namespace": "rooms", "labels": {"app": "sound"}, "uid": "sound-1"}
    api.things = [endpoints("sound", False) if thing["kind"] == "EndpointSlice" else thing for thing in api.things]
    api.things.append(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": pod,
            "spec": {"containers": [{"name": "web"}]},
            "status": {"phase": "Pending", "containerStatuses": [waiting]},
        }
    )
    diagnosis = run(name="rooms/sound", rollouts=True)["diagnosis"]
    assert [fault["code"] for fault in diagnosis] == ["image_not_pulled"]


def test_who_sees_one_namespace_is_told_what_is_wrong_there(run: Run, api: Api) -> None:
    api.only_namespace = "rooms"
    result = run(namespace="rooms", label_selectors=["tier=back"])
    assert [fault["code"] for fault in result["diagnosis"]] == ["no_pod_selected", "forbidden"]
    assert "Node" in result["diagnosis"][1]["message"]
    assert "Pod" not in result["diagnosis"][1]["message"]


def test_what_is_hidden_is_said(run: Run, api: Api) -> None:
    api.forbidden = {"Pod"}
    result = run(name="rooms/broken")
    assert [(fault["code"], fault["severity"]) for fault in result["diagnosis"]][-1] == ("forbidden", "warning")
    assert "Pod" in result["diagnosis"][-1]["message"]
    assert run(name="rooms/sound")["diagnosis"] == []


def test_who_may_not_look_is_told(run: Run, api: Api) -> None:
    api.forbidden = {"Service"}
    result = run()
    assert [fault["code"] for fault in result["diagnosis"]] == ["forbidden"]
    assert '"bob" may not list services' in result["msg"]


def test_an_api_that_is_away_is_waited_for_only_when_asked(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    api.away = True
    assert run()["diagnosis"][0]["code"] == "no_api_access"
    assert naps == []
