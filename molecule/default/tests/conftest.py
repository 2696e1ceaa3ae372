# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the scenario share."""

from __future__ import annotations

import hashlib
import os
import typing as t
import urllib.request

import openshift_client as oc
import pytest
import yaml
from scenario import COLLECTION, Controller, Kubectl, Lab

if t.TYPE_CHECKING:
    from collections.abc import Iterator

K3S_DEFAULTS = COLLECTION / "roles/k3s/defaults/main.yml"


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
    """The kubectl of the cluster's version, as the mirror has it."""
    url = f"{lab.facts['mirror_url']}/kubernetes/{k3s_version.split('+')[0]}/bin/linux/amd64/kubectl"
    with urllib.request.urlopen(url, timeout=60) as answer:
        program = answer.read()
    with urllib.request.urlopen(url + ".sha256", timeout=60) as answer:
        assert hashlib.sha256(program).hexdigest() == answer.read().decode().strip()
    path = tmp_path_factory.mktemp("kubectl") / "kubectl"
    path.write_bytes(program)
    path.chmod(0o755)
    return Kubectl(path, lab.facts["paths"]["kubeconfig"])


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
