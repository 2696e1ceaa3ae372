# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All servers go back to an archive, and are a cluster again, though the first one has lost all it had."""

from __future__ import annotations

import typing as t

import pytest
from servers import SERVERS, voters

if t.TYPE_CHECKING:
    from pathlib import Path

    from scenario import Controller, Kubectl, Lab


@pytest.mark.soak
def test_a_snapshot_of_etcd_brings_all_servers_back(
    lab: Lab, controller: Controller, kubectl: Kubectl, tmp_path: Path
) -> None:
    kept = {"backup_dir": str(tmp_path / "kept"), "backup_passphrase": "cloudberry-9137"}
    done = controller.play("playbooks/backup.yml", [], kept)
    assert done.code == 0, done.end
    (archive,) = (tmp_path / "kept").iterdir()
    assert "homecloud-backup" not in lab.on("server1", "k3s", "etcd-snapshot", "ls")
    kubectl("delete", "deployment", "mysite")
    kubectl("create", "configmap", "later")
    lab.sh("server1", "k3s-uninstall.sh; rm -rf /etc/rancher")
    given = {**kept, "restore_archive": str(archive), "restore_confirmed": True}
    done = controller.play("playbooks/restore.yml", [], given)
    assert done.code == 0, done.end
    assert voters(kubectl) == set(SERVERS)
    assert kubectl.get("deployment", "mysite")
    assert not kubectl.get("configmap", "later")
    assert lab.has_page(f"http://{kubectl.address('mysite')}/")
    # What was replaced is kept.
    assert lab.sh("server2", "cd /var/lib/rancher/k3s/before-restore-*; find . -path '*/db/etcd'").strip()
