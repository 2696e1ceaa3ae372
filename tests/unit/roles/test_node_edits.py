# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role node does to files of the system, which it edits by regular expressions."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.plugins.filter.core import regex_escape

TASKS = Path(__file__).parents[3] / "roles/node/tasks"
FLAGS = ("cgroup_memory=1", "cgroup_enable=memory")


def edit(tasks: str, text: str, item: str = "") -> str:
    """TEXT after the one replacement in a file of tasks, done as ansible.builtin.replace does it."""
    (module,) = (
        task["ansible.builtin.replace"]
        for task in yaml.safe_load((TASKS / tasks).read_text())
        if "ansible.builtin.replace" in task
    )
    regexp = module["regexp"].replace("{{ item | regex_escape }}", t.cast("str", regex_escape(item)))
    return re.sub(regexp, module["replace"].replace("{{ item }}", item), text, flags=re.MULTILINE)


def with_flags(text: str) -> str:
    for flag in FLAGS:
        text = edit("boot_flags.yml", text, flag)
    return text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("console=tty1 rootwait\n", "console=tty1 rootwait cgroup_memory=1 cgroup_enable=memory\n"),
        ("console=tty1 rootwait", "console=tty1 rootwait cgroup_memory=1 cgroup_enable=memory"),
        ("rootwait \n\n", "rootwait cgroup_memory=1 cgroup_enable=memory \n\n"),
        ("cgroup_enable=memory rootwait\n", "cgroup_enable=memory rootwait cgroup_memory=1\n"),
        # A flag that only begins or ends like ours is another one.
        (
            "cgroup_enable=memory,cpuset xcgroup_memory=1\n",
            "cgroup_enable=memory,cpuset xcgroup_memory=1 cgroup_memory=1 cgroup_enable=memory\n",
        ),
    ],
)
def test_flags_are_appended_to_the_one_line(before: str, after: str) -> None:
    assert with_flags(before) == after
    assert with_flags(after) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/swapfile none swap sw 0 0\n", "# /swapfile none swap sw 0 0\n"),
        (
            "UUID=1 / ext4 defaults 0 1\n  /dev/sda2\tnone\tswap\tsw\n",
            "UUID=1 / ext4 defaults 0 1\n#   /dev/sda2\tnone\tswap\tsw\n",
        ),
        ("LABEL=swap none swap sw 0 0", "# LABEL=swap none swap sw 0 0"),
    ],
)
def test_swap_is_taken_out_of_fstab(before: str, after: str) -> None:
    assert edit("swap.yml", before) == after
    assert edit("swap.yml", after) == after


@pytest.mark.parametrize("line", ["# /swapfile none swap sw 0 0\n", "/dev/sda1 /swap ext4 defaults 0 2\n", "\n"])
def test_other_lines_of_fstab_stay(line: str) -> None:
    assert edit("swap.yml", line) == line
