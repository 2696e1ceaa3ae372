# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services made by kube_service, and why they do not serve, as a client sees them that is not Ansible."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from scenario import COLLECTION, METALLB, PAGE, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Answer, Controller, Kubectl, Lab, Task

NGINX = "docker.io/library/nginx:1.22"
MODULES = ["homecloud.k3s.kube_service", "homecloud.k3s.kube_service_info"]
MYSITE = {"app.kubernetes.io/name": "mysite"}
TROUBLES = "troubles"  # the namespace of what does not serve


def service(name: str, **options: object) -> Task:
    """A task for a Service; pods of mysite serve unless it says otherwise."""
    return {"homecloud.k3s.kube_service": {"name": name, "selector": MYSITE, "ports": [{"port": 80}], **options}}


def absent(name: str) -> Task:
    return {"homecloud.k3s.kube_service": {"name": name, "state": "absent"}}


def info(**options: object) -> Task:
    return {"homecloud.k3s.kube_service_info": options}


def checked(task: Task) -> Task:
    return {**task, "check_mode": True}


def deployment(name: str, namespace: str = "default", replicas: int = 1, **container: object) -> dict[str, t.Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    containers = [{"name": "web", "image": NGINX, **container}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": containers, "terminationGracePeriodSeconds": 0},
            },
        },
    }


def good(answer: Answer) -> Answer:
    """Make sure that a task has not failed."""
    assert not answer["failed"], answer["msg"]
    return answer


def refused(answer: Answer, code: str, *words: str) -> None:
    """Make sure that a task has failed for this reason alone, and has named these things."""
    assert answer["failed"]
    assert [fault["code"] for fault in answer["diagnosis"] if fault["severity"] == "error"] == [code], answer["msg"]
    missing = [word for word in words if word not in answer["msg"]]
    assert not missing, f"{missing}\n{answer['msg']}"


@pytest.fixture(autouse=True)
def left_as_found(kubectl: Kubectl) -> Iterator[None]:
    """Remove the Services of a test from the namespace where nothing else has any."""
    before = set(names(kubectl))
    yield
    if added := set(names(kubectl)) - before:
        kubectl("delete", "service", *added)


def names(kubectl: Kubectl) -> list[str]:
    return kubectl("get", "services", "--output=jsonpath={.items[*].metadata.name}").split()


# What becomes of a Service

LIFE: dict[str, Task] = {
    "created": service("life", type="LoadBalancer", labels={"tier": "front", "colour": "red"}),
    "changed": service(
        "life",
        type="LoadBalancer",
        labels={"tier": "back"},
        selector={**MYSITE, "pod-template-hash": "none"},
        ports=[{"name": "web", "port": 8080, "target_port": "web"}, {"name": "more", "port": 8081}],
        load_balancer_source_ranges=["0.0.0.0/0"],
        wait=False,
    ),
    "made a ClusterIP": service("life"),
    "made a NodePort": service("life", type="NodePort", ports=[{"port": 80, "node_port": 30091}]),
    "removed": absent("life"),
}


@pytest.fixture(scope="module")
def life(controller: Controller, kubectl: Kubectl) -> Iterator[dict[str, list[Answer]]]:
    """For each change: a look at the Service, a check, a look, a run, a look, a check, a run, a look."""
    look = {"ansible.builtin.command": {"argv": kubectl.line("get", "services", "--output=json")}}
    steps = {name: [look, checked(task), look, task, look, checked(task), task, look] for name, task in LIFE.items()}
    answers = controller.tasks(*(task for tasks in steps.values() for task in tasks))
    size = len(answers) // len(steps)
    yield {name: answers[number * size :][:size] for number, name in enumerate(steps)}
    kubectl("delete", "service", "life", "--ignore-not-found")


def seen(look: Answer) -> dict[str, t.Any]:
    """The Service in what kubectl has shown; empty if there was none."""
    services = {thing["metadata"]["name"]: thing for thing in json.loads(look["stdout"])["items"]}
    return dict(services.get("life", {}))


@pytest.mark.parametrize("change", LIFE)
def test_a_change(life: dict[str, list[Answer]], change: str) -> None:
    before, check, still, run, after, check_again, run_again, at_last = life[change]
    for answer in (check, run, check_again, run_again):
        good(answer)
    assert (check["changed"], run["changed"]) == (True, True)
    assert check["diff"] == run["diff"]
    assert run["diff"]["before"] != run["diff"]["after"]
    assert seen(before) == seen(still) != seen(after) == seen(at_last)
    for answer in (check_again, run_again):
        assert not answer["changed"]
        assert answer["diff"]["before"] == answer["diff"]["after"]


