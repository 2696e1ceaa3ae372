# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from playbook_run import BenchError, read, run, spans

BEGIN, END = (datetime.fromisoformat(f"2026-11-22T06:10:{second}+00:00") for second in ("00", "10"))
OUTPUT = """\
[WARNING]: something else
{"_event":"v2_playbook_on_play_start","_timestamp":"2026-11-22T06:10:01Z","play":{"name":"Nodes"}}
{"_event":"v2_playbook_on_task_start","_timestamp":"2026-11-22T06:10:02Z","hosts":{},"task":{"name":"node : Load"}}
{"_event":"v2_runner_on_ok","_timestamp":"2026-11-22T06:10:03Z","hosts":{"a":{"changed":true}},"task":{}}
{"_event":"v2_runner_on_ok","_timestamp":"2026-11-22T06:10:04Z","hosts":{"b":{"changed":false}},"task":{}}
{"_event":"v2_playbook_on_handler_task_start","_timestamp":"2026-11-22T06:10:05Z","hosts":{},"task":{"name":"Restart"}}
{"_event":"v2_runner_on_skipped","_timestamp":"2026-11-22T06:10:08Z","hosts":{"a":{"skipped":true}},"task":{}}
{"_event":"v2_playbook_on_stats","_timestamp":"2026-11-22T06:10:09Z","stats":{}}
"""


def test_spans() -> None:
    found = spans(read(OUTPUT), BEGIN, END)
    assert [(span.play, span.role, span.task, span.seconds, span.changed) for span in found] == [
        ("start of Ansible", "", "", 1, []),
        ("Nodes", "", "", 1, []),
        ("Nodes", "node", "Load", 3, ["a"]),
        ("Nodes", "", "Restart", 4, []),
        ("end of Ansible", "", "", 1, []),
    ]
    assert sum(span.seconds for span in found) == 10


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def test_run(tmp_path: Path) -> None:
    reason = "needs the callback of the collection ansible.posix, which .venv has and ansible-test has not"
    pytest.importorskip("ansible_collections.ansible.posix.plugins.callback.jsonl", reason=reason)
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = write(tmp_path / "hosts.yml", {"all": {"hosts": {"a": {}, "b": {}}, "vars": local}})
    tasks = [
        {"name": "Say it", "debug": {"msg": "it"}},
        {"name": "Change it", "debug": {"msg": "it"}, "changed_when": "inventory_hostname == 'a'"},
        {"name": "Skip it", "debug": {"msg": "it"}, "when": "inventory_hostname == 'a'"},
        {"name": "Fail", "fail": {"msg": "as wished"}, "when": "wish | default(false)"},
    ]
    playbook = str(write(tmp_path / "play.yml", [{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    done = run(playbook, inventory)
    assert done.tasks == 4
    assert [done.results(kind) for kind in ("ok", "changed", "skipped")] == [5, 1, 3]
    assert (done.hosts["b"]["ok"], done.hosts["b"]["skipped"]) == (2, 2)
    assert [(span.task, span.changed) for span in done.spans if span.changed] == [("Change it", ["a"])]
    assert done.seconds == pytest.approx(sum(span.seconds for span in done.spans))
    with pytest.raises(BenchError, match="ended with 2:") as failure:
        run(playbook, inventory, '--extra-vars={"wish": true}')
    assert sorted(str(failure.value).splitlines()[1:]) == ["a: Fail: as wished", "b: Fail: as wished"]
