# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The README of the role preflight lists what the role finds, and its data agree with those of other roles."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight import ERRORS, WARNINGS, Check
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_host import ARCHITECTURES

ROLES = Path(__file__).parents[3] / "roles"


def row(check: Check) -> str:
    description = re.sub(r"C[(](.+?)[)]", r"`\1`", check.__doc__ or "")
    return f"| `{check.__name__}` | {description} |"


def test_readme_lists_all_faults() -> None:
    head = ["| code | what is wrong |", "|---|---|"]
    tables = [line for line in (ROLES / "preflight/README.md").read_text().splitlines() if line.startswith("|")]
    assert tables == [*head, *map(row, ERRORS), *head, *map(row, WARNINGS)]


def test_machines_are_those_that_k3s_is_released_for() -> None:
    variables = yaml.safe_load((ROLES / "k3s/vars/main.yml").read_text())
    assert sorted(ARCHITECTURES) == sorted(variables["__k3s_architectures"])
