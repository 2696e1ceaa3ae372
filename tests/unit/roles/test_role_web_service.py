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
Render = t.Callable[[list[Thing]], dict[str, list[Thing]]]


@pytest.fixture(name="render")
def render_fixture(tmp_path: Path) -> Render:
    """What the templates of the role make of web services, by the names of the role's variables."""

    def render(services: list[Thing]) -> dict[str, list[Thing]]:
        (tmp_path / "templates").symlink_to(ROLE / "templates")
        secrets = [
            {
                "kind": "Secret",
                "metadata": {"name": f"{s['name']}-secrets", "namespace": "default", "resourceVersion": "7"},
            }
            for s in services
        ]
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "role_path": str(ROLE),
                "web_service_services": services,
                "web_service_wait_timeout": 1,
                "__web_service_secrets_applied": {"result": {"results": [{"result": secret} for secret in secrets]}},
            },
            "vars_files": [str(ROLE / "vars/main.yml")],
            "tasks": [
                {
                    "name": f"Render {name}",
                    "ansible.builtin.copy": {"content": "{{ " + name + " | to_json }}", "dest": str(tmp_path / name)},
                }
                for name in ("__web_service_wanted", "__web_service_secrets", "__web_service_unwanted")
            ],
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
        return {path.name: json.loads(path.read_text()) for path in tmp_path.glob("__web_service_*")}

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
    assert [thing["kind"] for thing in objects] == ["Deployment", "Service"]
    assert of_kind(objects, "Deployment")["spec"]["replicas"] == 2
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
        {"name": "old", "state": "absent"},
    ]
    rendered = render(services)
    assert {thing["metadata"]["name"] for thing in rendered["__web_service_wanted"]} == {"mysite", "mysite-files"}
    assert [(thing["kind"], thing["metadata"]["name"]) for thing in rendered["__web_service_unwanted"]] == [
        ("Secret", "mysite-secrets"),
        ("Service", "old"),
        ("Deployment", "old"),
        ("ConfigMap", "old-files"),
        ("Secret", "old-secrets"),
    ]
