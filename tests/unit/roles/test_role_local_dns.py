# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role local_dns, as far as it goes without a host that serves: the file for another server, and its own."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _local_dns

COLLECTIONS = str(Path(_local_dns.__file__).parents[5])
ROLE = Path(__file__).parents[3] / "roles/local_dns"
SERVICES = [
    {"name": "mysite", "image": "nginx:1.28", "hosts": ["mysite.home.example"]},
    {"name": "plain", "image": "nginx:1.28"},
    {"name": "old", "state": "absent", "hosts": ["old.home.example"]},
]
IN_FORCE = "/run/local-dns/local-dns.conf"
READING = {
    "os": {"id": "debian", "id_like": [], "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"},
    "default_route": {"interface": "eth0", "gateway": "192.168.1.1", "address": "192.168.1.102"},
    "interfaces": [{"name": "eth0", "kind": "ethernet", "addresses": ["192.168.1.102/24"]}],
    "ports": [],
    "firewall": [],
    "files": {},
}
# Only systemd-resolved has the first file.
RESOLVERS = {"results": [{"msg": "not there"}, {"content": base64.b64encode(b"nameserver 192.168.1.1\n").decode()}]}


@dataclass(frozen=True)
class Result:
    failed: bool
    output: str
    changed: int


@dataclass(frozen=True)
class Controller:
    """A directory on this machine, from which playbooks run."""

    path: Path

    def play(self, tasks: t.Sequence[object], *options: str, **variables: object) -> Result:
        play = {"hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}
        (self.path / "play.yml").write_text(yaml.safe_dump([play]))
        (self.path / "settings.yml").write_text(yaml.safe_dump(variables))
        command = [sys.executable, "-m", "ansible.cli.playbook", "play.yml", "-i", "localhost,", "-c", "local"]
        done = subprocess.run(
            [*command, "-e", "@settings.yml", "-e", f"ansible_python_interpreter={sys.executable}", *options],
            cwd=self.path,
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "HOME": str(self.path), "KUBECONFIG": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        output = " ".join((done.stdout + done.stderr).split())  # however the lines were broken
        recap = re.search(r"localhost : ok=\d+ changed=(\d+)", output)
        return Result(done.returncode != 0, output, int(recap[1]) if recap else 0)

    def render(self, *options: str, **variables: object) -> Result:
        role = {"name": "homecloud.k3s.local_dns", "tasks_from": "render"}
        settings = {"web_service_services": SERVICES, "traefik_address": "192.168.1.200", **variables}
        return self.play([{"ansible.builtin.import_role": role}], *options, **settings)

    def config(self, **variables: object) -> tuple[str, bool]:
        """The configuration of the server, and whether it is in force."""
        files = [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")]
        content = "{{ [__local_dns_config, __local_dns_in_force] | to_json }}"
        tasks = [{"ansible.builtin.include_vars": file, "name": "Have the variables of the role"} for file in files] + [
            {"ansible.builtin.copy": {"content": content, "dest": str(self.path / "config")}}
        ]
        (self.path / "templates").symlink_to(ROLE / "templates")
        given = {"__local_dns_reading": READING, "__local_dns_resolvers": RESOLVERS, **variables}
        result = self.play(tasks, **given)
        (self.path / "templates").unlink()
        assert not result.failed, result.output
        text, in_force = yaml.safe_load((self.path / "config").read_text())
        return str(text), bool(in_force)


@pytest.fixture(name="controller")
def controller_fixture(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def directives(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("form", ["dnsmasq", "unbound", "hosts"])
def test_the_file_for_another_server(controller: Controller, form: str) -> None:
    file = controller.path / "names"
    settings: dict[str, t.Any] = {"local_dns_file": str(file), "local_dns_format": form}
    assert controller.render("--check", **settings).changed == 1
    assert not file.exists()
    assert [controller.render(**settings).changed, controller.render(**settings).changed] == [1, 0]
    records = {"mysite.home.example": ["192.168.1.200"]}
    assert directives(file.read_text()) == _local_dns.local_dns_file(records, form).splitlines()
    assert [controller.render(local_dns_state="absent", **settings).changed for _time in range(2)] == [1, 0]
    assert not file.exists()


def test_no_file_is_asked_for(controller: Controller) -> None:
    result = controller.render()
    assert (result.failed, result.changed) == (False, 0)


def test_a_file_that_cannot_be_written(controller: Controller) -> None:
    file = controller.path / "names"
    records = {"*.apps.example": "192.168.1.200", "nas": "192.168.1"}
    result = controller.render(local_dns_file=str(file), local_dns_format="hosts", local_dns_records=records)
    assert result.failed
    assert "ERROR unwritable_record: A file of the form hosts cannot name all" in result.output
    assert (
        "ERROR invalid_record: A name cannot be served. seen: local_dns_records: nas: 192.168.1 is no" in result.output
    )
    assert not file.exists()


def test_traefik_is_not_there_yet(controller: Controller) -> None:
    """There is no kubeconfig either. A check goes on, and says what it has left out."""
    file = controller.path / "names"
    settings: dict[str, t.Any] = {
        "local_dns_file": str(file),
        "traefik_address": None,
        "local_dns_records": {"nas": "192.168.1.10"},
    }
    checked = controller.render("--check", "--diff", **settings)
    assert (checked.failed, checked.changed) == (False, 1)
    assert "Traefik has no address yet. These would lead to it once it has: mysite.home.example." in checked.output
    assert "host-record=nas,192.168.1.10" in checked.output
    assert controller.render(**settings).failed
    assert not file.exists()


def test_the_configuration_of_the_server(controller: Controller) -> None:
    settings: dict[str, t.Any] = {
        "web_service_services": SERVICES,
        "traefik_address": "192.168.1.200",
        "traefik_dashboard_host": "traefik.home.example",
    }
    text, in_force = controller.config(**settings)
    assert not in_force
    assert directives(text) == [
        "listen-address=192.168.1.102",
        "bind-dynamic",
        "no-hosts",
        "no-resolv",
        "pid-file=",
        "dns-loop-detect",
        "server=192.168.1.1",
        "local=/mysite.home.example/",
        "server=/*.mysite.home.example/#",
        "host-record=mysite.home.example,192.168.1.200",
        "local=/traefik.home.example/",
        "server=/*.traefik.home.example/#",
        "host-record=traefik.home.example,192.168.1.200",
    ]
    for started_with, is_same in ((text, True), (f"{text}#", False)):
        running = {IN_FORCE: {"sha256": hashlib.sha256(started_with.encode()).hexdigest()}}
        reading = {**READING, "files": running}
        assert controller.config(__local_dns_reading=reading, **settings) == (text, is_same)
