# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils import _service_wait
from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import Probe
from ansible_collections.homecloud.k3s.plugins.modules import kube_service as MODULE

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Api, Run

Thing = dict[str, t.Any]

RETURNED = yaml.safe_load(MODULE.RETURN)
IMMUTABLE = 'Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'
TAKEN = 'Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated'
WEB: t.Final = {"name": "web", "selector": {"app": "web"}, "ports": [{"port": 80}]}


def slice_of(name: str, *, ready: bool = True) -> Thing:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": f"{name}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": ["10.42.1.7"],
                "conditions": {"ready": ready},
                "nodeName": "node2",
                "targetRef": {"kind": "Pod", "name": "web-1"},
            }
        ],
    }


def web(**spec: object) -> Thing:
    ports = [{"port": 80, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "old"},
        "spec": {"type": "ClusterIP", "clusterIPs": ["10.43.0.7"], "selector": {"app": "web"}, "ports": ports, **spec},
        "status": {"loadBalancer": {}},
    }


@pytest.fixture(name="api")
def with_endpoints(api: Api) -> Api:
    api.things.append(slice_of("web"))
    return api


def there(api: Api, name: str = "web") -> list[Thing]:
    return [thing for thing in api.things if thing["kind"] == "Service" and thing["metadata"]["name"] == name]


def codes(result: Thing) -> list[str]:
    return [fault["code"] for fault in result["diagnosis"]]


@pytest.mark.usefixtures("api")
def test_the_result_is_as_documented(run: Run, shape: t.Callable[[object], object]) -> None:
    for task, keys in ((WEB, RETURNED.keys()), ({"name": "web", "state": "absent"}, {"diagnosis"})):
        result = run(**task)
        assert result["changed"] is True
        assert keys <= result.keys()
        assert result.keys() - keys <= {"changed", "diff", "invocation", "warnings"}
        for key in keys - {"service"}:
            assert shape(result[key]) in (shape(RETURNED[key]["sample"]), []), key


def test_a_service_is_made_once(run: Run, api: Api) -> None:
    made = run(**WEB)
    assert made["changed"]
    assert made["diff"]["before"] == {}
    assert made["endpoints"] == [{"address": "10.42.1.7", "port": 80, "node": "node2", "pod": "web-1", "ready": True}]
    again = run(**WEB)
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert len(there(api)) == 1


def test_a_check_only_tries(run: Run, api: Api) -> None:
    result = run(**WEB, _ansible_check_mode=True)
    assert result["changed"]
    assert api.applied[0]["dry_run"] == "All"
    assert there(api) == []


def test_what_does_not_serve_is_explained(run: Run, api: Api) -> None:
    api.things[-1] = slice_of("web", ready=False)
    result = run(**WEB, wait_timeout=0)
    assert result["failed"]
    assert result["changed"]
    assert result["msg"].startswith("Service default/web is as asked, but does not serve after 0 s.\nERROR ")
    assert codes(result) != []
    assert not run(**WEB, wait=False).get("failed")
    assert not run(**WEB, wait_endpoints=0).get("failed")


@pytest.mark.parametrize(
    ("old", "new"),
    [({"selector": {"app": "old"}}, {}), ({}, {"ports": [{"port": 80, "target_port": "8080"}]})],
)
def test_endpoints_that_are_left_of_what_it_was_do_not_count(run: Run, api: Api, old: Thing, new: Thing) -> None:
    pod = {"name": "web-1", "namespace": "default", "labels": old.get("selector", {"app": "web"})}
    api.things += [web(**old), {"kind": "Pod", "apiVersion": "v1", "metadata": pod, "spec": {"containers": []}}]
    result = run(**{**WEB, **new}, wait_timeout=0)
    assert result["failed"]
    assert result["endpoints"] == []


