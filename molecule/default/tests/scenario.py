# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab that Molecule has made, and playbooks as their user runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COLLECTION = Path(__file__).parents[3]
LAB = COLLECTION / "tests/lab/lab.py"


def wait_until(condition: Callable[[], object], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.5)


def running(line: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Lab:
    """A shell on the hosts of the lab that needs neither SSH nor the inventory."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def facts(self) -> dict[str, t.Any]:
        facts: dict[str, t.Any] = json.loads(self._run("status", "--json"))
        return facts

    @property
    def nodes(self) -> list[str]:
        return [name for name, host in self.facts["hosts"].items() if host["role"] in ("server", "agent")]

    def have_nodes(self, count: int) -> None:
        """Add nodes, which are bare, or remove the last ones."""
        self._run("up", "--nodes", str(count))

    def on(self, host: str, *command: str, stdin: str | None = None) -> str:
        return self._run("shell", host, "--", *command, stdin=stdin)

    def sh(self, host: str, script: str) -> str:
        return self.on(host, "sh", "-euc", script)

    def running(self, host: str, *command: str) -> subprocess.Popen[str]:
        """A command on a host, beside what else is done."""
        return running(self._line("shell", host, "--", *command))

    def address(self, host: str) -> str:
        return str(self.facts["hosts"][host]["address"])

    def _run(self, command: str, *arguments: str, stdin: str | None = None) -> str:
        line = self._line(command, *arguments)
        return subprocess.run(line, check=True, input=stdin, stdout=subprocess.PIPE, text=True, timeout=120).stdout

    def _line(self, command: str, *arguments: str) -> list[str]:
        return [str(LAB), command, "--name", self.name, *arguments]


@dataclass(frozen=True)
class Kubectl:
    """A client of the cluster that waits for nothing and survives the absence of its server."""

    program: Path
    kubeconfig: str

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        line = [str(self.program), f"--kubeconfig={self.kubeconfig}", "--request-timeout=5s", *words]
        return subprocess.run(line, check=True, input=stdin, stdout=subprocess.PIPE, text=True, timeout=30).stdout

    def status(self, kind: str, name: str) -> dict[str, t.Any]:
        """The status of an object; empty if there is no such object, or no answer."""
        try:
            return dict(json.loads(self("get", kind, name, "--output=json"))["status"])
        except subprocess.CalledProcessError:
            return {}

    def is_ready(self, kind: str, name: str) -> bool:
        conditions = self.status(kind, name).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@dataclass(frozen=True)
class Result:
    """How a playbook ended."""

    code: int
    output: str

    @property
    def changed(self) -> dict[str, int]:
        """The number of changes of each host."""
        return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=.* changed=(\d+)", self.output, re.M)}


@dataclass(frozen=True)
class Controller:
    """The machine from which the lab is made a cluster."""

    lab: Lab

    def site(self, *options: str, **variables: object) -> Result:
        return self.play("site.yml", options, variables)

    def play(
        self, playbook: str, options: Sequence[str], variables: Mapping[str, object], home: Path | None = None
    ) -> Result:
        line, environment = self._command(playbook, options, variables)
        environment |= {"HOME": str(home)} if home else {}
        done = subprocess.run(
            line, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout)

    def site_killed_at(self, task: str, *options: str, after: float = 0, **variables: object) -> None:
        """A run that is cut off while this task goes on, like one whose controller loses power."""
        line, environment = self._command("site.yml", options, variables)
        with subprocess.Popen(
            line, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:
            assert run.stdout
            output = []
            for text in run.stdout:
                output.append(text)
                if text.startswith("TASK [") and f"{task}]" in text:
                    time.sleep(after)
                    # Stopped first, it starts no process that is not seen. Those it has are in sessions of their own.
                    run.send_signal(signal.SIGSTOP)
                    for pid in family(run.pid):
                        os.kill(pid, signal.SIGKILL)
                    break
            else:
                raise AssertionError("".join(output))

    def _command(
        self, playbook: str, options: Sequence[str], variables: Mapping[str, object]
    ) -> tuple[list[str], dict[str, str]]:
        program = Path(sys.executable).with_name("ansible-playbook")
        line = [str(program), playbook, f"--inventory={self.lab.facts['paths']['inventory']}", *options]
        line += [f"--extra-vars={json.dumps(variables)}"] if variables else []
        plain = {name: value for name, value in os.environ.items() if name != "ANSIBLE_FORCE_COLOR"}
        return line, {**plain, "ANSIBLE_NOCOLOR": "1"}


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]
