# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of playbooks are killed at any moment, and run again."""

from __future__ import annotations

import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from board import KEPT, becomes_whole, put_back_older, versions
from homelab.watch import watch

if t.TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from scenario import Controller, Kubectl, Lab

    Record = Callable[[str, object], None]

SITE = "site.yml"
BACKUP, RESTORE, UPGRADE = (f"playbooks/{name}.yml" for name in ("backup", "restore", "upgrade"))


MARK = "homecloud.k3s/upgrade"


class Moments:
    """When to kill a run: at any moment, by how long one took that was left alone."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}

    def draw(self, playbook: str, lot: random.Random) -> float:
        return lot.uniform(0, self.longest.get(playbook, 60))

    def completed(self, playbook: str, seconds: float) -> None:
        self.longest[playbook] = max(seconds, self.longest.get(playbook, 0))


@pytest.fixture(scope="module")
def moments() -> Moments:
    return Moments()


def run(controller: Controller, moments: Moments, playbook: str, variables: dict[str, t.Any]) -> None:
    begun = time.monotonic()
    done = controller.play(playbook, [], variables)
    assert done.code == 0, done.end
    moments.completed(playbook, time.monotonic() - begun)


def test_the_site_comes_to_its_end(
    turn: int,
    lab: Lab,
    controller: Controller,
    kubectl: Kubectl,
    moments: Moments,
    lot: random.Random,
    record_property: Record,
) -> None:
    pods = 60 + turn  # has each k3s restarted
    config = lab.settings["k3s_config"]
    wish = {"k3s_config": {**config, "kubelet-arg": [*config["kubelet-arg"], f"max-pods={pods}"]}}
    moment = moments.draw(SITE, lot)
    with watch(lab.name, kubectl.address("mysite")) as client:
        killed = controller.play_killed_after(moment, SITE, **wish)
        becomes_whole(lab, kubectl)
        run(controller, moments, SITE, wish)
    missed = [answer for answer in client.answers if answer.page is None]
    record_property(
        f"site.yml {turn}",
        f"killed after {moment:.0f} s: {killed}; {len(missed)} of {len(client.answers)} pages missed",
    )
    assert {kubectl.status("node", node)["capacity"]["pods"] for node in lab.nodes} == {str(pods)}
    done = controller.site(**wish)
    assert (done.code, set(done.changed.values())) == (0, {0}), done.output


@pytest.fixture(scope="module")
def archive(controller: Controller, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kept") / "archives"
    done = controller.play(BACKUP, [], {**KEPT, "backup_dir": str(place)})
    assert done.code == 0, done.end
    (path,) = place.iterdir()
    return path


def test_a_restore_comes_to_its_end(
    turn: int,
    lab: Lab,
    controller: Controller,
    kubectl: Kubectl,
    archive: Path,
    moments: Moments,
    lot: random.Random,
    record_property: Record,
) -> None:
    kubectl("create", "configmap", "later")
    given = {**KEPT, "restore_archive": str(archive), "restore_confirmed": True}
    moment = moments.draw(RESTORE, lot)
    killed = controller.play_killed_after(moment, RESTORE, **given)
    run(controller, moments, RESTORE, given)
    record_property(f"restore.yml {turn}", f"killed after {moment:.0f} s: {killed}")
    becomes_whole(lab, kubectl)
    assert not kubectl.get("configmap", "later")
    left = f"homecloud.k3s-restore-homecloud-{lab.name}-*"
    assert not list(Path(tempfile.gettempdir()).glob(left))
    assert not any(lab.sh(node, f"find /var/tmp -name '{left}'") for node in lab.nodes)
    lab.sh("server1", "rm -rf /var/lib/rancher/k3s/before-restore-*")


@pytest.fixture
def back_afterwards(lab: Lab, kubectl: Kubectl) -> Iterator[None]:
    yield
    put_back_older(lab, kubectl)


def test_an_upgrade_comes_to_its_end(
    turn: int,
    lab: Lab,
    controller: Controller,
    kubectl: Kubectl,
    k3s_version: str,
    moments: Moments,
    lot: random.Random,
    record_property: Record,
    back_afterwards: None,
) -> None:
    given = {"k3s_version": k3s_version, "upgrade_confirmed": True, "upgrade_backup": False}
    moment = moments.draw(UPGRADE, lot)
    with watch(lab.name, kubectl.address("mysite")) as client:
        killed = controller.play_killed_after(moment, UPGRADE, **given)
        run(controller, moments, UPGRADE, given)
    missed = sum(answer.page is None for answer in client.answers)
    record_property(
        f"upgrade.yml {turn}", f"killed after {moment:.0f} s: {killed}; pages missed: {missed} of {len(client.answers)}"
    )
    assert versions(kubectl) == {k3s_version}
    nodes = kubectl.objects("nodes")
    assert not [node for node in nodes if node["spec"].get("unschedulable") or MARK in node["metadata"]["annotations"]]
    becomes_whole(lab, kubectl)