def test_what_is_named_no_more_is_gone(life: dict[str, list[Answer]]) -> None:
    at_first, changed, inside, everywhere, removed = (seen(answers[-1]) for answers in life.values())
    assert at_first["status"]["loadBalancer"]
    assert changed["metadata"]["labels"] == {"tier": "back"}
    assert [port["port"] for port in changed["spec"]["ports"]] == [8080, 8081]
    assert inside["spec"]["clusterIP"] == at_first["spec"]["clusterIP"]
    assert "labels" not in inside["metadata"]
    assert inside["spec"]["selector"] == MYSITE
    assert "loadBalancerSourceRanges" not in inside["spec"]
    assert inside["status"]["loadBalancer"] == {}
    (port,) = inside["spec"]["ports"]
    assert "nodePort" not in port
    assert [port["nodePort"] for port in everywhere["spec"]["ports"]] == [30091]
    assert removed == {}


def test_what_others_have_set_stays(controller: Controller, kubectl: Kubectl) -> None:
    (made,) = controller.tasks(service("shared", labels={"tier": "front", "colour": "red"}))
    good(made)
    kubectl("label", "service", "shared", "owner=alice")
    kubectl("annotate", "service", "shared", "note=by alice")
    fewer = service("shared", labels={"tier": "front"})
    check, run, again = controller.tasks(checked(fewer), fewer, fewer)
    assert [good(answer)["changed"] for answer in (check, run, again)] == [True, True, False]
    metadata = kubectl.get("service", "shared")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"tier": "front", "owner": "alice"}, {"note": "by alice"})


def test_a_conflict_names_who_has_set_the_field(controller: Controller, kubectl: Kubectl) -> None:
    named = {"session_affinity": "None", "ports": [{"port": 80, "name": "web"}]}
    wanted, forced = service("shared", **named), service("shared", **named, force_conflicts=True)
    (made,) = controller.tasks(wanted)
    good(made)
    by_alice = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shared", "namespace": "default"},
        "spec": {"sessionAffinity": "ClientIP", "ports": [{"port": 443, "name": "tls", "targetPort": "web"}]},
    }
    options = ("--server-side", "--field-manager=alice", "--force-conflicts")
    kubectl.apply(by_alice, options=options)
    before = kubectl.get("service", "shared")
    check, run = controller.tasks(checked(wanted), wanted)
    for answer in (check, run):
        refused(answer, "field_conflict", "alice", "Service default/shared")
    assert kubectl.get("service", "shared") == before
    taken, again = controller.tasks(forced, wanted)
    assert (good(taken)["changed"], good(again)["changed"]) == (True, False)
    spec = kubectl.get("service", "shared")["spec"]
    assert spec["sessionAffinity"] == "None"
    assert {port["port"] for port in spec["ports"]} == {80, 443}  # alice's port is nobody else's affair


def test_what_cannot_be_changed_is_made_anew_only_if_told_to(controller: Controller, kubectl: Kubectl) -> None:
    (made,) = controller.tasks(service("firm"))
    good(made)
    before = kubectl.get("service", "firm")
    headless = service("firm", cluster_ip="None")
    anew = service("firm", cluster_ip="None", recreate=True)
    # Another Service has this one.
    taken = service("firm", cluster_ip=kubectl.get("service", "mysite")["spec"]["clusterIP"], recreate=True)
    wrong = service("firm", cluster_ip="10.11.12.13", recreate=True)
    check, run, check_anew, no_range, no_free = controller.tasks(
        checked(headless), headless, checked(anew), wrong, taken
    )
    for answer in (check, run):
        refused(answer, "immutable_field", "clusterIP", "Service default/firm", "recreate: true")
    assert good(check_anew)["changed"]
    refused(no_range, "cluster_ip_out_of_range", "10.11.12.13")
    refused(no_free, "cluster_ip_taken", "Service default/mysite has it")
    assert kubectl.get("service", "firm") == before
    run_anew, check_again, again = controller.tasks(anew, checked(anew), anew)
    assert good(run_anew)["diff"] == check_anew["diff"]
    assert [good(answer)["changed"] for answer in (run_anew, check_again, again)] == [True, False, False]
    after = kubectl.get("service", "firm")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["clusterIP"] == "None"


