# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that the role web_service makes of web services, those of the sample inventory among them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_inventory
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_inventory import setting_faults

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/web_service"
SAMPLE = ROOT / "inventory/group_vars/all.yml"
COLLECTIONS = str(Path(_preflight_inventory.__file__).parents[5])

Thing = dict[str, t.Any]
Render = t.Callable[..., dict[str, list[Thing]]]
RENDERED: t.Final = (
    "__web_service_wanted",
    "__web_service_secrets",
    "__web_service_unwanted",
    "__web_service_unwanted_routes",
)
DEFAULTS: Thing = yaml.safe_load((ROLE / "defaults/main.yml").read_text())


@pytest.fixture(name="render")
def render_fixture(tmp_path: Path) -> Render:
    """What the templates of the role make of web services, by the names of the role's variables."""

    def render(services: list[Thing], **settings: object) -> dict[str, list[Thing]]:
        if not (tmp_path / "templates").exists():
            (tmp_path / "templates").symlink_to(ROLE / "templates")
        secrets = [
            {
                "kind": "Secret",
                "metadata": {"name": f"{s['name']}-secrets", "namespace": "default", "resourceVersion": "7"},
            }
            for s in services
        ]
        wanted = "{{ {" + ", ".join(f"{name!r}: {name}" for name in RENDERED) + "} | to_json }}"
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                **DEFAULTS,
                **settings,
                "role_path": str(ROLE),
                "web_service_services": services,
                "__web_service_secrets_applied": {"result": {"results": [{"result": secret} for secret in secrets]}},
            },
            "vars_files": [str(ROLE / "vars/main.yml")],
            "tasks": [{"ansible.builtin.copy": {"content": wanted, "dest": str(tmp_path / "rendered.json")}}],
        }
        playbook = tmp_path / "play.yml"
        playbook.write_text(json.dumps([play]))
        options = ("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}")
        done = subprocess.run(
            [sys.executable, "-m", "ansible.cli.playbook", str(playbook), *options],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rendered: dict[str, list[Thing]] = json.loads((tmp_path / "rendered.json").read_text())
        return rendered

    return render


def sample(uncommented: str = "") -> Thing:
    """The sample inventory with one of the web services that are comments in it."""
    before, begin, after = SAMPLE.read_text().partition(f"  # - name: {uncommented}\n")
    text = before + (begin + after).replace("  # ", "  ") if uncommented else before
    settings: Thing = yaml.safe_load(text)
    return settings


def of_kind(objects: list[Thing], kind: str) -> Thing:
    (found,) = (thing for thing in objects if thing["kind"] == kind)
    return dict(found)


def test_the_sample_inventory_has_no_fault() -> None:
    assert [service["name"] for service in sample()["web_service_services"]] == ["mysite"]
    assert setting_faults(sample(), []) == []


def test_the_demonstration_in_the_sample_inventory(render: Render) -> None:
    settings = sample("nextcloud")
    assert setting_faults(settings, []) == []
    (service,) = (service for service in settings["web_service_services"] if service["name"] == "nextcloud")
    objects = render([service])["__web_service_wanted"]
    assert [thing["kind"] for thing in objects] == ["Deployment", "PodDisruptionBudget", "Service"]
    assert of_kind(objects, "Deployment")["spec"]["replicas"] == 2
    budget = of_kind(objects, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]) == (1, of_kind(objects, "Deployment")["spec"]["selector"])
    spec = of_kind(objects, "Service")["spec"]
    assert (spec["type"], spec["ports"]) == ("ClusterIP", [{"name": "web", "port": 8080, "targetPort": "web"}])


