# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages that Ansible renders of what the module kube_path_info returns for captured rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import NODE, Captured

Thing = dict[str, t.Any]

COLLECTION: t.Final = Path(kube_path_info.__file__).parents[2]
TEMPLATE: t.Final = COLLECTION / "playbooks/templates/path.html.j2"
PLAYBOOK: t.Final = COLLECTION / "playbooks/path.yml"
# What names and comments may have in them. What it does, if it can, is to be seen.
_BREAK: t.Final = "document.title='broken'"
_MARKUP: t.Final = f"\"'></title></svg><script>{_BREAK}</script><img src=x onerror={_BREAK}>&amp;"
HOSTILE: t.Final = _MARKUP + "{{ 7*7 }}{% raw %}"


def returned(service: str, *, text: str = Captured().text, **options: object) -> Thing:
    """What the module returns for a Service by captured rules, or by those in text."""
    defaults = {name: option.get("default") for name, option in kube_path_info.ARGUMENT_SPEC.items()}
    node = {"ruleset": text, "local_addresses": [NODE[4]], "routes": [{"dst": "default", "dev": "eth0"}]}
    return kube_path_info.explain({**defaults, **node, "service": service, **options}, Tree(Path("/nowhere")))


def traced(result: Thing, *, differences: t.Sequence[str] = (), element: str = "") -> Thing:
    """The same with what the kernel has shown, and with an element in each step."""
    paths = [{**path, "steps": [{**step, "element": element} for step in path["steps"]]} for path in result["paths"]]
    steps = [{**step, "seen": 3} for step in paths[0]["steps"]]
    trace = {"seen": 3, "agrees": not differences, "steps": steps, "differences": list(differences)}
    made = {"tried": 3, "made": 2, "error": "timed out"}
    fronts = [path["frontend"] for path in paths]
    connections = [{"address": front["address"], "port": front["port"], **made} for front in fronts]
    return {**result, "paths": paths, "trace": trace, "connections": connections}


def hostile(thing: t.Any) -> t.Any:  # noqa: ANN401 -- any JSON
    """The same with markup in all texts that are not one of a few words."""
    if isinstance(thing, dict):
        words = ("verdict", "severity", "kind", "protocol")
        return {key: value if key in words else hostile(value) for key, value in thing.items()}
    if isinstance(thing, list):
        return [hostile(item) for item in thing]
    return thing + HOSTILE if isinstance(thing, str) else thing


def rendered(place: Path, results: t.Mapping[str, Thing], **variables: str) -> Path:
    """The page that the playbook writes, for what the module has returned on each node."""
    hosts = {"hosts": {name: {} for name in results}, "vars": {"ansible_connection": "local"}}
    (place / "hosts.json").write_text(json.dumps({"all": hosts}))
    (place / "results.json").write_text(json.dumps(results))
    page = place / "page.html"
    # Like those of a module, values that come from a file are no templates.
    read = f"{{{{ (lookup('ansible.builtin.file', '{place}/results.json') | from_json)[inventory_hostname] }}}}"
    tasks = [
        {"ansible.builtin.set_fact": {"path_info": read}},
        {"ansible.builtin.template": {"src": str(TEMPLATE), "dest": str(page), "mode": "0644"}, "run_once": True},
    ]
    own = yaml.safe_load(PLAYBOOK.read_text())[1]["vars"]["path_answers"]
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable, "path_answers": own, **variables},
        "tasks": tasks,
    }
    (place / "play.json").write_text(json.dumps([play]))
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", str(place / "play.json"), "-i", str(place / "hosts.json")],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION.parents[2]), "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return page
