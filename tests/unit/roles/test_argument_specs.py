# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role's defaults and its argument specs say the same, and a README says what it is for."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parent.parent for path in Path(__file__).parents[3].glob("roles/*/tasks/main.yml"))

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def defaults(role: Path) -> dict[str, t.Any]:
    return yaml.safe_load((role / "defaults/main.yml").read_text()) or {}


def specs(role: Path) -> dict[str, dict[str, t.Any]]:
    """The options of each entry point."""
    content = yaml.safe_load((role / "meta/argument_specs.yml").read_text())
    return {entry_point: spec.get("options", {}) for entry_point, spec in content["argument_specs"].items()}


def test_every_default_is_specified(role: Path) -> None:
    specified = {option for options in specs(role).values() for option in options}
    assert sorted(defaults(role).keys() - specified) == []


def test_specified_defaults_are_the_defaults(role: Path) -> None:
    for entry_point, options in specs(role).items():
        specified = {o: spec.get("default", "no default") for o, spec in options.items() if not spec.get("required")}
        assert specified == {option: defaults(role).get(option, "no default") for option in specified}, entry_point


def test_required_options_have_no_default(role: Path) -> None:
    for entry_point, options in specs(role).items():
        required = {option for option, spec in options.items() if spec.get("required")}
        assert sorted(required & defaults(role).keys()) == [], entry_point


def test_variables_have_the_prefix_of_the_role(role: Path) -> None:
    variables = {*defaults(role), *(option for options in specs(role).values() for option in options)}
    assert [variable for variable in sorted(variables) if not variable.startswith(f"{role.name}_")] == []


def test_every_entry_point_has_tasks(role: Path) -> None:
    assert [name for name in specs(role) if not (role / f"tasks/{name}.yml").is_file()] == []


def test_readme_names_the_role(role: Path) -> None:
    assert f"homecloud.k3s.{role.name}" in (role / "README.md").read_text()
