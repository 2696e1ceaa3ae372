# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from homelab import inventory
from homelab.model import Lab
from homelab.settings import Release

RELEASE = Release("v1.36.2+k3s1", "v0.16.2")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("home", "192.168.100", 2, tmp_path)


def test_written_files_are_yaml(lab: Lab) -> None:
    inventory.write(lab, RELEASE, lab.state / "mirror")
    hosts = yaml.safe_load((lab.inventory / "hosts.yml").read_text())
    cluster = hosts["k3s_cluster"]
    assert cluster["children"] == {
        "server": {"hosts": {"server1": {"ansible_host": "192.168.100.101"}}},
        "agent": {"hosts": {"agent1": {"ansible_host": "192.168.100.102"}}},
    }
    assert cluster["vars"]["ansible_user"] == "pi"
    assert "StrictHostKeyChecking=yes" in cluster["vars"]["ansible_ssh_common_args"]
    everyone = yaml.safe_load((lab.inventory / "group_vars" / "all" / "lab.yml").read_text())
    assert everyone["metallb_pools"] == [{"name": "home", "addresses": ["192.168.100.200-192.168.100.225"]}]
    assert everyone["k3s_airgap"] is True


def test_the_web_services_are_those_of_the_sample_home(lab: Lab) -> None:
    inventory.write(lab, RELEASE, lab.state / "mirror")
    home = yaml.safe_load((lab.inventory / "group_vars" / "all" / "home.yml").read_text())
    assert "mysite" in [service["name"] for service in home["web_service_services"]]


def test_one_node_has_an_empty_group_of_agents(lab: Lab) -> None:
    inventory.write(replace(lab, node_count=1), RELEASE, lab.state / "mirror")
    hosts = yaml.safe_load((lab.inventory / "hosts.yml").read_text())
    assert hosts["k3s_cluster"]["children"]["agent"] == {"hosts": {}}


def test_mirrored_release_is_asked_of_the_mirror(lab: Lab) -> None:
    archive = lab.state / "nginx.tar"
    archive.write_text("content")
    variables = inventory.variables(lab, RELEASE, [archive], unified=True)
    assert variables["k3s_mirror_url"] == "http://192.168.100.3/k3s"
    assert variables["k3s_image_archives"] == [
        {
            "url": "http://192.168.100.3/images/nginx.tar",
            "checksum": "sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
        }
    ]
    assert variables["metallb_manifest_url"] == "http://192.168.100.3/metallb/v0.16.2/metallb-native.yaml"
    assert "k3s_config" not in variables


def test_official_release_is_not_redirected(lab: Lab) -> None:
    variables = inventory.variables(lab, replace(RELEASE, mirrored=False), [], unified=True)
    assert not any("mirror" in json.dumps(variable) for variable in variables.items())
    assert not {"k3s_airgap", "k3s_image_archives", "metallb_manifest_url"} & variables.keys()


def test_old_cgroups_need_the_kubelets_consent(lab: Lab) -> None:
    assert inventory.variables(lab, RELEASE, [], unified=False)["k3s_config"] == {
        "kubelet-arg": ["fail-cgroupv1=false"]
    }
