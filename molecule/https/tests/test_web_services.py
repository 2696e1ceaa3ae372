# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What web services by name and Traefik can be besides, and what is refused."""

from __future__ import annotations

import re
import subprocess
import typing as t

import pytest
from scenario import refused, wait_until
from world import web_service

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl
    from world import World

MINE: t.Final = {
    "apiVersion": "traefik.io/v1alpha1",
    "kind": "Middleware",
    "metadata": {"name": "mine", "namespace": "default"},
    "spec": {"headers": {"customResponseHeaders": {"X-Mine": "yes"}}},
}
ALL_PATHS: t.Final = {
    "/etc/nginx/conf.d/default.conf": 'server { listen 80; location / { return 200 "$hostname at $uri"; } }'
}
PASSWORD: t.Final = "lingonberry-2718"
PRIVATE: t.Final = web_service("private", basic_auth={"username": "me", "password": PASSWORD}, files=ALL_PATHS)
# At the same name, but below a path.
PUBLIC: t.Final = web_service("public", hosts=PRIVATE["hosts"], path="/public", middlewares=["mine"], files=ALL_PATHS)
DISK: t.Final = web_service("disk", volume={"path": "/usr/share/nginx/html", "size": "16Mi"})
MOVING: t.Final = web_service("moving", hosts=[])
NAMED: t.Final = web_service("moving")
URL: t.Final = "https://private.home.example"


@pytest.fixture(scope="module", autouse=True)
def published(world: World, kubectl: Kubectl) -> Iterator[str]:
    """What the run that makes them all has said."""
    kubectl.apply(MINE)
    done = world.publish(PRIVATE, PUBLIC, DISK, MOVING, options=["--diff", "-vvv"])
    assert done.code == 0, done.end
    yield done.output
    world.remove(PRIVATE, PUBLIC, DISK, MOVING)
    kubectl("delete", "middleware.traefik.io", "mine")
    # The role never removes data.
    kubectl("delete", "persistentvolumeclaim", "disk")


def test_a_password_is_asked_for_and_never_shown(world: World, published: str) -> None:
    assert world.get(URL).status == 401
    assert world.get(URL, "--user", "me:wrong").status == 401
    assert world.get(URL, "--user", f"me:{PASSWORD}").body.startswith("private-")
    assert "private" in published
    assert PASSWORD not in published


def test_below_a_path_there_is_another_web_service_behind_a_middleware_of_others(world: World) -> None:
    answer = world.get(f"{URL}/public/page")
    assert answer.body.startswith("public-")
    assert answer.body.strip().endswith("at /public/page")
    assert answer.headers["x-mine"] == "yes"


def test_what_is_on_a_disk_outlives_the_pod(world: World, kubectl: Kubectl) -> None:
    volume = kubectl.get("persistentvolumeclaim", "disk")["spec"]["volumeName"]
    spec = kubectl.get("persistentvolume", volume, "")["spec"]
    (node,) = spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
    # The image has no shell.
    world.lab.sh(node, f"echo kept > {(spec.get('hostPath') or spec['local'])['path']}/index.html")
    kubectl("delete", "pod", "--selector=app.kubernetes.io/name=disk")
    wait_until(lambda: world.serves("disk.home.example"))
    assert world.get("https://disk.home.example/").body == "kept\n"


def test_a_web_service_with_an_address_moves_behind_traefik_and_back(
    world: World, kubectl: Kubectl, controller: Controller
) -> None:
    assert kubectl.address("moving")
    check = controller.role("web_service", "--check", "--diff", web_service_services=[NAMED])
    assert re.search(r"-\s+type: LoadBalancer", check.output), check.output
    assert re.search(r"\+\s+type: ClusterIP", check.output), check.output
    assert kubectl.address("moving")

    done = controller.role("web_service", web_service_services=[NAMED])
    assert done.code == 0, done.end
    assert kubectl.get("service", "moving")["spec"]["type"] == "ClusterIP"
    assert kubectl.address("moving") == ""
    assert world.serves("moving.home.example")

    done = controller.role("web_service", web_service_services=[MOVING])
    assert done.code == 0, done.end
    assert "Welcome to nginx" in world.lab.page(f"http://{kubectl.address('moving')}/")
    assert not kubectl.get("ingressroute.traefik.io", "moving")


def test_a_name_that_others_have_is_refused(kubectl: Kubectl, controller: Controller) -> None:
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "theirs", "namespace": "kube-system"},
        "spec": {
            "rules": [
                {
                    "host": "taken.home.example",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "traefik", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        },
    }
    kubectl.apply(theirs)
    try:
        done = controller.role("web_service", web_service_services=[web_service("taken")])
    finally:
        kubectl("delete", "ingress", "theirs", "--namespace=kube-system")
    refused(done, "host_of_others", "Ingress kube-system/theirs", "taken.home.example")
    assert not kubectl.get("deployment", "taken")


@pytest.mark.soak
def test_values_that_helm_refuses_leave_traefik_as_it_was(world: World) -> None:
    """The API refuses them when Helm has begun, whereupon k3s takes Traefik away and cannot install it either."""
    before, values = world.certificate(), world.values()
    done = world.publish(traefik_values={"service": {"spec": {"externalTrafficPolicy": "Nonsense"}}})
    refused(done, "helm_failed", "Nonsense", "Traefik runs as it did")
    assert world.values() == values
    wait_until(world.serves)
    assert world.certificate() == before


@pytest.mark.soak
def test_a_configuration_of_others_is_taken_over_only_when_asked(world: World, kubectl: Kubectl) -> None:
    config = kubectl.get("helmchartconfig", "traefik", "kube-system")
    text = f"# Mine, all mine.\n{config['spec']['valuesContent']}"
    theirs = {
        "apiVersion": config["apiVersion"],
        "kind": config["kind"],
        "metadata": {"name": "traefik", "namespace": "kube-system"},
        "spec": {"valuesContent": text},
    }
    kubectl.apply(theirs, options=["--server-side", "--field-manager=somebody", "--force-conflicts"])
    refused(world.publish(), "configuration_of_others", "additionalArguments")
    extra = {"name": "extra", "port": 8444, "exposed_port": 444}
    done = world.publish(traefik_take_over=True, traefik_entry_points=[extra])
    assert done.code == 0, done.end
    # At the new port Traefik answers, though nobody there has a route yet.
    with pytest.raises(subprocess.CalledProcessError):
        world.lab.page(f"http://{world.traefik}:445/")
    assert world.get(f"http://{world.traefik}:444/", client="client").status == 404
    done = world.publish()
    assert done.code == 0, done.end