def test_the_old_service_is_back_if_its_successor_is_refused(controller: Controller, kubectl: Kubectl) -> None:
    options = {"type": "LoadBalancer", "load_balancer_class": "example.org/none", "wait": False}
    local = {**options, "external_traffic_policy": "Local", "recreate": True}
    firm = service("firm", **local, health_check_node_port=30092)
    (made,) = controller.tasks(firm)
    good(made)
    before = kubectl.get("service", "firm")
    # Of a port out of range a dry run knows nothing, so the old one is deleted.
    (answer,) = controller.tasks(service("firm", **local, health_check_node_port=99))
    refused(answer, "node_port_out_of_range", "99", "Service default/firm")
    back = kubectl.get("service", "firm")
    assert back["metadata"]["uid"] != before["metadata"]["uid"]
    assert back["spec"] == before["spec"]
    (again,) = controller.tasks(firm)
    assert not good(again)["changed"]


def test_an_address_that_is_given_up_is_free_at_once(controller: Controller, kubectl: Kubectl, lab: Lab) -> None:
    asking = {"type": "LoadBalancer", "load_balancer_ips": [lab.at(222)], "wait_timeout": 15}
    first, inside, second, removed, third = controller.tasks(
        service("first", **asking),
        service("first"),
        service("second", **asking),
        absent("second"),
        service("third", **asking),
    )
    for answer in (first, second, third):
        assert good(answer)["addresses"] == [lab.at(222)]
        assert answer["announced_by"]
    for answer in (inside, removed):
        assert good(answer)["changed"]
    assert good(inside)["addresses"] == []
    assert (kubectl.address("first"), kubectl.address("third")) == ("", lab.at(222))
    assert kubectl.announcing("third") == third["announced_by"]
    assert PAGE in lab.page(f"http://{lab.at(222)}/")


def test_two_tasks_at_once(controller: Controller, kubectl: Kubectl) -> None:
    says = {
        who: service("both", labels={"by": who, who: "here"}, ports=[{"port": port}])
        for who, port in (("alice", 8001), ("bob", 8002))
    }
    together = [sys.executable, "-c", "import time; time.sleep(3 - time.time() % 3)"]
    start = {"ansible.builtin.command": {"argv": together}}
    look = {"ansible.builtin.command": {"argv": kubectl.line("get", "service", "both", "--output=json")}}
    # The first round makes the Service, the others change it. Nobody removes it before both have come to their end.
    rounds = [[start, task, look] * 3 for task in says.values()]
    with ThreadPoolExecutor() as beside:
        runs = list(beside.map(lambda tasks: controller.tasks(*tasks), rounds))
        removals = list(beside.map(lambda tasks: controller.tasks(*tasks), [[start, absent("both")]] * 2))
    for answer in (answer for run in (*runs, *removals) for answer in run):
        good(answer)
    for answer in (run[number] for run in runs for number in (2, 5, 8)):
        there = json.loads(answer["stdout"])
        who = there["metadata"]["labels"]["by"]
        assert there["metadata"]["labels"] == {"by": who, who: "here"}
        assert [port["port"] for port in there["spec"]["ports"]] == [{"alice": 8001, "bob": 8002}[who]]
    assert kubectl.get("service", "both") == {}


def test_the_api_restarts_during_a_wait(controller: Controller, kubectl: Kubectl, lab: Lab) -> None:
    late = deployment("late", replicas=0)
    kubectl.apply(late)
    try:
        with ThreadPoolExecutor() as beside:
            waiting = beside.submit(controller.tasks, service("late", selector={"app": "late"}))
            wait_until(lambda: kubectl.get("service", "late"))
            lab.on("server1", "systemctl", "restart", "k3s")
            wait_until(lambda: kubectl.status("deployment", "late"))
            kubectl("scale", "deployment", "late", "--replicas=1")
            (answer,) = waiting.result()
        assert good(answer)["changed"]
        (endpoint,) = answer["endpoints"]
        (pod,) = kubectl.objects("pods", "--selector=app=late")
        assert (endpoint["pod"], endpoint["address"]) == (pod["metadata"]["name"], pod["status"]["podIP"])
    finally:
        kubectl("delete", "deployment", "late")


