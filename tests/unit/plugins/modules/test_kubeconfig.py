# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import ssl
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
OTHER = """\
contexts: [{name: work, context: {cluster: work, user: work-admin}}]
current-context: work
clusters: [{name: work, cluster: {server: 'https://10.0.0.1:6443'}}]
users: [{name: work-admin, user: {token: secret}}]
"""
EXAMPLES = [task for task in yaml.safe_load(kubeconfig.EXAMPLES) if "homecloud.k3s.kubeconfig" in task]


def with_certificate(data: str) -> str:
    return re.sub(r"(client-certificate-data:) .*", rf"\1 {data}", K3S_YAML)


def with_days_left(days: int) -> str:
    """A kubeconfig whose client certificate has nothing but dates."""

    def der(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days, minutes=1)
    dates = der(0x18, b"20260101000000Z") + der(0x18, f"{end:%Y%m%d%H%M%SZ}".encode())
    serial_algorithm_issuer = der(0x02, b"1") + der(0x30, b"") + der(0x30, b"")
    pem = ssl.DER_cert_to_PEM_cert(der(0x30, der(0x30, serial_algorithm_issuer + der(0x30, dates))))
    return with_certificate(base64.b64encode(pem.encode()).decode())


class Run(t.Protocol):
    def __call__(self, **args: object) -> dict[str, t.Any]: ...


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".kube" / "config"


@pytest.fixture(name="run")
def run_fixture(capfd: pytest.CaptureFixture[str], path: Path) -> Run:
    """Run the module as Ansible does, in a home of its own, and return its result, which holds no secret."""

    assert path.is_relative_to(Path.home()), "the home is not that of whoever runs the tests"

    def run(**args: object) -> dict[str, t.Any]:
        with patch_module_args(args), pytest.raises(SystemExit):
            kubeconfig.main()
        output = capfd.readouterr().out
        assert not [secret for secret in SECRETS if secret in output]
        return t.cast("dict[str, t.Any]", json.loads(output))

    return run


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


WRONG_ARGUMENTS = [
    ({"content": K3S_YAML}, "missing required arguments: context"),
    ({"context": "", "state": "absent"}, "context must not be empty"),
    ({"context": "work-admin", "content": K3S_YAML}, "config:4: the user work-admin belongs to the context work"),
    ({"context": "a"}, "state is present but all of the following are missing: content"),
    ({"context": "a", "content": ""}, "content:1: a kubeconfig must be a mapping"),
    ({"context": "a", "content": K3S_YAML.replace("\nusers:", "\n users:")}, "content:18: this is not YAML"),
    ({"context": "a", "content": "kind: Secret\n"}, "content:1: this is YAML, but no kubeconfig"),
    ({"context": "a", "content": OTHER.replace("work", "b", 1)}, "content:1: current-context must name a context"),
    (
        {"context": "a", "content": with_certificate("hunter2")},
        "content:21: client-certificate-data must be a certificate",
    ),
    ({"context": "a", "content": with_days_left(-1)}, "content: the client certificate has ended. Restart k3s"),
    ({"context": "a", "content": K3S_YAML, "server": "192.168.1.101"}, "server must be a URL such as https://"),
    ({"context": "a", "content": K3S_YAML, "server": "http://192.168.1.101"}, "server must be a URL such as https://"),
    ({"context": "a", "content": K3S_YAML, "server": "https://me:pass@k3s"}, "server must be a URL such as https://"),
    (
        {"context": "a", "content": K3S_YAML, "current": "perhaps"},
        "argument 'current' is of type str and we were unable",
    ),
    (
        {"context": "a", "content": K3S_YAML, "min_days": "a month"},
        "argument 'min_days' is of type str and we were unable",
    ),
    (
        {"context": "a", "content": K3S_YAML, "state": "gone"},
        "value of state must be one of: present, absent, got: gone",
    ),
    ({"context": "a", "content": K3S_YAML, "name": "b"}, "module: name. Supported parameters include: backup,"),
    ({"context": "a", "content": K3S_YAML, "path": "/dev/null"}, "/dev/null is not a regular file: name another path"),
    ({"context": "a", "content": K3S_YAML, "path": "/dev/null/config"}, "Not a directory: '/dev/null/config'"),
]


@pytest.mark.parametrize(("args", "problem"), WRONG_ARGUMENTS)
@pytest.mark.parametrize("check_mode", [False, True])
def test_wrong_arguments(run: Run, path: Path, args: dict[str, object], problem: str, check_mode: bool) -> None:
    path.parent.mkdir()
    path.write_text(OTHER)
    result = run(**args, _ansible_check_mode=check_mode)
    assert result["failed"] is True
    assert problem in result["msg"]
    assert path.read_text() == OTHER
    assert os.listdir(path.parent) == ["config"]


def test_failure_without_pyyaml(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeconfig, "YAML_IMPORT_ERROR", "No module named 'yaml'")
    assert "Failed to import the required Python library (PyYAML)" in run(context="a", state="absent")["msg"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (K3S_YAML.replace("\nusers:", "\n users:").encode(), "config:18: this is not YAML"),
        (b"password: hunter2\n", "config:1: this is YAML, but no kubeconfig"),
        (b"- hunter2\n", "config:1: a kubeconfig must be a mapping"),
        (b"kind: Config\n---\nkind: Config\n", "config:2: this is not YAML"),
        (b"kind: Config\nusers: [{name: a}, {name: a}]\n", "config:2: each entry of users needs a name"),
        (b"kind: Config\nusers: hunter2\n", "config:2: users must be a list"),
        (b"kind: Config\n# caf\xe9\n", "config:2: this is not text in UTF-8"),
    ],
)
@pytest.mark.parametrize("wanted", [{"content": K3S_YAML}, {"state": "absent"}], ids=["present", "absent"])
def test_a_broken_file_stays_as_it_was(
    run: Run, path: Path, broken: bytes, problem: str, wanted: dict[str, object]
) -> None:
    path.parent.mkdir()
    path.write_bytes(broken)
    result = run(context="homecloud", **wanted)
    assert result["msg"].startswith(str(path.parent))
    assert problem in result["msg"]
    assert "hunter2" not in json.dumps(result)
    assert path.read_bytes() == broken


@pytest.mark.parametrize(
    ("days_left", "min_days", "warned"), [(29, 30, True), (0, 30, True), (30, 30, False), (7, 0, False)]
)
def test_a_certificate_that_ends_soon(run: Run, days_left: int, min_days: int, warned: bool) -> None:
    result = run(context="homecloud", content=with_days_left(days_left), min_days=min_days)
    assert (result["changed"], result["client_certificate_days_left"]) == (True, days_left)
    warning = f"The client certificate of homecloud ends in {days_left} days. Restart k3s on the server"
    assert (warning in json.dumps(result.get("warnings"))) is warned


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