def test_a_service_is_probed_once_it_lacks_nothing(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def silence(target: str, probe: Probe) -> str:
        asked.append((target, probe))
        return f"{target}: Connection refused" if len(asked) == 1 else ""

    monkeypatch.setattr(_service_wait, "silence", silence)
    api.things += [web()]
    result = run(**WEB, probe={"protocol": "http", "path": "/health", "status": [204]}, wait_timeout=0)
    assert codes(result) == ["no_answer"]
    assert "10.43.0.7:80: Connection refused" in result["msg"]
    assert asked == [("10.43.0.7:80", Probe("http", None, "/health", [204]))]
    assert not run(**WEB, probe={}, wait_timeout=0).get("failed")
    api.things = [slice_of("web", ready=False) if thing["kind"] == "EndpointSlice" else thing for thing in api.things]
    assert codes(run(**WEB, probe={}, wait_timeout=0)) == ["no_pod_selected"]
    assert len(asked) == 2


def test_others_may_be_overruled_when_asked(run: Run, api: Api) -> None:
    api.refusals = ['Apply failed with 1 conflict: conflict with "alice" using v1: .spec.selector']
    result = run(**WEB)
    assert codes(result) == ["field_conflict"]
    assert "alice" in result["msg"]
    assert not run(**WEB, force_conflicts=True).get("failed")
    assert [applied["force"] for applied in api.applied] == [False, True]


def test_what_cannot_be_changed_is_refused(run: Run, api: Api) -> None:
    api.things.append(web())
    api.refusals = [IMMUTABLE]
    result = run(**WEB, cluster_ip="None")
    assert codes(result) == ["immutable_field"]
    assert "recreate: true" in result["msg"]
    assert there(api) == [web()]


def test_a_recreation_is_tried_before_anything_is_deleted(run: Run, api: Api) -> None:
    api.things.append(web(ports=[{"port": 80, "protocol": "TCP", "nodePort": 30080}], type="NodePort"))
    ports = [{"port": 80, "node_port": 30080}, {"name": "new", "port": 81, "node_port": 30081}]
    api.refusals = [IMMUTABLE]
    result = run(**{**WEB, "ports": ports}, type="NodePort", recreate=True, load_balancer_class="a/b", wait=False)
    assert result["changed"]
    _refused, trial, _applied = api.applied
    assert trial["dry_run"] == "All"
    assert trial["metadata"]["name"] != "web"
    # The port that the old one holds could not be had by another one.
    assert [port.get("nodePort") for port in trial["spec"]["ports"]] == [None, 30081]
    (new,) = there(api)
    assert new["metadata"]["uid"] != "old"
    assert new["spec"]["ports"][0]["nodePort"] == 30080


def test_a_recreation_that_would_be_refused_leaves_the_old_one(run: Run, api: Api) -> None:
    api.things.append(web())
    api.refusals = [IMMUTABLE, 'Service "new-old" is invalid: spec.selector: Invalid value: "b b"']
    result = run(**WEB, cluster_ip="None", recreate=True)
    assert codes(result) == ["object_refused"]
    assert "default/web" in result["msg"]
    assert there(api) == [web()]


def test_a_check_of_a_recreation_deletes_nothing(run: Run, api: Api) -> None:
    api.things.append(web())
    api.refusals = [IMMUTABLE]
    result = run(**WEB, cluster_ip="None", recreate=True, _ansible_check_mode=True)
    assert result["changed"]
    assert result["diff"]["after"]["spec"]["clusterIP"] == "None"
    assert result["service"]["metadata"]["name"] == "web"
    assert there(api) == [web()]


def test_what_another_one_has_is_seen_before_the_old_one_is_deleted(run: Run, api: Api) -> None:
    other = {**web(), "metadata": {"name": "other", "namespace": "rooms"}}
    api.things += [web(clusterIPs=["None"]), other]
    for check_mode in (True, False):
        api.refusals = [] if check_mode else [IMMUTABLE]
        result = run(**WEB, cluster_ip="10.43.0.7", recreate=True, _ansible_check_mode=check_mode)
        assert codes(result) == ["cluster_ip_taken"]
        assert result["diagnosis"][0]["evidence"] == "Service rooms/other has it"
        assert there(api) == [web(clusterIPs=["None"])]


def test_a_service_whose_successor_is_refused_comes_back(run: Run, api: Api) -> None:
    api.things.append(web())
    # A dry run does not find that a node port is out of range.
    out_of_range = "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range"
    api.refusals = [IMMUTABLE, "", out_of_range, None]
    result = run(**WEB, cluster_ip="None", recreate=True)
    assert codes(result) == ["node_port_out_of_range"]
    (back,) = there(api)
    assert back["spec"] == web()["spec"]


def test_who_has_a_node_port_is_named(run: Run, api: Api) -> None:
    other = web(ports=[{"port": 80, "nodePort": 30080}])
    api.things.append({**other, "metadata": {"name": "other", "namespace": "rooms"}})
    api.refusals = [TAKEN]
    result = run(**{**WEB, "ports": [{"port": 80, "node_port": 30080}]}, type="NodePort")
    assert codes(result) == ["node_port_taken"]
    assert result["diagnosis"][0]["evidence"] == "Service rooms/other has it"


def test_who_may_not_is_told(run: Run, api: Api) -> None:
    api.forbidden = {"EndpointSlice"}
    result = run(**WEB)
    assert codes(result) == ["forbidden"]
    assert '"bob" may not list endpointslices' in result["msg"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"probe": {"port": "ftp"}}, "no_port_to_probe"),
        ({"annotations": {"metallb.io/address-pool": "a"}, "address_pool": "b"}, "said_twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_changed(
    run: Run, api: Api, options: Thing, code: str
) -> None:
    assert codes(run(**WEB, **options)) == [code]
    assert api.applied == []