def test_info_says_how_services_are(controller: Controller, kubectl: Kubectl) -> None:
    everything, mysite, labelled, missing = controller.tasks(
        info(),
        info(name=["mysite"]),
        info(label_selectors=["app.kubernetes.io/name=mysite"], namespace="default"),
        info(name=["mysite", "kube-system/nowhere"], wait=True, wait_timeout=1),
    )
    assert good(everything)["healthy"], everything["table"]
    there = {(thing["metadata"]["namespace"], thing["metadata"]["name"]) for thing in kubectl.objects("services")}
    assert {(thing["namespace"], thing["name"]) for thing in everything["services"]} == there
    assert good(mysite)["services"] == good(labelled)["services"]
    (of_mysite,) = mysite["services"]
    address, (node,) = kubectl.address("mysite"), kubectl.announcing("mysite")
    pods = {pod["metadata"]["name"] for pod in kubectl.objects("pods", "--selector=app.kubernetes.io/name=mysite")}
    assert (of_mysite["addresses"], of_mysite["announced_by"]) == ([address], [node])
    assert {endpoint["pod"] for endpoint in of_mysite["endpoints"]} == pods
    (port,) = kubectl.get("service", "mysite")["spec"]["ports"]
    count = f"{len(pods)}/{len(pods)}"
    row = ["default/mysite", "LoadBalancer", address, f"80:{port['nodePort']}/TCP", count, node, "yes"]
    assert mysite["table"][1].split() == row
    refused(missing, "no_service", "kube-system/nowhere")


def test_info_waits_for_a_rollout(controller: Controller, kubectl: Kubectl) -> None:
    rolling = deployment("rolling", replicas=2)
    rolling["spec"]["minReadySeconds"] = 5  # long enough for the first look
    kubectl.apply(rolling)
    look = {"ansible.builtin.command": {"argv": kubectl.line("get", "deployment", "rolling", "--output=json")}}
    change = {"ansible.builtin.command": {"argv": kubectl.line("set", "env", "deployment", "rolling", "ROLLED=yes")}}
    try:
        wait_until(lambda: kubectl.is_complete("deployment", "rolling", "default"))
        *_others, served, before, rolled, after = controller.tasks(
            service("rolling", selector={"app": "rolling"}),
            change,
            info(name=["rolling"], wait=True),
            look,
            info(name=["rolling"], wait=True, rollouts=True),
            look,
        )
    finally:
        kubectl("delete", "deployment", "rolling")
    assert good(served)["healthy"]
    assert good(rolled)["healthy"]
    counts = [json.loads(answer["stdout"])["status"] for answer in (before, after)]
    assert counts[0].get("updatedReplicas") != 2 or counts[0]["replicas"] != 2  # others than the wanted ones served
    assert {counts[1][name] for name in ("replicas", "updatedReplicas", "availableReplicas")} == {2}


def test_the_examples_work_in_the_sample_home(controller: Controller) -> None:
    program = Path(sys.executable).with_name("ansible-doc")
    line = [str(program), "--json", *MODULES]
    shown = json.loads(subprocess.run(line, cwd=COLLECTION, check=True, stdout=subprocess.PIPE, text=True).stdout)
    try:
        done = controller.run([task for module in MODULES for task in yaml.safe_load(shown[module]["examples"])])
        assert done.code == 0, done.end
    finally:
        done = controller.role("web_service")
        assert done.code == 0, done.end


# Why a Service does not serve


def test_there_is_no_pool(controller: Controller, kubectl: Kubectl) -> None:
    pool = kubectl.get("ipaddresspool", "home", METALLB)
    kubectl("delete", "ipaddresspool", "home", f"--namespace={METALLB}")
    try:
        (answer,) = controller.tasks(service("poor", type="LoadBalancer", wait_timeout=3))
    finally:
        kubectl("delete", "service", "poor", "--ignore-not-found")
        kept = {**pool, "metadata": {name: pool["metadata"][name] for name in ("name", "namespace")}}
        kubectl.apply(kept, options=["--server-side", "--field-manager=homecloud.k3s"])
    refused(answer, "no_pool", "Service default/poor", "metallb_pools")
    # Without its pool a Service has no address; then it takes the first that is free, not always the one it had.
    wait_until(lambda: kubectl.announcing("mysite"))


