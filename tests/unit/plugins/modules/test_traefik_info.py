# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import Cluster
from ansible_collections.homecloud.k3s.plugins.modules import traefik_info as MODULE

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Api, Run, Thing

DATA = Path(__file__).parents[1] / "data/traefik"
RETURNED = yaml.safe_load(MODULE.RETURN)
STORAGE = (
    '{"le": {"Account": {}, "Certificates": [{"domain": {"main": "a.home.example", "sans": ["b.home.example"]}}]}}'
)


@pytest.fixture(name="traefik")
def traefik_fixture(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A cluster with Traefik, as it was captured after the role had configured it."""
    api.things = yaml.safe_load((DATA / "cluster.yaml").read_text(encoding="utf-8"))["items"]
    monkeypatch.setattr(Cluster, "log", lambda _self, _pod, **_options: "")
    monkeypatch.setattr(Cluster, "run", lambda _self, _pod, _command: STORAGE)
    return api


def one(api: Api, kind: str, beginning: str = "traefik") -> Thing:
    return next(
        thing for thing in api.things if thing["kind"] == kind and thing["metadata"]["name"].startswith(beginning)
    )


def values(api: Api) -> Thing:
    config: Thing = yaml.safe_load(one(api, "HelmChartConfig")["spec"]["valuesContent"])
    return config


@pytest.mark.usefixtures("traefik")
def test_the_result_is_as_documented(run: Run, shape: t.Callable[[object], object]) -> None:
    result = run(storage="/data/acme.json")
    result.pop("invocation", None)  # what ansible-core adds, where it does
    result.pop("warnings", None)  # of tests that ran before: ansible-core keeps them for its process
    assert result.pop("changed") is False
    assert result.keys() == RETURNED.keys()
    for key, value in result.items():
        if key != "configuration":  # whose values are whatever they are
            assert shape(value) in (shape(RETURNED[key]["sample"]), shape([]), None), key


def test_values_that_are_in_force(run: Run, traefik: Api) -> None:
    result = run(values=values(traefik), wait=True, wait_timeout=0)
    assert result["in_force"]
    content = one(traefik, "HelmChartConfig")["spec"]["valuesContent"]
    assert result["configuration"] == {"ours": True, "settings": values(traefik), "values_content": content}
    assert result["chart"] == {"version": "39.0.701+up39.0.7", "major": 39}
    assert (result["deployment"]["version"], result["deployment"]["ready"]) == ("3.6.12", 1)
    assert result["addresses"] == ["192.168.100.200"]
    assert {"host": "mysite.home.example", "path": "/", "kind": "IngressRoute"}.items() <= next(
        claim for claim in result["claims"] if claim["name"] == "mysite"
    ).items()


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"deployment": {"annotations": {"homecloud.k3s/values": "other"}}}, "Helm has not applied the values yet"),
        ({"deployment": {}}, "Helm has not applied the values yet"),
        ({"additionalArguments": ["--accesslog=false"]}, "Traefik was not given --accesslog=false"),
    ],
)
def test_values_that_are_not_in_force(run: Run, traefik: Api, change: Thing, lacking: str) -> None:
    wanted = {**values(traefik), **change}
    assert not run(values=wanted)["in_force"]
    result = run(values=wanted, wait=True, wait_timeout=0)
    assert result["failed"]
    assert lacking in result["msg"]


@pytest.mark.parametrize(("status", "in_force"), [({}, False), ({"active": 1}, False), ({"succeeded": 1}, True)])
def test_values_are_in_force_only_when_helm_has_done_all_its_work(
    run: Run, traefik: Api, status: Thing, in_force: bool
) -> None:
    name = {"name": "helm-install-traefik", "namespace": "kube-system"}
    traefik.things.append({"apiVersion": "batch/v1", "kind": "Job", "metadata": name, "status": status})
    result = run(values=values(traefik), wait=True, wait_timeout=0)
    assert result.get("failed", False) is not in_force
    assert ("Helm has not finished" in result.get("msg", "")) is not in_force


def test_names_of_arguments_have_no_case(run: Run, traefik: Api) -> None:
    wanted = {**values(traefik), "additionalArguments": ["--AccessLog=true"]}
    assert run(values=wanted)["in_force"]


def test_a_traefik_that_is_being_replaced_is_waited_for(run: Run, traefik: Api) -> None:
    one(traefik, "Deployment")["status"]["updatedReplicas"] = 0
    result = run(values=values(traefik), wait=True, wait_timeout=0)
    assert "1 of 1 pods are ready" in result["msg"]
    assert result["diagnosis"][0]["code"] == "pods_not_ready"


def test_kinds_that_are_yet_to_come_are_waited_for(run: Run, traefik: Api) -> None:
    traefik.things.remove(one(traefik, "CustomResourceDefinition", "ingressroutes"))
    assert "does not know IngressRoutes" in run(values=values(traefik), wait=True, wait_timeout=0)["msg"]


def test_a_helm_that_fails_again_is_not_waited_for_to_the_end(
    run: Run, traefik: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = one(traefik, "Pod", "helm-install-traefik-r")
    failed = {"terminated": {"exitCode": 1}}
    status: Thing = {"restartCount": 2, "state": {"waiting": {}}, "lastState": failed}
    pod["status"]["containerStatuses"] = [status]

    def fail_again(_seconds: float) -> None:
        status["restartCount"] += 1

    monkeypatch.setattr("time.sleep", fail_again)
    said = "Upgrading\nError: UPGRADE FAILED: YAML parse error on traefik/templates/service.yaml\nexit 1\n"
    monkeypatch.setattr(Cluster, "log", lambda _self, _pod, previous=False: said if previous else "")
    wanted = {**values(traefik), "deployment": {"annotations": {"homecloud.k3s/values": "new"}}}
    result = run(values=wanted, wait=True, wait_timeout=3600)
    (fault,) = result["diagnosis"]
    assert fault["code"] == "helm_failed"
    assert "UPGRADE FAILED: YAML parse error" in fault["evidence"]
    assert fault["message"] in result["msg"]
    assert status["restartCount"] == 3


def test_a_helm_that_has_failed_before_may_succeed(run: Run, traefik: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = one(traefik, "Pod", "helm-install-traefik-r")
    pod["status"]["containerStatuses"] = [{"restartCount": 5, "state": {"running": {}}}]
    deployment = one(traefik, "Deployment")
    mark = deployment["metadata"]["annotations"].pop("homecloud.k3s/values")

    def succeed(_seconds: float) -> None:
        deployment["metadata"]["annotations"]["homecloud.k3s/values"] = mark

    monkeypatch.setattr("time.sleep", succeed)
    assert run(values=values(traefik), wait=True, wait_timeout=3600)["in_force"]


def test_a_volume_that_does_not_come_is_explained(run: Run, traefik: Api) -> None:
    claim = one(traefik, "PersistentVolumeClaim")
    claim["status"] = {"phase": "Pending"}
    one(traefik, "Deployment")["status"]["availableReplicas"] = 0
    traefik.things.append(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "kube-system"},
            "involvedObject": {"uid": claim["metadata"]["uid"]},
            "reason": "FailedBinding",
            "message": "no persistent volumes available for this claim and no storage class is set",
        }
    )
    result = run(values=values(traefik), wait=True, wait_timeout=0)
    assert [fault["code"] for fault in result["diagnosis"]] == ["no_volume"]


def test_a_cluster_without_traefik(run: Run, traefik: Api) -> None:
    traefik.things = []
    result = run(storage="/data/acme.json")
    assert (result["chart"], result["in_force"], result["storage"], result["surplus"]) == (None, False, None, [])
    assert "does not package Traefik" in run(wait=True, wait_timeout=0)["msg"]


def test_a_traefik_that_is_yet_to_come(run: Run, traefik: Api) -> None:
    """k3s has its chart, and Helm has not begun."""
    traefik.things = [one(traefik, "HelmChart")]
    result = run(storage="/data/acme.json")
    there = ("configuration", "deployment", "in_force", "addresses", "storage")
    assert [result[key] for key in there] == [None, None, False, [], None]
    assert "there is no Deployment of Traefik" in run(wait=True, wait_timeout=0)["msg"]


def test_a_chart_that_is_not_of_k3s(run: Run, traefik: Api) -> None:
    one(traefik, "HelmChart")["spec"]["chart"] = "https://charts.example/mine.tgz"
    assert run()["chart"] == {"version": "", "major": 0}


def test_pods_that_are_not_ready_are_not_counted(run: Run, traefik: Api) -> None:
    status = one(traefik, "Deployment")["status"]
    status["observedGeneration"] = 0
    assert run()["deployment"]["ready"] == 0


def test_addresses_without_a_number_are_none(run: Run, traefik: Api) -> None:
    status = one(traefik, "Service")["status"]
    status["loadBalancer"]["ingress"].append({"hostname": "home.example"})
    assert run()["addresses"] == ["192.168.100.200"]


@pytest.mark.parametrize(
    ("log", "evidence"),
    [
        ("error 1\nfine\n\nError  2\nerror 3\nan errorless end\n", "0 restarts: Error 2; error 3"),
        ("error 1\nerror 1\n", "0 restarts: error 1"),
        ("pulled\nstarted\nstopped\n\n", "0 restarts: started; stopped"),
        ("", "0 restarts: it has left no words"),
    ],
)
def test_what_helm_said_last_is_told(
    run: Run, traefik: Api, monkeypatch: pytest.MonkeyPatch, log: str, evidence: str
) -> None:
    pod = one(traefik, "Pod", "helm-install-traefik-r")
    pod["status"]["containerStatuses"] = [{"state": {"terminated": {"exitCode": 1}}}]
    monkeypatch.setattr(Cluster, "log", lambda _self, _pod, previous=False: "" if previous else log)
    wanted = {**values(traefik), "deployment": {}}
    (fault,) = run(values=wanted, wait=True, wait_timeout=0)["diagnosis"]
    assert fault["evidence"].endswith(evidence)


def test_what_is_read_at_the_start_makes_a_traefik_outdated(run: Run, traefik: Api) -> None:
    config = one(traefik, "ConfigMap")
    inputs = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {k: config["metadata"][k] for k in PLACE}}]
    assert not run(inputs=inputs)["outdated"]
    config["metadata"]["managedFields"].append(
        {"manager": "kubectl", "operation": "Apply", "time": "2099-01-01T00:00:00Z"}
    )
    assert run(inputs=inputs)["outdated"]
    one(traefik, "Pod")["metadata"]["creationTimestamp"] = "2099-01-01T00:00:00Z"  # in the same second
    assert not run(inputs=inputs)["outdated"]
    one(traefik, "Pod")["metadata"]["creationTimestamp"] = "2098-01-01T00:00:00Z"
    assert not run()["outdated"]
    one(traefik, "Pod")["metadata"]["deletionTimestamp"] = "2099-01-01T00:00:01Z"
    assert not run(inputs=inputs)["outdated"]


PLACE = ("name", "namespace")


def test_objects_are_compared(run: Run, traefik: Api) -> None:
    config = one(traefik, "HelmChartConfig")
    there = {key: config[key] for key in ("apiVersion", "kind", "spec")}
    there["metadata"] = {key: config["metadata"][key] for key in PLACE}
    other = {**there, "spec": {"valuesContent": "a: 1"}}
    missing = {**there, "metadata": {**there["metadata"], "name": "none"}}
    result = run(present=[there, other, missing])
    assert result["differences"] == ["HelmChartConfig kube-system/traefik", "HelmChartConfig kube-system/none"]
    reference = {key: there[key] for key in ("apiVersion", "kind", "metadata")}
    assert run(absent=[there, missing])["surplus"] == [reference]
    assert run(absent=[there], field_manager="somebody")["surplus"] == []


def test_a_configuration_of_others(run: Run, traefik: Api) -> None:
    for entry in one(traefik, "HelmChartConfig")["metadata"]["managedFields"]:
        entry["manager"] = "deploy@server1"
    assert run()["configuration"]["ours"] is False


def test_keys_are_never_told(run: Run, traefik: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = STORAGE.replace('"domain"', '"key": "cHJpdmF0ZQ==", "domain"')
    monkeypatch.setattr(Cluster, "run", lambda _self, _pod, _command: secret)
    result = run(storage="/data/acme.json")
    assert result["storage"]["certificates"] == [["a.home.example", "b.home.example"]]
    assert "cHJpdmF0ZQ" not in str(result)
    assert traefik.things


@pytest.mark.usefixtures("traefik")
@pytest.mark.parametrize("text", ["", "{", "null", '{"le": null}', '{"le": {"Certificates": null}}'])
def test_a_storage_without_certificates(run: Run, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(Cluster, "run", lambda _self, _pod, _command: text)
    assert run(storage="/data/acme.json")["storage"]["certificates"] == []


@pytest.mark.usefixtures("traefik")
def test_reasons_are_looked_for_in_the_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    log = (DATA / "nxdomain.log").read_text(encoding="utf-8")
    said = {None: log, 10: log, 5: ""}
    monkeypatch.setattr(Cluster, "log", lambda _self, _pod, lines, seconds: said[seconds] if lines else "")
    assert run()["diagnosis"] == []
    names = [name for name in log.replace("[", " ").replace("]", " ").split() if name.endswith(".home.example")]
    assert run(certificates=names)["diagnosis"]
    assert run(certificates=names, certificates_since=10)["diagnosis"]
    assert run(certificates=names, certificates_since=5)["diagnosis"] == []
    assert run(certificates=["elsewhere.home.example"])["diagnosis"] == []


def test_objects_of_the_old_group_are_named(run: Run, traefik: Api) -> None:
    old = "ingressroutes.traefik.containo.us"
    api_version = "apiextensions.k8s.io/v1"
    traefik.things += [
        {"apiVersion": api_version, "kind": "CustomResourceDefinition", "metadata": {"name": old}},
        {
            "apiVersion": "traefik.containo.us/v1alpha1",
            "kind": "IngressRouteTCP",
            "metadata": {"name": "ssh", "namespace": "default"},
            "spec": {},
        },
    ]
    assert run()["old_objects"] == ["IngressRouteTCP default/ssh"]


def route(match: str) -> Thing:
    return {"kind": "IngressRoute", "metadata": {"name": "a", "namespace": "b"}, "spec": {"routes": [{"match": match}]}}


@pytest.mark.parametrize(
    ("match", "hosts"),
    [
        ("Host(`a.example`)", [("a.example", "/")]),
        ("Host(`A.example`, `b.example`)", [("a.example", "/"), ("b.example", "/")]),
        ('(Host("a.example") || Host(`b.example`)) && PathPrefix(`/x`)', [("a.example", "/x"), ("b.example", "/x")]),
        ("Host(`a.example`) && (PathPrefix(`/x`) || Path(`/y`))", [("a.example", "/x"), ("a.example", "/y")]),
        ("HostRegexp(`.*`)", []),
        ("HostSNI(`a.example`)", []),
        ("PathPrefix(`/x`)", []),
        ("", []),
    ],
)
def test_hosts_in_rules(match: str, hosts: list[tuple[str, str]]) -> None:
    from ansible_collections.homecloud.k3s.plugins.module_utils._traefik import claims

    assert [(claim.host, claim.path) for claim in claims([route(match)])] == hosts


def test_hosts_of_ingresses(run: Run, traefik: Api) -> None:
    rules = [{"host": "c.example", "http": {"paths": [{"path": "/z"}, {}]}}, {"http": {}}, {"host": "d.example"}]
    traefik.things.append(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "i", "namespace": "default"},
            "spec": {"rules": rules},
        }
    )
    found = [(c["host"], c["path"]) for c in run()["claims"] if c["kind"] == "Ingress"]
    assert found == [("c.example", "/z"), ("c.example", "/"), ("d.example", "/")]
