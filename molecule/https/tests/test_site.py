# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site as it is after the playbook, and what it outlives."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest
from scenario import wait_until
from world import DASHBOARD, PAGE, SITE, web_service

if t.TYPE_CHECKING:
    from scenario import Controller, Kubectl, Lab
    from world import World


def test_the_world_gets_the_page_by_name(world: World) -> None:
    answer = world.get(f"https://{SITE}/")
    assert answer.status == 200
    assert PAGE in answer.body


def test_the_certificate_is_of_the_authority_and_for_the_name(world: World) -> None:
    shown = world.certificate()
    assert "Pebble" in shown
    assert f"DNS:{SITE}" in shown


def test_plain_http_leads_to_https(world: World) -> None:
    answer = world.get(f"http://{SITE}/a?b=c")
    assert answer.status in (301, 308)
    assert answer.headers["location"] == f"https://{SITE}/a?b=c"


def test_another_name_gets_nothing(world: World) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        world.get("https://other.home.example/")
    assert world.get("https://other.home.example/", "--insecure").status == 404
    assert "TRAEFIK DEFAULT CERT" in world.certificate("other.home.example")


def test_the_dashboard_asks_for_its_password(world: World, lab: Lab) -> None:
    url = f"https://{DASHBOARD}/dashboard/"
    password = lab.settings["traefik_dashboard_password"]
    assert world.get(url).status == 401
    assert world.get(url, "--user", "admin:wrong").status == 401
    assert world.get(url, "--user", f"admin:{password}").status == 200
    assert world.get(f"https://{DASHBOARD}/api/rawdata").status == 401


def test_the_site_sees_who_asks(world: World, lab: Lab) -> None:
    assert world.get(f"https://{SITE}/").body.split()[-1] == lab.address("outside")
    here = world.get(f"https://{SITE}/", "--resolve", f"{SITE}:443:{world.traefik}", client="client")
    assert here.body.split()[-1] == lab.address("client")


def test_the_name_leads_nowhere_from_inside(world: World, lab: Lab) -> None:
    """Why there is a role local_dns."""
    assert lab.on("client", "getent", "ahostsv4", SITE).split()[0] == lab.facts["internet"]["public_address"]
    with pytest.raises(subprocess.CalledProcessError):
        world.get(f"https://{SITE}/", client="client")


def test_the_service_has_no_address_of_its_own(kubectl: Kubectl) -> None:
    assert kubectl.get("service", "mysite")["spec"]["type"] == "ClusterIP"
    assert kubectl.address("mysite") == ""


def test_verify_shows_the_certificate(controller: Controller) -> None:
    done = controller.play("playbooks/verify.yml", [], {})
    assert done.code == 0, done.end
    (row,) = (line for line in done.output.splitlines() if f"https://{SITE}/" in line and "Pebble" in line)
    assert " 200 " in row


def test_a_copy_of_the_certificates_is_on_the_controller(lab: Lab, world: World, controller: Controller) -> None:
    backup = {"name": "homecloud.k3s.traefik", "tasks_from": "backup"}
    done = controller.run([{"ansible.builtin.import_role": backup}])
    assert done.code == 0, done.end
    copy = Path(lab.settings["traefik_backup_dir"], Path(world.storage).name)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    assert copy.read_text() == world.in_traefik(f"cat {world.storage}")


def test_the_file_of_the_certificates_is_for_traefik_alone(world: World) -> None:
    assert world.in_traefik(f"stat -c '%a %u' {world.storage}").split() == ["600", "65532"]


def test_a_check_finds_nothing_to_do(controller: Controller) -> None:
    done = controller.site("--check", "--diff")
    assert done.code == 0, done.end
    assert not any(done.changed.values()), done.output


def test_a_check_goes_through_where_a_site_is_yet_to_be_made(controller: Controller, kubectl: Kubectl) -> None:
    done = controller.site("--check", web_service_services=[web_service("yet-to-be")])
    assert done.code == 0, done.end
    assert "There is no Service default/yet-to-be" in done.output
    assert not kubectl.get("deployment", "yet-to-be")


def test_the_certificate_outlives_the_pod(world: World, kubectl: Kubectl) -> None:
    before, pod = world.certificate(), world.pod()["metadata"]["name"]
    kubectl("delete", "pod", pod, "--namespace=kube-system")
    wait_until(world.serves)
    assert world.certificate() == before
    assert world.pod()["metadata"]["name"] != pod


def test_the_certificate_outlives_the_restart_of_its_node(world: World, lab: Lab) -> None:
    before, node = world.certificate(), world.pod()["spec"]["nodeName"]
    boot = lab.boot_id(node)
    lab.sh(node, "systemctl reboot || true")
    wait_until(lambda: lab.has_rebooted(node, boot), within=120)
    wait_until(world.serves, within=180)
    assert world.certificate() == before


@pytest.mark.soak
def test_the_certificate_outlives_its_volume(world: World, kubectl: Kubectl, controller: Controller) -> None:
    before = world.certificate()
    assert controller.role("traefik", traefik_state="absent").code == 0
    kubectl("delete", "pvc", "traefik", "--namespace=kube-system", "--wait=true")
    done = world.publish()
    assert done.code == 0, done.end
    wait_until(world.serves)
    assert world.certificate() == before


def test_secrets_are_nowhere_to_be_seen(world: World, lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    """Each search has a word that it must find, as otherwise it would prove nothing."""
    secret = lab.settings["traefik_dashboard_password"]
    # A run that changes the password and says all it can.
    done = controller.site("-vvv", "--diff", "--limit=localhost,server1", traefik_dashboard_password=f"{secret}-new")
    assert done.code == 0, done.end
    pods = kubectl.objects("pods", "--selector=app.kubernetes.io/instance=traefik-kube-system")
    logs = [kubectl("logs", "--namespace=kube-system", pod["metadata"]["name"]) for pod in pods]
    processes = [lab.sh(node, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'") for node in lab.nodes]
    for seen, word in (
        (done.output, "homecloud-dashboard"),
        (world.values(), "acme.email"),
        ("".join(logs), "Traefik version"),
        ("".join(processes), "--certificatesresolvers.le.acme.email"),
    ):
        assert word in seen
        assert secret not in seen, word
    assert world.publish().code == 0
