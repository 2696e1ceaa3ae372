# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the scenario share."""

from __future__ import annotations

import os
import sys
import typing as t

import openshift_client as oc
import pytest
import yaml
from scenario import COLLECTION, Controller, Kubectl, Lab, fetch_kubectl

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenario import Pool

sys.path.insert(0, str(COLLECTION / "tests/lab"))

K3S_DEFAULTS = COLLECTION / "roles/k3s/defaults/main.yml"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab(os.environ["LAB_NAME"])


@pytest.fixture(scope="session")
def controller(lab: Lab) -> Controller:
    return Controller(lab)


@pytest.fixture(scope="session")
def k3s_version() -> str:
    return str(yaml.safe_load(K3S_DEFAULTS.read_text())["k3s_version"])


@pytest.fixture(scope="session")
def kubectl(lab: Lab, k3s_version: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return fetch_kubectl(lab, k3s_version, tmp_path_factory.mktemp("kubectl"))


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