def test_the_controller_of_metallb_is_down(controller: Controller, kubectl: Kubectl) -> None:
    scale = ("scale", "deployment", "controller", f"--namespace={METALLB}")
    kubectl(*scale, "--replicas=0")
    try:
        wait_until(lambda: not kubectl.objects("pods", "--selector=component=controller"))
        (answer,) = controller.tasks(service("poor", type="LoadBalancer", wait_timeout=3))
    finally:
        kubectl(*scale, "--replicas=1")
        wait_until(lambda: kubectl.is_complete("deployment", "controller", METALLB))
    refused(answer, "metallb_down", "Service default/poor", "controller")


def pool_of_one(name: str, address: str) -> dict[str, t.Any]:
    """A pool for those who ask for it."""
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name, "namespace": METALLB},
        "spec": {"addresses": [f"{address}/32"], "autoAssign": False},
    }


def advertisement(pool: str) -> dict[str, t.Any]:
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "L2Advertisement",
        "metadata": {"name": pool, "namespace": METALLB},
        "spec": {"ipAddressPools": [pool]},
    }


def visitor(kubectl: Kubectl, directory: Path) -> dict[str, str]:
    """The options of a user who may see and change Services of one namespace, and little else."""
    kubectl.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "visitor", "namespace": TROUBLES}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "visitor", "namespace": TROUBLES},
            "rules": [
                {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "create", "patch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "visitor", "namespace": TROUBLES},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "visitor"},
            "subjects": [{"kind": "ServiceAccount", "name": "visitor", "namespace": TROUBLES}],
        },
    )
    (cluster,) = json.loads(kubectl("config", "view", "--minify", "--raw", "--output=json"))["clusters"]
    authority = directory / "ca.crt"
    authority.write_bytes(base64.b64decode(cluster["cluster"]["certificate-authority-data"]))
    token = kubectl("create", "token", "visitor", f"--namespace={TROUBLES}")
    return {"host": cluster["cluster"]["server"], "ca_cert": str(authority), "api_key": token}


@pytest.fixture(scope="module")
def home_of_troubles(kubectl: Kubectl, lab: Lab) -> Iterator[None]:
    """Pods that do not run, and two pools of one address, of which one is not announced."""
    pools = [pool_of_one("single", lab.at(240)), pool_of_one("silent", lab.at(241)), advertisement("single")]
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TROUBLES}},
        deployment("running", TROUBLES),
        deployment("unpulled", TROUBLES, image=f"{NGINX}-of-nobody"),
        # Without a probe it would be ready for a moment each time that it starts.
        deployment("crashing", TROUBLES, command=["nginx", "-c", "/none"], readinessProbe={"tcpSocket": {"port": 80}}),
        *pools,
    )
    wait_until(lambda: kubectl.is_complete("deployment", "running", TROUBLES))
    yield
    kubectl("delete", "namespace", TROUBLES)
    for thing in pools:
        kubectl("delete", thing["kind"], thing["metadata"]["name"], f"--namespace={METALLB}")


