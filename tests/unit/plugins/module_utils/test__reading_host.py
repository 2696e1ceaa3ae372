# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_host import (
    Memory,
    OperatingSystem,
    disk,
    memory,
    operating_system,
    synchronized,
    time_service,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

ACTIVE, INACTIVE = Unit(loaded=True, active="active"), Unit(loaded=True)


def test_operating_system() -> None:
    text = 'NAME=Raspbian\nID=raspbian\nID_LIKE="debian other"\nVERSION_ID="12"\nPRETTY_NAME=\'Raspbian 12\' # new\n'
    assert operating_system(text) == OperatingSystem("raspbian", ["debian", "other"], "12", "Raspbian 12")


def test_memory() -> None:
    assert memory("MemTotal:        3880524 kB\nHugePages_Total:       0\nMemAvailable:    3492120 kB\n") == Memory(
        3789, 3410
    )
    assert memory("") == Memory(0, 0)


def test_disk(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    found = disk(Tree(tmp_path), "/var/lib/rancher/k3s")
    usage = shutil.disk_usage(tmp_path)
    assert found.path == "/var/lib"
    assert found.total_mib == usage.total // 2**20
    assert found.free_mib == pytest.approx(usage.free // 2**20, abs=1024)


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({}, ""),
        ({"chrony": ACTIVE}, "chrony"),
        ({"systemd-timesyncd": INACTIVE, "ntpsec": ACTIVE}, "ntpsec"),
        ({"systemd-timesyncd": INACTIVE}, ""),
        ({"k3s": ACTIVE}, ""),
    ],
)
def test_time_service(units: dict[str, Unit], expected: str) -> None:
    assert time_service(units) == expected


@pytest.mark.skipif(shutil.which("timedatectl") is None, reason="there is no timedatectl to compare with")
def test_synchronized_as_timedatectl_says() -> None:
    shown = subprocess.run(
        ["timedatectl", "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True, check=False
    )
    if shown.returncode:
        pytest.skip(f"timedatectl: {shown.stderr.strip()}")
    assert synchronized() == (shown.stdout.strip() == "yes")


@pytest.mark.parametrize(
    ("state", "error", "expected"), [(0, 15_999_999, True), (5, 16_000_000, False), (-1, 0, False)]
)
def test_synchronized(monkeypatch: pytest.MonkeyPatch, state: int, error: int, expected: bool) -> None:
    class Library:
        def adjtimex(self, timex: t.Any) -> int:  # noqa: ANN401
            timex._obj[3] = error
            return state

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert synchronized() is expected


def test_synchronized_without_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: os)
    assert synchronized() is False
