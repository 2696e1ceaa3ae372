# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit, command, units

CAPTURED = Path(__file__).parent.parent / "data/nodes/debian-12-container/output/systemctl"


def test_command() -> None:
    assert command(("k3s", "chrony"))[-2:] == ("k3s.service", "chrony.service")


def test_units() -> None:
    assert units(CAPTURED.read_text()) == {
        "k3s": Unit(loaded=True, enabled=True, active="active", needs_reload=False, started=12028.928783)
    }
    assert units("") == {}


def shown(**properties: str) -> str:
    return "\n".join(
        f"{name}={value}" for name, value in {"Id": "a.service", "LoadState": "loaded", **properties}.items()
    )


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"UnitFileState": "enabled"}, Unit(loaded=True, enabled=True)),
        ({"UnitFileState": "disabled", "WantedBy": "other.service"}, Unit(loaded=True)),
        ({"UnitFileState": "generated", "WantedBy": "multi-user.target"}, Unit(loaded=True, enabled=True)),
        ({"UnitFileState": "generated", "WantedBy": ""}, Unit(loaded=True)),
        (
            {"ActiveState": "activating", "ExecMainStartTimestampMonotonic": "5000000"},
            Unit(loaded=True, active="activating", started=5.0),
        ),
        ({"ActiveState": "failed", "ExecMainStartTimestampMonotonic": "5"}, Unit(loaded=True, active="failed")),
        ({"ActiveState": "active", "ExecMainStartTimestampMonotonic": "0"}, Unit(loaded=True, active="active")),
        ({"NeedDaemonReload": "yes"}, Unit(loaded=True, needs_reload=True)),
    ],
)
def test_unit(properties: dict[str, str], expected: Unit) -> None:
    assert units(shown(**properties)) == {"a": expected}


@pytest.mark.parametrize("properties", [{"LoadState": "masked"}, {"LoadState": "not-found"}, {"Id": "a.socket"}])
def test_no_unit(properties: dict[str, str]) -> None:
    assert units(shown(**properties)) == {}
