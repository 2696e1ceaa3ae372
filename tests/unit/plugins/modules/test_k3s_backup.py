# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.modules import k3s_backup

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Run

MODULE = k3s_backup  # what the fixture runs


def test_a_check_tells_what_there_is(run: Run, tmp_path: Path) -> None:
    for name in ("pvc-1", "before-restore-20261123T101416Z"):
        (tmp_path / "storage" / name).mkdir(parents=True)
    done = run(data_dir=str(tmp_path), _ansible_check_mode=True)
    assert not done["changed"]
    assert (done["volumes"], done["files"]) == ([str(tmp_path / "storage/pvc-1")], [])
    elsewhere = run(data_dir=str(tmp_path), storage_dir=str(tmp_path / "disk"), _ansible_check_mode=True)
    assert elsewhere["volumes"] == []


def test_a_place_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    done = run(data_dir=str(tmp_path), dest=str(tmp_path / "nothing"))
    assert done["failed"]
    assert str(tmp_path / "nothing") in done["msg"]
