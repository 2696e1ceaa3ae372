# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three servers and an agent that stand for the board of a home."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

from homelab.settings import LAB_SOURCE
from homelab.shell import run
from scenario import COLLECTION, Lab, wait_until
from servers import SERVERS, voters

if t.TYPE_CHECKING:
    from scenario import Kubectl

NAME = "soak"
SCENARIO = COLLECTION / "molecule/ha/group_vars/all.yml"
KEPT = {"backup_passphrase": "cloudberry-9137"}


def new_board() -> Lab:
    """Bare nodes; those that were there are gone with their disks."""
    no_board()
    run([LAB_SOURCE / "lab.py", "up", "--name", NAME, "--nodes", "4", "--servers", "3"])
    lab = Lab(NAME)
    shutil.copy(SCENARIO, Path(lab.facts["paths"]["inventory"], "group_vars/all/scenario.yml"))
    return lab


def no_board() -> None:
    run([LAB_SOURCE / "lab.py", "down", "--name", NAME])


def is_whole(lab: Lab, kubectl: Kubectl) -> bool:
    """Whether all servers vote, all nodes are Ready, and the page is there."""
    return (
        voters(kubectl) == set(SERVERS)
        and all(kubectl.is_ready("node", node) for node in lab.nodes)
        and lab.has_page(f"http://{kubectl.address('mysite')}/")
    )


def becomes_whole(lab: Lab, kubectl: Kubectl) -> None:
    wait_until(lambda: is_whole(lab, kubectl), within=180)
