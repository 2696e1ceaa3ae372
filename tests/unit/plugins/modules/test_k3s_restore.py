# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import tarfile
import typing as t

from ansible_collections.homecloud.k3s.plugins.modules import k3s_restore

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Run

MODULE = k3s_restore  # what the fixture runs


MOMENT = "20261123T101416Z"


def tar_of(data_dir: Path, file: Path) -> None:
    (data_dir / "server").mkdir(parents=True)
    (data_dir / "server/token").write_text("K10")
    with tarfile.open(file, "w:gz") as tar:
        tar.add(data_dir / "server")


def test_a_check_tells_what_is_in_the_way(run: Run, tmp_path: Path) -> None:
    tar_of(tmp_path / "k3s", tmp_path / "node.tar.gz")
    done = run(
        src=str(tmp_path / "node.tar.gz"),
        data_dir=str(tmp_path / "k3s"),
        leads=True,
        moment=MOMENT,
        _ansible_check_mode=True,
    )
    assert (done["changed"], done["moved"], done["aside"]) == (True, [str(tmp_path / "k3s/server/token")], [])
    assert (tmp_path / "k3s/server/token").exists()


def test_a_cut_file_is_refused(run: Run, tmp_path: Path) -> None:
    tar_of(tmp_path / "k3s", tmp_path / "node.tar.gz")
    data = (tmp_path / "node.tar.gz").read_bytes()
    (tmp_path / "node.tar.gz").write_bytes(data[:100])
    done = run(src=str(tmp_path / "node.tar.gz"), data_dir=str(tmp_path / "k3s"), moment=MOMENT)
    assert done["failed"]
    assert (tmp_path / "k3s/server/token").exists()
