# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three servers and an agent that stand for the board of a home."""

from __future__ import annotations

import shutil
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from homelab.settings import K3S_OLDER as OLDER
from homelab.settings import LAB_SOURCE
from homelab.shell import run
from scenario import COLLECTION, Lab, wait_until
from servers import SERVERS, voters

if t.TYPE_CHECKING:
    from collections.abc import Iterator

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


def versions(kubectl: Kubectl) -> set[str]:
    return {node["status"]["nodeInfo"]["kubeletVersion"] for node in kubectl.objects("nodes")}


def put_back_older(lab: Lab, kubectl: Kubectl) -> None:
    """Have the nodes run the older k3s again, as no real one could: here both are of the same code."""
    url = f"{lab.facts['mirror_url']}/k3s/{quote(OLDER)}/k3s"
    program = "/usr/local/bin/k3s"
    for node in lab.nodes:
        lab.sh(
            node,
            f"curl --fail --silent --output {program}.new {url}; chmod +x {program}.new; mv {program}.new {program}",
        )
        lab.sh(node, "systemctl restart 'k3s*.service'")
        becomes_whole(lab, kubectl)
    wait_until(lambda: versions(kubectl) == {OLDER})


@contextmanager
def switched_off_by_itself(lab: Lab) -> Iterator[dict[str, Future[float]]]:
    """Nodes stay off that switch themselves off meanwhile. When each was, after that; then their power returns."""
    with ThreadPoolExecutor() as pool:
        off = {node: pool.submit(lab.off_for_good, node, lab.boot_id(node)) for node in lab.nodes}
        yield off
    lab.switch_on()


def becomes_whole(lab: Lab, kubectl: Kubectl) -> None:
    wait_until(lambda: is_whole(lab, kubectl), within=180)
