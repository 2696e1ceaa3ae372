# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.homecloud.k3s.plugins.module_utils import _reading
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.modules import k3s_info

RETURNED = yaml.safe_load(k3s_info.RETURN)


class Run(t.Protocol):
    def __call__(self, **args: object) -> dict[str, t.Any]: ...


@pytest.fixture(name="run")
def run_fixture(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the module as Ansible does, on this host, and return its result."""

    def run(**args: object) -> dict[str, t.Any]:
        with patch_module_args(args), pytest.raises(SystemExit):
            k3s_info.main()
        return t.cast("dict[str, t.Any]", json.loads(capfd.readouterr().out))

    return run


def test_result(run: Run) -> None:
    result = run(_ansible_check_mode=True)
    assert result.pop("changed") is False
    result.pop("invocation", None)  # what ansible-core adds, where it does
    assert result.keys() == RETURNED.keys()
    assert result["hostname"] == os.uname().nodename
    for key, documented in RETURNED.items():
        kind = {"str": str, "int": int, "dict": dict, "list": list}[documented["type"]]
        assert isinstance(result[key], kind) or (key, result[key]) == ("default_route", None)
        if documented["type"] == "dict" and "contains" in documented and result[key]:
            assert result[key].keys() == documented["contains"].keys()
            assert key == "swap" or documented["sample"].keys() == documented["contains"].keys()


def test_options(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("a b")
    result = run(
        boot_files=[str(own)],
        data_dir=str(tmp_path),
        files=[str(own)],
        resolve=["127.0.0.1"],
        sysctls=["kernel.ostype"],
    )
    assert result["boot"]["words"] == ["a", "b"]
    assert result["disk"]["path"] == result["k3s"]["data_dir"] == str(tmp_path)
    assert result["files"][str(own)]["mode"].startswith("0")
    assert result["resolves"] == {"127.0.0.1": ["127.0.0.1"]}
    assert result["sysctls"] == {"kernel.ostype": "Linux"}


def test_no_secret_is_returned(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading, "Tree", lambda root: Tree(tmp_path))
    config = tmp_path / "etc/rancher/k3s/config.yaml"
    config.parent.mkdir(parents=True)
    (config.parent / "token").write_text("hunter2\n")
    secrets = [
        f"{key}: hunter2\n" for key in ("token", "agent-token", "datastore-endpoint", "vpn-auth", "etcd-s3-secret-key")
    ]
    for broken in ("", "{token: hunter2}\n", "token: 'hunter2\n", "hunter2\n"):
        config.write_text("".join(secrets) + broken)
        result = run()
        assert result["k3s"]["token"]["present"] is True
        assert bool(result["k3s"]["problems"]) is bool(broken)
        assert "hunter2" not in json.dumps(result)


def test_wrong_option(run: Run) -> None:
    result = run(no_such_option=True)
    assert result["failed"] is True
    assert "no_such_option" in result["msg"]


def test_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(5, "Input/output error", "/var/lib/rancher")

    monkeypatch.setattr(os, "statvfs", fail)
    result = run()
    assert (result["failed"], result["msg"]) == (True, "[Errno 5] Input/output error: '/var/lib/rancher'")