def test_all_that_a_web_service_can_have(render: Render) -> None:
    probe = {"httpGet": {"path": "/", "port": 80}}
    service: Thing = {
        "name": "mysite",
        "namespace": "web",
        "image": "nginx:1.28",
        "node_port": 30080,
        "address": "192.168.1.210",
        "pool": "home",
        "env": {"PORT": 8080, "GREETING": 'it\'s: "so" # no comment'},
        "labels": {"tier": 1},
        "resources": {"limits": {"memory": "64Mi"}},
        "probes": {"readiness": probe, "startup": probe},
        "files": {"/srv/index.html": "one\ntwo\n"},
    }
    objects = render([service])["__web_service_wanted"]
    assert [thing["kind"] for thing in objects] == ["Namespace", "ConfigMap", "Deployment", "Service"]
    pod = of_kind(objects, "Deployment")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"] == {"app.kubernetes.io/name": "mysite", "tier": "1"}
    assert container["env"] == [
        {"name": "PORT", "value": "8080"},
        {"name": "GREETING", "value": service["env"]["GREETING"]},
    ]
    assert container["resources"] == service["resources"]
    assert container["readinessProbe"] == container["startupProbe"] == probe
    assert "livenessProbe" not in container
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert container["volumeMounts"][0]["mountPath"] == "/srv/index.html"
    assert of_kind(objects, "ConfigMap")["data"] == {"file-1": "one\ntwo\n"}
    made = of_kind(objects, "Service")
    assert made["metadata"]["annotations"] == {
        "metallb.io/loadBalancerIPs": "192.168.1.210",
        "metallb.io/address-pool": "home",
    }
    assert made["spec"]["ports"][0]["nodePort"] == 30080


def test_secrets_are_in_no_object_but_their_own(render: Render) -> None:
    service: Thing = {"name": "mysite", "image": "nginx:1.28", "secrets": {"PASSWORD": "hunter2", "PIN": 1234}}
    rendered = render([service])
    (secret,) = rendered["__web_service_secrets"]
    assert {k: base64.b64decode(v).decode() for k, v in secret["data"].items()} == {
        "PASSWORD": "hunter2",
        "PIN": "1234",
    }
    deployment = of_kind(rendered["__web_service_wanted"], "Deployment")
    assert deployment["spec"]["template"]["metadata"]["annotations"]["homecloud.k3s/secrets"] == "7"
    assert "hunter2" not in str(rendered["__web_service_wanted"])


def test_what_is_not_wanted_any_more(render: Render) -> None:
    services: list[Thing] = [
        {"name": "mysite", "image": "nginx:1.28", "files": {"/a": "b"}},
        {"name": "old", "state": "absent", "replicas": 3},
    ]
    rendered = render(services)
    assert names(rendered["__web_service_wanted"]) == {"mysite", "mysite-files"}
    assert [(thing["kind"], thing["metadata"]["name"]) for thing in rendered["__web_service_unwanted"]] == [
        ("PodDisruptionBudget", "mysite"),
        ("Secret", "mysite-secrets"),
        ("Secret", "mysite-auth"),
        ("Service", "old"),
        ("Deployment", "old"),
        ("PodDisruptionBudget", "old"),
        ("ConfigMap", "old-files"),
        ("Secret", "old-secrets"),
        ("Secret", "old-auth"),
    ]
    assert [(thing["kind"], thing["metadata"]["name"]) for thing in rendered["__web_service_unwanted_routes"]] == [
        ("IngressRoute", "mysite"),
        ("IngressRoute", "mysite-http"),
        ("Middleware", "mysite-auth"),
        ("IngressRoute", "old"),
        ("IngressRoute", "old-http"),
        ("Middleware", "old-auth"),
    ]


def names(objects: list[Thing]) -> set[str]:
    return {thing["metadata"]["name"] for thing in objects}


HOSTS: Thing = {"name": "mysite", "image": "nginx:1.28", "hosts": ["a.home.example", "b.home.example"]}
ACME: Thing = {"traefik_acme_email": "me@home.example"}


