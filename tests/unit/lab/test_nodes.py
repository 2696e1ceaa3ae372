# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import tomllib
from homelab import internet, nodes
from homelab.model import Lab
from homelab.settings import Release

RELEASE = Release("v1.36.2+k3s1", "v0.16.2")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("home", "192.168.100", 1, tmp_path)


@pytest.mark.parametrize(("unified", "runtime"), [(True, None), (False, "runc")])
def test_engine_settings(unified: bool, runtime: str | None) -> None:
    settings = tomllib.loads(nodes.engine_settings(unified, {"nofile": 20000, "nproc": 32768}, Path("/state/hooks.d")))
    assert settings["engine"].get("runtime") == runtime
    assert settings["engine"]["hooks_dir"] == ["/state/hooks.d"]
    assert settings["containers"]["default_ulimits"] == ["nofile=20000:20000", "nproc=32768:32768"]


def test_hook_meets_the_machines_of_labs_only() -> None:
    hook = json.loads(nodes.hook_definition("/usr/bin/python3", Path("/state/cable.py")))
    assert hook["hook"]["args"] == ["/usr/bin/python3", "-I", "/state/cable.py"]
    assert list(hook["when"]["annotations"]) == [r"^homecloud\.lab\.switch$"]


def test_personal_files_of_a_node(lab: Lab) -> None:
    nodes.write_keys(lab)
    (node,) = lab.nodes
    with tarfile.open(fileobj=io.BytesIO(nodes.personal_files(lab, node, RELEASE))) as files:
        assert {entry.name: (entry.mode, entry.uid) for entry in files} == {
            "etc/hosts": (0o644, 0),
            "etc/resolv.conf": (0o644, 0),
            "home/pi/.ssh/authorized_keys": (0o600, 1000),
            "etc/ssh/ssh_host_ed25519_key": (0o600, 0),
            "etc/apt/sources.list": (0o644, 0),
        }
    assert lab.known_hosts.read_text().startswith("192.168.100.101 ssh-ed25519 ")


def test_only_the_router_of_an_official_release_has_an_uplink(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_K3S", "release")
    release = Release.from_environment()
    helpers = [host for host in lab.hosts if not host.is_node]
    networks = {
        host.name: words[words.index("--network") + 1]
        for host in helpers
        for words in [nodes.options(lab, host, release, Path("/mirror"))]
    }
    assert networks.pop("router") == "slirp4netns"
    assert set(networks.values()) == {"none"}


def test_helpers_on_the_lan_go_through_the_router(lab: Lab) -> None:
    through_router = {
        host.name
        for host in lab.hosts
        if not host.is_node
        and "homecloud.lab.gateway=192.168.100.1" in nodes.options(lab, host, RELEASE, Path("/mirror"))
    }
    assert through_router == {"mirror", "client"}


def personal_file(lab: Lab, host_name: str, file: str, release: Release = RELEASE) -> str | None:
    (host,) = [host for host in lab.hosts if host.name == host_name]
    with tarfile.open(fileobj=io.BytesIO(nodes.personal_files(lab, host, release))) as files:
        if file not in files.getnames():
            return None
        content = files.extractfile(file)
        assert content
        return content.read().decode()


def test_names_are_asked_of_the_router_at_home_and_of_the_internet_elsewhere(lab: Lab) -> None:
    nodes.write_keys(lab)
    at_home, elsewhere = "nameserver 192.168.100.1\n", "nameserver 203.0.113.53\n"
    expected = {"server1": at_home, "client": at_home, "router": elsewhere, "outside": elsewhere}
    assert {name: personal_file(lab, name, "etc/resolv.conf") for name in expected} == expected


def test_nodes_install_from_the_mirror_or_from_debian(lab: Lab) -> None:
    nodes.write_keys(lab)
    sources = "etc/apt/sources.list"
    assert personal_file(lab, "server1", sources) == "deb [trusted=yes] http://192.168.100.3/debian ./\n"
    assert personal_file(lab, "server1", sources, replace(RELEASE, mirrored=False)) is None


def test_the_internet_has_the_labs_own_secrets(lab: Lab) -> None:
    internet.write_secrets(lab)
    assert personal_file(lab, "internet", "etc/pebble/cert.pem") == lab.acme_ca.read_text()
    assert lab.tsig_secret.read_text() in (personal_file(lab, "internet", "etc/bind/tsig.key") or "")
    assert personal_file(lab, "outside", "etc/bind/tsig.key") is None


def test_the_router_forwards_web_sites_to_the_first_address_of_the_pool(lab: Lab) -> None:
    (router,) = [host for host in lab.hosts if host.role == "router"]
    assert nodes.program(lab, router, RELEASE)[1:] == ["192.168.100.200", "203.0.113.53"]
