# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes are destroyed, and come back from an archive; then k3s is removed from them, and has left nothing."""

from __future__ import annotations

import time
import typing as t

import pytest
from board import KEPT, becomes_whole, new_board
from leftovers import BY_THE_ROLE_NODE, of_k3s, state
from servers import SERVERS

if t.TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from leftovers import State
    from scenario import Controller, Kubectl, Lab

BACKUP, RESTORE, RESET = (f"playbooks/{name}.yml" for name in ("backup", "restore", "reset"))


def test_the_cluster_comes_back_onto_new_nodes(
    lab: Lab, controller: Controller, kubectl: Kubectl, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    kubectl("create", "configmap", "from-before")
    done = controller.play(BACKUP, [], {**KEPT, "backup_dir": str(tmp_path / "archives")})
    assert done.code == 0, done.end
    (archive,) = (tmp_path / "archives").iterdir()
    new_board()
    begun = time.monotonic()
    done = controller.play(RESTORE, [], {**KEPT, "restore_archive": str(archive), "restore_confirmed": True})
    assert done.code == 0, done.end
    record_property("seconds from bare nodes to the cluster as it was", round(time.monotonic() - begun))
    assert kubectl.get("configmap", "from-before")
    becomes_whole(lab, kubectl)


@pytest.mark.parametrize("new", [["server1"], SERVERS], ids=",".join)
def test_servers_are_bare_that_lead_the_others(
    new: list[str], lab: Lab, controller: Controller, kubectl: Kubectl, tmp_path: Path
) -> None:
    """Their disks are new, the other servers are stopped, and the agent is as it was."""
    done = controller.play(BACKUP, [], {**KEPT, "backup_dir": str(tmp_path / "archives")})
    assert done.code == 0, done.end
    (archive,) = (tmp_path / "archives").iterdir()
    for server in SERVERS:
        lab.sh(server, "k3s-uninstall.sh; rm -rf /etc/rancher" if server in new else "systemctl stop k3s")
    done = controller.play(RESTORE, [], {**KEPT, "restore_archive": str(archive), "restore_confirmed": True})
    assert done.code == 0, done.end
    becomes_whole(lab, kubectl)


def test_a_reset_leaves_the_nodes_as_they_were(lab: Lab, controller: Controller, bare: dict[str, State]) -> None:
    done = controller.play(RESET, [], {"reset_confirmed": True})
    assert done.code == 0, done.end
    for node in lab.nodes:
        now = state(lab, node)
        assert of_k3s(now, bare[node]) <= BY_THE_ROLE_NODE
        assert {key: now[key] for key in ("links", "rules")} == {key: bare[node][key] for key in ("links", "rules")}
