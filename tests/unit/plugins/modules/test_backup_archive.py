# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.modules import backup_archive

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Run

MODULE = backup_archive  # what the fixture runs


@pytest.fixture(name="files")
def files_fixture(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/token").write_text("K10")
    return tmp_path / "files"


def test_what_is_packed_is_unpacked(run: Run, files: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "kept/home.tar", tmp_path / "out"
    out.mkdir()
    made = run(path=str(path), directory=str(files), manifest={"created": "now"}, encrypted=False)
    assert (made["changed"], made["path"], made["size"]) == (True, str(path), path.stat().st_size)
    read = run(path=str(path), state="read")
    assert (read["changed"], read["manifest"]) == (False, made["manifest"])
    assert run(path=str(path), state="unpacked", directory=str(out))["manifest"]["created"] == "now"
    assert (out / "token").read_text() == "K10"


def test_a_check_makes_nothing(run: Run, files: Path, tmp_path: Path) -> None:
    done = run(path=str(tmp_path / "kept/home.tar"), directory=str(files), encrypted=False, _ansible_check_mode=True)
    assert (done["changed"], done["manifest"], done["size"]) == (True, {}, 0)
    assert not (tmp_path / "kept").exists()


def test_a_refusal_names_the_archive_and_the_reason(run: Run, files: Path, tmp_path: Path) -> None:
    done = run(path=str(tmp_path / "home.tar.gpg"), directory=str(files))
    assert done["failed"]
    assert f"The archive {tmp_path}/home.tar.gpg cannot be made: there is no passphrase." in done["msg"]
    done = run(path=str(tmp_path / "nothing"), state="read")
    assert "is refused: [Errno 2]" in done["msg"]
