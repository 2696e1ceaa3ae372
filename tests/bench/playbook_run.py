# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a playbook: how long it took, and what Ansible was doing meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

COLLECTION = Path(__file__).resolve().parents[2]

Event = dict[str, Any]  # as the callback ansible.posix.jsonl prints it, one a line

TASK_STARTS = ("v2_playbook_on_task_start", "v2_playbook_on_handler_task_start")
FAILURES = ("v2_runner_on_failed", "v2_runner_on_unreachable")


class BenchError(Exception):
    """What is wrong, where, and what to do about it."""


@dataclass
class Span:
    """What Ansible did from the start of one thing to the start of the next: a run's spans add up to its time."""

    play: str
    role: str
    task: str  # empty before the play's first task
    begin: datetime
    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)  # the hosts that the task changed

    @classmethod
    def of_task(cls, play: str, name: str, begin: datetime) -> Span:
        role, in_role, task = name.partition(" : ")
        return cls(play, role, task, begin) if in_role else cls(play, "", name, begin)


@dataclass(frozen=True)
class Run:
    """One run of a playbook."""

    load: float  # of the machine, over the minute before the run
    seconds: float
    tasks: int
    hosts: dict[str, dict[str, int]]  # how many tasks were ok, changed, skipped and so on, as in Ansible's recap
    spans: list[Span]

    def results(self, kind: str) -> int:
        return sum(counts[kind] for counts in self.hosts.values())


def run(playbook: str, inventory: Path, *options: str) -> Run:
    """Run a playbook of the collection as on the first run of a day: no connection is open yet."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), playbook, f"--inventory={inventory}", *options]
    with tempfile.TemporaryDirectory(prefix="bench-") as connections:
        callback = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl", "ANSIBLE_SSH_CONTROL_PATH_DIR": connections}
        environment = {**os.environ, **callback}
        load, begin = os.getloadavg()[0], datetime.now(timezone.utc)
        done = subprocess.run(command, cwd=COLLECTION, env=environment, capture_output=True, text=True, check=False)
        end = datetime.now(timezone.utc)
    events = read(done.stdout)
    if done.returncode:
        reason = failures(events) or done.stderr.strip()
        raise BenchError(f"{' '.join(command)} ended with {done.returncode}:\n{reason}")
    tasks = sum(event["_event"] in TASK_STARTS for event in events)
    return Run(load, (end - begin).total_seconds(), tasks, events[-1]["stats"], spans(events, begin, end))


def read(output: str) -> list[Event]:
    """The events in the output, which may have other lines too."""
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"_event":')]


def spans(events: Iterable[Event], begin: datetime, end: datetime) -> list[Span]:
    """All that was done from BEGIN to END."""
    found = [Span("start of Ansible", "", "", begin)]
    for event in events:
        kind, when = event["_event"], datetime.fromisoformat(event["_timestamp"])
        if kind == "v2_playbook_on_play_start":
            found.append(Span(event["play"]["name"], "", "", when))
        elif kind in TASK_STARTS:
            found.append(Span.of_task(found[-1].play, event["task"]["name"], when))
        elif kind == "v2_playbook_on_stats":
            found.append(Span("end of Ansible", "", "", when))
        else:
            found[-1].changed += [host for host, result in event["hosts"].items() if result.get("changed")]
    for span, until in zip(found, [span.begin for span in found[1:]] + [end]):
        span.seconds = (until - span.begin).total_seconds()
    return found


def failures(events: Iterable[Event]) -> str:
    """What failed on which host."""

    def lines() -> Iterator[str]:
        for event in events:
            if event["_event"] in FAILURES:
                for host, result in event["hosts"].items():
                    yield f"{host}: {event['task']['name']}: {result.get('msg', 'no message')}"

    return "\n".join(lines())
