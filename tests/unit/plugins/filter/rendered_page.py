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

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import NODE, Captured

Thing = dict[str, t.Any]

COLLECTION: t.Final = Path(kube_path_info.__file__).parents[2]
TEMPLATE: t.Final = COLLECTION / "playbooks/templates/path.html.j2"


def returned(service: str, *, text: str = Captured().text, **options: object) -> Thing:
    """What the module returns for a Service by captured rules, or by those in text."""
    defaults = {name: option.get("default") for name, option in kube_path_info.ARGUMENT_SPEC.items()}
    node = {"ruleset": text, "local_addresses": [NODE[4]], "routes": [{"dst": "default", "dev": "eth0"}]}
    return kube_path_info.explain({**defaults, **node, "service": service, **options}, Tree(Path("/nowhere")))


def rendered(place: Path, results: t.Mapping[str, Thing], **variables: str) -> Path:
    """The page that the playbook writes, for what the module has returned on each node."""
    hosts = {name: {"path_info": result} for name, result in results.items()}
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": {"ansible_connection": "local"}}}))
    page = place / "page.html"
    task = {
        "ansible.builtin.template": {"src": str(TEMPLATE), "dest": str(page), "mode": "0644"},
        "run_once": True,
        "vars": {"ansible_python_interpreter": sys.executable, **variables},
    }
    (place / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
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
