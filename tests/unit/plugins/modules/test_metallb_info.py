# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.modules import metallb_info as MODULE

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Api, Run

RETURNED = yaml.safe_load(MODULE.RETURN)
TASKS = [task for task in yaml.safe_load(MODULE.EXAMPLES) if "homecloud.k3s.metallb_info" in task]


@pytest.mark.usefixtures("api")
def test_the_result_is_as_documented(run: Run, shape: t.Callable[[object], object], tmp_path: Path) -> None:
    manifest = tmp_path / "metallb.yaml"
    manifest.write_text("")
    always = {name for name, field in RETURNED.items() if field["returned"] == "success"}
    compared = {name for name, field in RETURNED.items() if "manifest" in field["returned"]}
    for args, keys in (({}, always), ({"manifest": str(manifest)}, always | compared)):
        for example in TASKS:
            result = run(**example["homecloud.k3s.metallb_info"] or {}, **args)
            assert result.pop("changed") is False
            result.pop("invocation", None)  # what ansible-core adds, where it does
            result.pop("warnings", None)  # of tests that ran before: ansible-core keeps them for its process
            assert result.keys() == keys
            for key in keys:
                assert shape(result[key]) in (shape(RETURNED[key]["sample"]), shape([]), None), key


@pytest.mark.usefixtures("api")
def test_a_manifest_that_is_not_there(run: Run) -> None:
    result = run(manifest="/no/such/manifest.yaml")
    assert result["failed"]
    assert "/no/such/manifest.yaml" in result["msg"]


def test_a_cluster_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run(kubeconfig=str(tmp_path / "none"), context="none")
    assert result["failed"]
    assert result["diagnosis"][0]["code"] == "no_api_access"
    assert "kube-config" in result["msg"]


def test_what_is_waited_for_in_vain_is_explained(run: Run, api: Api) -> None:
    (controller,) = (thing for thing in api.things if thing["kind"] == "Deployment")
    controller["status"]["availableReplicas"] = 0
    result = run(wait_for="ready", wait_timeout=0)
    assert result["failed"]
    assert result["msg"].startswith("MetalLB is not ready after 0 s: controller 0/1.")
    assert [fault["code"] for fault in result["diagnosis"]] == ["pods_not_ready"]


def test_a_configuration_that_is_refused_is_explained(run: Run, api: Api) -> None:
    state = next(thing for thing in api.things if thing["kind"] == "ConfigurationState")
    state["status"] = {"result": "Invalid", "errorSummary": "pools overlap"}
    result = run(wait_for="configured", wait_timeout=0)
    (fault,) = result["diagnosis"]
    assert (fault["code"], fault["evidence"]) == (
        "configuration_refused",
        f"{state['metadata']['name']}: pools overlap",
    )
    assert "pools overlap" in result["msg"]


def test_addresses_in_use_are_waited_for(run: Run, api: Api) -> None:
    assert "default/mysite" in run(wait_for="unused", wait_timeout=0)["msg"]
    api.things = [thing for thing in api.things if thing["kind"] != "Service"]
    assert not run(wait_for="unused", wait_timeout=0).get("failed")


def test_an_api_that_is_away_is_waited_for_only_when_asked(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    api.away = True
    assert run()["diagnosis"][0]["code"] == "no_api_access"
    assert naps == []