@pytest.fixture(scope="module")
def troubles(
    controller: Controller, kubectl: Kubectl, lab: Lab, home_of_troubles: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answer]:
    """What tasks say of Services, most of which do not serve, by the names of these."""
    there = {"selector": {"app": "running"}}
    lan = {**there, "type": "LoadBalancer"}
    nodes = {**there, "type": "NodePort"}
    as_visitor = visitor(kubectl, tmp_path_factory.mktemp("visitor"))
    mysite = kubectl.get("service", "mysite")
    (port,) = mysite["spec"]["ports"]
    options: dict[str, dict[str, t.Any]] = {
        "served": {**lan, "address_pool": "single", "probe": {"protocol": "http"}},
        "everywhere": {**nodes, "probe": {"protocol": "tcp"}},
        "no-page": {**nodes, "probe": {"protocol": "http", "path": "/none", "status": [404]}},
        "deaf": {**lan, "ports": [{"port": 80, "target_port": "81"}], "probe": {"protocol": "tcp"}},
        "wrong-page": {**nodes, "probe": {"protocol": "http", "path": "/none"}},
        "unselected": {"selector": {"app": "running", "tier": "front"}},
        "elsewhere": {"selector": MYSITE},
        "unpulled": {"selector": {"app": "unpulled"}},
        "crashing": {"selector": {"app": "crashing"}},
        "unnamed": {**there, "ports": [{"port": 80, "target_port": "web"}]},
        "few": {**there, "wait_endpoints": 2},
        "late": {**lan, "address_pool": "single"},
        "lost": {**lan, "address_pool": "nowhere"},
        "far": {**lan, "load_balancer_ips": ["10.11.12.13"]},
        "taken": {**lan, "load_balancer_ips": [kubectl.address("mysite")]},
        "silent": {**lan, "address_pool": "silent"},
        "unserved": {**lan, "load_balancer_class": "example.org/none"},
        "port-taken": {**nodes, "ports": [{"port": 80, "node_port": port["nodePort"]}]},
        "port-out-of-range": {**nodes, "ports": [{"port": 80, "node_port": 80}]},
        "ip-taken": {**there, "cluster_ip": mysite["spec"]["clusterIP"]},
        "ip-out-of-range": {**there, "cluster_ip": "10.11.12.13"},
        "forbidden": {**there, **as_visitor, "namespace": "default"},
        "unseen": {**as_visitor, "selector": {"app": "none"}},
        "unreachable": {**there, "host": f"https://{lab.at(250)}:6443", "api_key": "none"},
    }
    tasks = {name: service(name, **{"namespace": TROUBLES, "wait_timeout": 8, **o}) for name, o in options.items()}
    return dict(zip(tasks, controller.tasks(*tasks.values(), at_once=True)))


@pytest.mark.parametrize("name", ["served", "everywhere", "no-page"])
def test_a_service_answers_its_probe(troubles: dict[str, Answer], name: str) -> None:
    assert good(troubles[name])["changed"]


WHY: dict[str, tuple[str, list[str]]] = {
    "deaf": ("no_answer", ["Connection refused"]),
    "wrong-page": ("no_answer", ["/none: HTTP status 404"]),
    "unselected": ("no_pod_selected", ["troubles/unselected", "tier"]),
    "elsewhere": ("no_pod_selected", ["in the namespace default", "mysite-"]),
    "unpulled": ("image_not_pulled", [f"{NGINX}-of-nobody"]),
    "crashing": ("crash_loop", ["troubles/crashing", "crashing-"]),
    "unnamed": ("unknown_target_port", ["web"]),
    "few": ("too_few_endpoints", ["troubles/few"]),
    "late": ("pool_exhausted", ["single", "troubles/served"]),
    "lost": ("unknown_pool", ["nowhere", "home"]),
    "far": ("address_outside_pools", ["10.11.12.13"]),
    "taken": ("address_taken", ["default/mysite"]),
    "silent": ("not_advertised", ["silent"]),
    "unserved": ("unserved_class", ["example.org/none"]),
    "port-taken": ("node_port_taken", ["Service default/mysite has it"]),
    "port-out-of-range": ("node_port_out_of_range", ["30000-32767"]),
    "ip-taken": ("cluster_ip_taken", ["Service default/mysite has it"]),
    "ip-out-of-range": ("cluster_ip_out_of_range", ["10.11.12.13"]),
    "forbidden": ("forbidden", ["system:serviceaccount:troubles:visitor", "get services", 'namespace "default"']),
    "unseen": ("endpoints_not_ready", ["troubles/unseen", "WARNING forbidden", "Pod"]),
    "unreachable": ("no_api_access", ["port=6443"]),
}


@pytest.mark.parametrize("name", WHY)
def test_a_service_that_does_not_serve_says_why(troubles: dict[str, Answer], name: str) -> None:
    code, words = WHY[name]
    refused(troubles[name], code, *words)


def test_info_says_why_services_do_not_serve(controller: Controller, troubles: dict[str, Answer]) -> None:
    (answer,) = controller.tasks(info(namespace=TROUBLES))
    assert not good(answer)["healthy"]
    services = {thing["name"]: thing for thing in answer["services"]}
    assert services["served"]["healthy"]
    assert not services["unpulled"]["healthy"]
    assert [fault["code"] for fault in services["unpulled"]["diagnosis"]] == ["image_not_pulled"]
    rows = {line.split()[0]: line for line in answer["table"]}
    assert rows["troubles/unpulled"].endswith("NO: image_not_pulled")
    assert rows["troubles/served"].endswith("yes")
