# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each command of the guides is run as it stands there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from contextlib import nullcontext
from itertools import groupby
from pathlib import Path

import pytest
from board import becomes_whole, put_back_older, switched_off_by_itself
from scenario import COLLECTION

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab

SETTINGS = "# group_vars/all.yml\n"
YES = {f"{playbook}_confirmed": True for playbook in ("remove_node", "restore", "shutdown", "upgrade")}


class Step(t.NamedTuple):
    """What a guide has in one go: settings for the inventory, and what is typed then."""

    settings: str
    script: str


def steps(guide: str) -> Iterator[Step]:
    lines = Path(COLLECTION, "docs", guide).read_text().splitlines(keepends=True)
    settings = ""
    for is_code, block in groupby(lines, lambda line: line.startswith("    ")):
        text = "".join(line[4:] for line in block) if is_code else ""
        if text.startswith(SETTINGS):
            settings = text
        elif text:
            yield Step(settings, text)
            settings = ""


def first_line(step: Step) -> str:
    return step.script.partition("\n")[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def followed(lab: Lab, kubectl: Kubectl) -> Iterator[Path]:
    """The settings of the guides, which go before those of the scenario."""
    settings = Path(lab.facts["paths"]["inventory"], "group_vars/all/the_guide.yml")
    yield settings
    settings.unlink()
    put_back_older(lab, kubectl)


@pytest.fixture(autouse=True)
def well(controller: Controller, lab: Lab, kubectl: Kubectl) -> Iterator[None]:
    """All nodes are there, whatever a command has done."""
    yield
    done = controller.site()
    assert done.code == 0, done.end
    becomes_whole(lab, kubectl)


@pytest.mark.parametrize("step", [*steps("backup.md"), *steps("operations.md")], ids=first_line)
def test_the_command_does_what_it_shall(step: Step, lab: Lab, kubectl: Kubectl, home: Path, followed: Path) -> None:
    with followed.open("a") as file:
        file.write(step.settings.replace("192.168.1.", lab.at(0).removesuffix("0")))
    archives = sorted(home.glob(".local/share/homecloud.k3s/*/backups/*"))
    script = step.script.replace("node4", "agent1").replace("node5", "agent1")
    script = script.replace("FILE", str(archives[-1]) if archives else "FILE")
    script = script.replace("ansible-playbook ", f"ansible-playbook -e '{json.dumps(YES)}' ")
    programs = [str(kubectl.program.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    with switched_off_by_itself(lab) if "k3s.shutdown" in script else nullcontext():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=Path(lab.facts["paths"]["inventory"]).parent,
            env={
                **os.environ,
                "HOME": str(home),
                "PATH": os.pathsep.join(programs),
                "KUBECONFIG": kubectl.kubeconfig,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTION / ".collections"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
