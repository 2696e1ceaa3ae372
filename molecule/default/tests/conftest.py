# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the scenario share."""

from __future__ import annotations

import typing as t

import fixtures
import openshift_client as oc
import pytest
from looking_glass import NODE_PORT, Glass

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenario import Controller, Kubectl, Lab, Pool

controller, k3s_version, kubectl, lab = fixtures.controller, fixtures.k3s_version, fixtures.kubectl, fixtures.lab
pytest_terminal_summary = fixtures.pytest_terminal_summary

# Each page of the looking glass says which pod has answered whom.
PAGE = 'server { listen 8080; location / { return 200 "$server_addr $remote_addr\\n"; } }'


@pytest.fixture
def cluster(kubectl: Kubectl) -> Iterator[None]:
    """The cluster as a client sees it that has nothing to do with Ansible."""
    oc.set_default_oc_path(str(kubectl.program))
    oc.set_default_kubeconfig_path(kubectl.kubeconfig)
    with oc.timeout(60):
        yield


@pytest.fixture
def mysite(cluster: None) -> str:
    """The load balancer address of mysite."""
    with oc.project("default"):
        service = oc.selector("service/mysite").object().as_dict()
    (ingress,) = service["status"]["loadBalancer"]["ingress"]
    return str(ingress["ip"])


@pytest.fixture(scope="session")
def pool(lab: Lab) -> Callable[..., Pool]:
    """An item of metallb_pools, from the last numbers of its addresses."""

    def make(name: str, first: int, last: int, **settings: object) -> Pool:
        return {"name": name, "addresses": [f"{lab.at(first)}-{lab.at(last)}"], **settings}

    return make


@pytest.fixture(scope="session")
def home_pool(pool: Callable[..., Pool]) -> Pool:
    """The pool of the lab's inventory."""
    return pool("home", 200, 225)


@pytest.fixture(scope="module")
def glass(controller: Controller, kubectl: Kubectl) -> Iterator[Glass]:
    service = {
        "name": "looking-glass",
        "image": "docker.io/library/nginx:1.22",
        "replicas": 3,
        "port": 8080,
        "node_port": NODE_PORT,
        "files": {"/etc/nginx/conf.d/default.conf": PAGE},
    }
    done = controller.role("web_service", web_service_services=[service])
    assert done.code == 0, done.end
    pods = kubectl.objects("pods", "--selector=app.kubernetes.io/name=looking-glass")
    spec = kubectl.get("service", "looking-glass")["spec"]
    yield Glass(
        spec["clusterIP"],
        kubectl.address("looking-glass"),
        {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in pods},
    )
    done = controller.role("web_service", web_service_services=[{**service, "state": "absent"}])
    assert done.code == 0, done.end


@pytest.fixture
def should_be(kubectl: Kubectl) -> dict[str, t.Any]:
    """What the API says."""
    return {"services": kubectl.objects("services"), "endpoint_slices": kubectl.objects("endpointslices")}