@pytest.mark.parametrize(
    ("service", "settings", "routes"),
    [
        ({}, {}, {"mysite": ("web", None)}),
        ({"tls": True}, {}, {"mysite": ("websecure", {"certResolver": ""}), "mysite-http": ("web", None)}),
        ({}, ACME, {"mysite": ("websecure", {"certResolver": "le"})}),
        ({}, {**ACME, "traefik_acme_resolver": "ca"}, {"mysite": ("websecure", {"certResolver": "ca"})}),
        (
            {},
            {**ACME, "traefik_redirect": False},
            {"mysite": ("websecure", {"certResolver": "le"}), "mysite-http": ("web", None)},
        ),
        ({"tls": False}, {**ACME, "traefik_redirect": False}, {"mysite": ("web", None)}),
    ],
)
def test_entry_points(render: Render, service: Thing, settings: Thing, routes: Thing) -> None:
    rendered = render([{**HOSTS, **service}], **settings)
    made = [thing for thing in rendered["__web_service_wanted"] if thing["kind"] == "IngressRoute"]
    assert {
        thing["metadata"]["name"]: (*thing["spec"]["entryPoints"], thing["spec"].get("tls")) for thing in made
    } == routes
    assert not names(made) & {
        thing["metadata"]["name"]
        for thing in rendered["__web_service_unwanted_routes"]
        if thing["kind"] == "IngressRoute"
    }


def test_a_web_service_with_names_is_reached_through_traefik(render: Render) -> None:
    account = {"username": "me", "password": "hunter2"}
    service = {**HOSTS, "path": "/wiki", "middlewares": ["compress"], "basic_auth": account, "service_port": 8080}
    rendered = render([service])
    objects = rendered["__web_service_wanted"]
    assert of_kind(objects, "Service")["spec"]["type"] == "ClusterIP"
    (rule,) = of_kind(objects, "IngressRoute")["spec"]["routes"]
    assert rule["match"] == "(Host(`a.home.example`) || Host(`b.home.example`)) && PathPrefix(`/wiki`)"
    assert rule["services"] == [{"name": "mysite", "port": 8080}]
    assert rule["middlewares"] == [{"name": "mysite-auth"}, {"name": "compress"}]
    (secret,) = rendered["__web_service_secrets"]
    middleware = of_kind(objects, "Middleware")
    assert middleware["spec"]["basicAuth"]["secret"] == secret["metadata"]["name"] == middleware["metadata"]["name"]
    assert {key: base64.b64decode(value).decode() for key, value in secret["data"].items()} == account
    assert "hunter2" not in str(objects)


def test_a_service_of_a_type_that_is_asked_for_keeps_it(render: Render) -> None:
    objects = render([{**HOSTS, "type": "LoadBalancer"}])["__web_service_wanted"]
    assert of_kind(objects, "Service")["spec"]["type"] == "LoadBalancer"


@pytest.mark.parametrize("files", [{}, {"/etc/a": "b"}])
def test_a_volume_outlives_the_pods(render: Render, files: Thing) -> None:
    volume = {"path": "/data", "size": "1Gi"}
    service = {"name": "wiki", "image": "wiki:4", "replicas": 2, "volume": volume, "files": files}
    rendered = render([service])
    objects = rendered["__web_service_wanted"]
    assert "PodDisruptionBudget" not in {thing["kind"] for thing in objects}  # would keep its node from being drained
    claim = of_kind(objects, "PersistentVolumeClaim")
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    deployment = of_kind(objects, "Deployment")["spec"]
    assert deployment["strategy"] == {"type": "Recreate"}
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert "lifecycle" not in container
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == "/data")
    (disk,) = (disk for disk in pod["volumes"] if disk["name"] == mount["name"])
    assert disk["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert len(pod["volumes"]) == len(container["volumeMounts"]) == 1 + len(files)
    gone = render([{"name": "wiki", "state": "absent"}])["__web_service_unwanted"]
    assert "PersistentVolumeClaim" not in {thing["kind"] for thing in gone}


def test_a_kind_of_disk_is_asked_for(render: Render) -> None:
    volume = {"path": "/data", "size": "1Gi", "storage_class": "nfs"}
    objects = render([{"name": "wiki", "image": "wiki:4", "volume": volume}])["__web_service_wanted"]
    assert of_kind(objects, "PersistentVolumeClaim")["spec"]["storageClassName"] == "nfs"
