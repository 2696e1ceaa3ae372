# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role kubeconfig, with this machine as controller, server and source of the releases."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import subprocess
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.modules import kubeconfig

ANSIBLE = {"ANSIBLE_COLLECTIONS_PATH": str(Path(kubeconfig.__file__).parents[5]), "ANSIBLE_PIPELINING": "1"}
K3S_DEFAULTS = yaml.safe_load((Path(__file__).parents[3] / "roles/k3s/defaults/main.yml").read_text())
K3S_YAML = (Path(__file__).parents[1] / "plugins/data/k3s.yaml").read_text(encoding="utf-8")
WORK = """\
clusters: [{name: work, cluster: {server: 'https://10.0.0.1:6443'}}]
contexts: [{name: work, context: {cluster: work, user: work}}]
current-context: work
users: [{name: work, user: {token: secret}}]
"""


@dataclass(frozen=True)
class Result:
    code: int
    output: str
    changed: int

    @property
    def failed(self) -> bool:
        return self.code != 0


@dataclass(frozen=True)
class Home:
    """The directory of a user who has a kubeconfig already, with the server's files and the releases in it too."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / ".kube/config"

    @property
    def kubectl(self) -> Path:
        return self.path / ".local/bin/kubectl"

    @property
    def k3s_yaml(self) -> Path:
        return self.path / "k3s.yaml"

    def release(self, version: str, program: bytes) -> Path:
        """Publish a kubectl for every platform."""
        release = self.path / "releases" / version
        for platform in ("linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"):
            directory = release / "bin" / platform
            directory.mkdir(parents=True)
            (directory / "kubectl").write_bytes(program)
            (directory / "kubectl.sha256").write_text(hashlib.sha256(program).hexdigest())
        return release

    def run(self, *options: str, tasks: str = "main", **variables: object) -> Result:
        role = {"name": "homecloud.k3s.kubeconfig", "tasks_from": tasks}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.import_role": role}]}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        groups = {"server": {"hosts": {"server1": {"ansible_host": "192.168.1.101", **variables}}}}
        inventory = {"all": {"hosts": {"localhost": {}}, "vars": local, "children": groups}}
        files = {"play.yml": [play], "hosts.yml": inventory, "settings.yml": self.settings(variables)}
        for name, content in files.items():
            (self.path / name).write_text(yaml.safe_dump(content))
        command = [sys.executable, "-m", "ansible.cli.playbook", "play.yml", "-i", "hosts.yml", "-e", "@settings.yml"]
        environment = {**os.environ, "HOME": str(self.path), **ANSIBLE}
        done = subprocess.run(
            [*command, *options], cwd=self.path, env=environment, capture_output=True, text=True, check=False
        )
        output = " ".join((done.stdout + done.stderr).split())  # however the lines were broken
        recap = re.search(r"localhost : ok=\d+ changed=(\d+)", output)
        return Result(done.returncode, output, int(recap[1]) if recap else 0)

    def settings(self, variables: dict[str, object]) -> dict[str, object]:
        own = {name: value for name, value in variables.items() if name.startswith("kubeconfig_")}
        places = {
            "__kubeconfig_source_path": str(self.k3s_yaml),
            "kubeconfig_kubectl_url": f"file://{self.path}/releases",
        }
        return {**places, **own}


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.config.parent.mkdir()
    home.config.write_text(WORK)
    home.config.chmod(0o600)
    home.k3s_yaml.write_text(K3S_YAML)
    return home


def content(path: Path) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", yaml.safe_load(path.read_text()))


def test_a_server_without_a_kubeconfig(home: Home) -> None:
    home.k3s_yaml.unlink()
    checked, done = home.run("--check"), home.run()
    assert (checked.failed, checked.changed) == (False, 0)
    assert done.failed
    for result in (checked, done):
        assert f"File not found: {home.k3s_yaml} (on server1)" in result.output
        assert "would be merged into ~/.kube/config as the context homecloud" in result.output
    assert home.config.read_text() == WORK


def test_the_way_of_a_cluster(home: Home) -> None:
    endpoint = {"k3s_api_endpoint": "fd00::101"}
    assert home.run("--check", **endpoint).changed == 1
    assert home.config.read_text() == WORK
    assert [home.run(**endpoint).changed, home.run(**endpoint).changed] == [1, 0]
    first = content(home.config)
    assert [cluster["cluster"]["server"] for cluster in first["clusters"]] == [
        "https://10.0.0.1:6443",
        "https://[fd00::101]:6443",
    ]

    # Any other certificate will do for the renewed one.
    authority = content(home.k3s_yaml)["clusters"][0]["cluster"]["certificate-authority-data"]
    renewed = {"client-certificate-data": authority, "client-key-data": "cmVuZXdlZA=="}
    home.k3s_yaml.write_text(
        yaml.safe_dump({**content(home.k3s_yaml), "users": [{"name": "default", "user": renewed}]})
    )
    result = home.run("-vvv", **endpoint)
    assert result.changed == 1
    for secret in (authority, base64.b64encode(home.k3s_yaml.read_bytes()).decode()):
        assert secret not in result.output
    after = content(home.config)
    assert after.pop("users") == [first.pop("users")[0], {"name": "homecloud", "user": renewed}]
    assert after == first
    assert stat.S_IMODE(home.config.stat().st_mode) == 0o600

    assert not home.kubectl.exists(), "nobody has asked for it"

    assert home.run(kubeconfig_state="absent").changed == 1
    assert content(home.config) == yaml.safe_load(WORK)


def test_kubectl_comes_with_the_kubeconfig_if_wanted(home: Home) -> None:
    home.release(K3S_DEFAULTS["k3s_version"].split("+")[0], b"the program")
    assert not home.run(kubeconfig_kubectl=True).failed
    assert home.kubectl.read_bytes() == b"the program"
    assert content(home.config)["clusters"][-1]["cluster"]["server"] == "https://192.168.1.101:6443"


def test_the_way_of_kubectl(home: Home) -> None:
    released = home.release("v1.36.2", b"the program")
    old, new = "v1.36.2+k3s1", "v1.37.0+k3s1"
    assert not home.run("--check", tasks="kubectl", k3s_version=old).failed
    assert not home.kubectl.exists()
    assert not home.run(tasks="kubectl", k3s_version=old).failed
    assert (home.kubectl.read_bytes(), stat.S_IMODE(home.kubectl.stat().st_mode)) == (b"the program", 0o755)

    home.kubectl.chmod(0o644)
    assert home.run(tasks="kubectl", k3s_version=old).changed == 1
    assert stat.S_IMODE(home.kubectl.stat().st_mode) == 0o755

    for program in released.glob("bin/*/*/kubectl"):
        program.unlink()  # so that nothing can fetch it again
    unchanged = home.run(tasks="kubectl", k3s_version=old)
    assert (unchanged.failed, unchanged.changed) == (False, 0)

    home.release("v1.37.0", b"the next program")
    assert not home.run(tasks="kubectl", k3s_version=new).failed
    assert home.kubectl.read_bytes() == b"the next program"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_another_program_stays(home: Home, kind: str) -> None:
    home.release("v1.36.2", b"the program")
    home.kubectl.parent.mkdir(parents=True)
    if kind == "file":
        home.kubectl.write_text("of the user")
    else:
        home.kubectl.symlink_to("/usr/bin/true")
    before = home.kubectl.lstat().st_mtime_ns, home.kubectl.read_bytes()
    result = home.run(tasks="kubectl", k3s_version="v1.36.2+k3s1")
    assert result.failed
    assert (
        "~/.local/bin/kubectl is there already, and it is not a kubectl that this role has put there" in result.output
    )
    assert (home.kubectl.lstat().st_mtime_ns, home.kubectl.read_bytes()) == before
    assert home.kubectl.is_symlink() is (kind == "link")


def test_a_program_that_is_not_the_released_one_is_not_put_there(home: Home) -> None:
    for program in home.release("v1.36.2", b"the program").glob("bin/*/*/kubectl"):
        program.write_bytes(b"another")
    result = home.run(tasks="kubectl", k3s_version="v1.36.2+k3s1")
    assert result.failed
    assert "checksum" in result.output
    assert not home.kubectl.exists()
