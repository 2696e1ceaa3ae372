# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The examples in the documentation of every filter run, and give what is documented."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.filter import differences

FILTERS = sorted(path.stem for path in Path(differences.__file__).parent.glob("*.py") if path.stem != "__init__")


def documentation(name: str, part: str) -> t.Any:  # noqa: ANN401 -- any YAML
    module = importlib.import_module(f"ansible_collections.homecloud.k3s.plugins.filter.{name}")
    return yaml.safe_load(getattr(module, part))


@pytest.fixture(name="results", scope="module")
def results_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, t.Any]:
    """What each example shows, by its name."""
    place = tmp_path_factory.mktemp("examples")
    examples = {task["name"]: task for name in FILTERS for task in documentation(name, "EXAMPLES")}
    tasks = [
        {
            "name": name,
            "ansible.builtin.copy": {"content": "{{ example | to_json }}", "dest": str(place / name)},
            "vars": {**task.get("vars", {}), "example": task["ansible.builtin.debug"]["msg"]},
        }
        for name, task in examples.items()
    ]
    playbook = place / "examples.yml"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ansible.cli.playbook",
            str(playbook),
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(Path(differences.__file__).parents[5]),
            "HOME": str(place),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((place / name).read_text()) for name in examples}


@pytest.mark.parametrize("name", FILTERS)
def test_examples_give_what_is_documented(name: str, results: dict[str, t.Any]) -> None:
    documented = documentation(name, "RETURN")["_value"]
    for task in documentation(name, "EXAMPLES"):
        value = results[task["name"]]
        assert type(value).__name__ == documented["type"], task["name"]
        if "sample" in documented:
            assert shape(value) == shape(documented["sample"]), task["name"]


def shape(value: object) -> object:
    """The keys of mappings, and what is in the first of a list: a sample may say other words than an example."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list) and value:
        return [shape(value[0])]
    return None
