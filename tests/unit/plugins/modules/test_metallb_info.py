# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.homecloud.k3s.plugins.modules import metallb_info
from kubernetes.dynamic.exceptions import ResourceNotFoundError

DATA = Path(__file__).parents[1] / "data/metallb.yaml"
RETURNED = yaml.safe_load(metallb_info.RETURN)
(EXAMPLE,) = (task for task in yaml.safe_load(metallb_info.EXAMPLES) if "homecloud.k3s.metallb_info" in task)
Thing = dict[str, t.Any]


@dataclass(frozen=True)
class Answer:
    content: Thing

    def to_dict(self) -> Thing:
        return self.content


class Client:
    """An API with these objects, by the client's own interface."""

    def __init__(self) -> None:
        self.things: list[Thing] = yaml.safe_load(DATA.read_text(encoding="utf-8"))["items"]

    def resource(self, kind: str, api_version: str) -> list[Thing]:
        found = [thing for thing in self.things if (thing["kind"], thing["apiVersion"]) == (kind, api_version)]
        if not found:
            raise ResourceNotFoundError(f"no matches for {kind}")
        return found

    def get(self, resource: list[Thing], name: str = "", namespace: str = "") -> Answer:
        items = [
            thing
            for thing in resource
            if thing["metadata"].get("namespace", "") in ("", namespace or thing["metadata"].get("namespace"))
        ]
        return Answer(next(item for item in items if item["metadata"]["name"] == name) if name else {"items": items})


class Run(t.Protocol):
    def __call__(self, **args: object) -> Thing: ...


@pytest.fixture(name="client")
def client_fixture(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(metallb_info, "get_api_client", lambda module: client)
    return client


@pytest.fixture(name="run")
def run_fixture(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the module as Ansible does, and return its result."""

    def run(**args: object) -> Thing:
        with patch_module_args(args), pytest.raises(SystemExit):
            metallb_info.main()
        return t.cast("Thing", json.loads(capfd.readouterr().out))

    return run


@pytest.mark.usefixtures("client")
def test_the_result_is_as_documented(run: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "metallb.yaml"
    manifest.write_text("")
    compared = {name for name, field in RETURNED.items() if "manifest" in field["returned"]}
    for args, keys in (({}, RETURNED.keys() - compared), ({"manifest": str(manifest)}, RETURNED.keys())):
        result = run(**EXAMPLE["homecloud.k3s.metallb_info"] or {}, **args)
        assert result.pop("changed") is False
        result.pop("invocation", None)  # what ansible-core adds, where it does
        result.pop("warnings", None)  # of tests that ran before: ansible-core keeps them for its process
        assert result.keys() == keys
        for key in keys:
            assert shape(result[key]) in (shape(RETURNED[key]["sample"]), shape([]), None), key


def shape(value: object) -> object:
    """The keys of mappings, and what is in the first of a list."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


@pytest.mark.usefixtures("client")
def test_a_manifest_that_is_not_there(run: Run) -> None:
    result = run(manifest="/no/such/manifest.yaml")
    assert result["failed"]
    assert "/no/such/manifest.yaml" in result["msg"]


def test_a_cluster_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run(kubeconfig=str(tmp_path / "none"), context="none")
    assert result["failed"]
    assert "kube-config" in result["msg"]