def test_a_service_is_removed_once(run: Run, api: Api) -> None:
    api.things.append(web())
    checked = run(name="web", state="absent", _ansible_check_mode=True)
    assert there(api) == [web()]
    removed = run(name="web", state="absent")
    assert there(api) == []
    assert (checked["changed"], checked["diff"]) == (True, removed["diff"])
    assert removed["diff"]["after"] == {}
    assert not run(name="web", state="absent")["changed"]


def test_one_that_somebody_else_deletes_is_removed(run: Run, api: Api) -> None:
    api.things.append(web())
    api.deleted_by_others = True
    assert not run(name="web", state="absent").get("failed")
    assert there(api) == []


def test_one_that_somebody_makes_at_once_is_another(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.things.append(web())
    successor = {**web(), "metadata": {**web()["metadata"], "uid": "new"}}
    monkeypatch.setattr(api, "after_deletion", [successor])
    assert not run(name="web", state="absent", wait_timeout=0).get("failed")
    assert there(api) == [successor]


def test_one_that_is_not_gone_is_told(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    held = web()
    held["metadata"]["finalizers"] = ["example.org/keep"]
    api.things.append(held)
    monkeypatch.setattr(api, "after_deletion", [held])
    result = run(name="web", state="absent", wait_timeout=0)
    assert codes(result) == ["not_deleted"]
    assert "example.org/keep" in result["msg"]


def test_an_address_that_is_still_announced_is_not_free(run: Run, api: Api) -> None:
    announced = web(type="LoadBalancer")
    announced["metadata"]["annotations"] = {"metallb.io/ip-allocated-from-pool": "home"}
    api.things.append(announced)
    status = {"node": "node2", "serviceName": "web", "serviceNamespace": "default"}
    metadata = {"name": "l2-x", "namespace": "metallb-system"}
    api.things.append(
        {"kind": "ServiceL2Status", "apiVersion": "metallb.io/v1beta1", "metadata": metadata, "status": status}
    )
    result = run(name="web", state="absent", wait_timeout=0)
    assert codes(result) == ["address_not_free"]
    assert "node2" in result["msg"]
    api.things.append(announced)
    assert not run(name="web", state="absent", wait=False, wait_timeout=0).get("failed")


def test_a_cluster_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run(**WEB, kubeconfig=str(tmp_path / "none"), context="none")
    assert result["failed"]
    assert result["diagnosis"][0]["code"] == "no_api_access"
    assert "kube-config" in result["msg"]


def test_an_api_that_is_away_is_waited_for_only_when_asked(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    api.away = True
    assert run(**WEB)["diagnosis"][0]["code"] == "no_api_access"
    assert naps == []
