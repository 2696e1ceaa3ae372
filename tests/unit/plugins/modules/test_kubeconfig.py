# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import stat
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.homecloud.k3s.plugins.modules import kubeconfig

K3S_YAML = (Path(__file__).parent.parent / "data" / "k3s.yaml").read_text(encoding="utf-8")
SECRETS = re.findall(r"-data: (\S+)", K3S_YAML)
URL = "https://192.168.1.101:6443"
EXAMPLES = [task for task in yaml.safe_load(kubeconfig.EXAMPLES) if "homecloud.k3s.kubeconfig" in task]


class Run(t.Protocol):
    def __call__(self, **args: object) -> dict[str, t.Any]: ...


@pytest.fixture(name="run")
def run_fixture(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the module as Ansible does and return its result, which holds no secret."""

    def run(**args: object) -> dict[str, t.Any]:
        with patch_module_args(args), pytest.raises(SystemExit):
            kubeconfig.main()
        output = capfd.readouterr().out
        assert not [secret for secret in SECRETS if secret in output]
        return t.cast("dict[str, t.Any]", json.loads(output))

    return run


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".kube" / "config"


def test_a_cluster_comes_and_goes(run: Run, path: Path) -> None:
    present = {"context": "homecloud", "content": K3S_YAML, "server": URL}
    absent = {"context": "homecloud", "state": "absent"}
    assert run(**present, _ansible_check_mode=True)["changed"] is True
    assert not path.exists()
    for args, changed in ((present, True), (present, False), (absent, True), (absent, False)):
        assert run(**args, _ansible_check_mode=True)["changed"] is changed
        assert run(**args)["changed"] is changed
    assert yaml.safe_load(path.read_text())["contexts"] == []


def test_result(run: Run, path: Path) -> None:
    run(context="work", content=K3S_YAML)
    result = run(context="homecloud", content=K3S_YAML, server=URL)
    assert (result["path"], result["context"], result["server"]) == (str(path), "homecloud", URL)
    assert result["client_certificate_days_left"] > 365
    assert Path(result["backup_file"]).parent == path.parent
    assert yaml.safe_load(result["diff"]["before"]) == {"mode": "0600", "current-context": "work"}
    assert yaml.safe_load(result["diff"]["after"]) == {
        "mode": "0600",
        "current-context": "work",
        "cluster": {"certificate-authority-data": "hidden, new", "server": URL},
        "context": {"cluster": "homecloud", "user": "homecloud"},
        "user": {"client-certificate-data": "hidden, new", "client-key-data": "hidden, new"},
    }
    returned = yaml.safe_load(kubeconfig.RETURN)
    assert returned.keys() | {"changed", "diff"} <= result.keys()
    result = run(context="homecloud", state="absent")
    assert (result["server"], result["client_certificate_days_left"]) == (None, None)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"content": K3S_YAML}, "missing required arguments: context"),
        ({"context": "a"}, "state is present but all of the following are missing: content"),
        ({"context": "a", "content": ""}, "content:1: a kubeconfig must be a mapping"),
        ({"context": "a", "content": K3S_YAML.replace("\nusers:", "\n users:")}, "content:18: this is not YAML"),
        ({"context": "a", "content": K3S_YAML, "server": "192.168.1.101"}, "server must be a URL such as https://"),
        ({"context": "a", "content": K3S_YAML, "path": "/dev/null"}, "/dev/null is not a regular file"),
        ({"context": "a", "content": K3S_YAML, "path": "/dev/null/config"}, "Not a directory: '/dev/null/config'"),
        ({"context": "", "state": "absent"}, "context must not be empty"),
    ],
)
def test_failure(run: Run, path: Path, args: dict[str, object], problem: str) -> None:
    result = run(**args)
    assert result["failed"] is True
    assert problem in result["msg"]
    assert not path.parent.exists()


def test_failure_without_pyyaml(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "YAML_IMPORT_ERROR", "No module named 'yaml'")
    assert "Failed to import the required Python library (PyYAML)" in run(context="a", state="absent")["msg"]


def test_a_broken_file_stays_as_it_was(run: Run, path: Path) -> None:
    broken = K3S_YAML.replace("\nusers:", "\n users:")
    path.parent.mkdir()
    path.write_text(broken)
    assert run(context="homecloud", content=K3S_YAML)["msg"].startswith(f"{path}:18: this is not YAML")
    assert path.read_text() == broken


def test_examples(run: Run, path: Path) -> None:
    own_file = path.parent / "homecloud.yaml"
    seen = []
    for task in EXAMPLES:
        args = task["homecloud.k3s.kubeconfig"]
        if "content" in args:
            assert args["content"] == "{{ k3s_yaml.content | b64decode }}"
            args = {**args, "content": K3S_YAML}
        assert run(**args)["changed"] is True
        seen.append((path.exists(), own_file.exists(), len(yaml.safe_load(path.read_text())["contexts"])))
    assert seen == [(True, False, 1), (True, True, 1), (True, True, 0)]
    assert stat.S_IMODE(own_file.stat().st_mode) == 0o600
