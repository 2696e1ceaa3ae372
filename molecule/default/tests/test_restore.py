# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster is put into an archive and brought back: onto its nodes as they run, and onto bare ones."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from scenario import COLLECTION, PAGE

if t.TYPE_CHECKING:
    from scenario import Controller, Kubectl, Lab, Result

BACKUP, RESTORE, RESET = (f"playbooks/{name}.yml" for name in ("backup", "restore", "reset"))
PHRASE = "a passphrase that no log shows"
VOLUME = "/var/lib/rancher/k3s/storage/pvc-1_default_data"
CALLED = '#!/bin/sh\necho "$ANSIBLE_CONFIG" "$@" >/run/called\n'
LEFT = "find /var/tmp -name 'homecloud.k3s-*'"

Play = t.Callable[..., "Result"]


@pytest.fixture(scope="module")
def phrase(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phrase") / "phrase"
    path.write_text(f"{PHRASE}\n")
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "archives"


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


def left_by_a_killed_run(lab: Lab, temporary: Path, kind: str, owner: str) -> None:
    name = f"homecloud.k3s-{kind}-homecloud-{lab.name}-a1b2c3d4"
    (temporary / name).mkdir()
    for node in lab.nodes:
        lab.sh(node, f"cd /var/tmp; mkdir {name}; chown {owner}: {name}")
    if kind == "backup":  # another may be running
        os.utime(temporary / name, (0, 0))
        for node in lab.nodes:
            lab.sh(node, f"touch -d @0 /var/tmp/{name}")


@pytest.fixture(scope="module")
def secrets(lab: Lab) -> list[str]:
    """What no run may show."""
    (key,) = re.findall("client-key-data: (.+)", lab.on("server1", "cat", "/etc/rancher/k3s/k3s.yaml"))
    token = lab.on("server1", "cat", "/var/lib/rancher/k3s/server/token").strip()
    return [PHRASE, key, token.rpartition(":")[2]]


@pytest.fixture(scope="module")
def play(
    controller: Controller,
    lab: Lab,
    phrase: Path,
    kept: Path,
    secrets: list[str],
    temporary: Path,
) -> t.Iterator[Play]:
    """Run a playbook with all that it could show, and see that it shows no secret and leaves nothing behind."""

    def run(playbook: str, *options: str, **variables: object) -> Result:
        settings = {"backup_passphrase_file": str(phrase), "backup_dir": str(kept), **variables}
        done = controller.play(playbook, ["-vvv", "--diff", *options], settings)
        assert not [secret for secret in secrets if secret in done.output]
        assert not any(lab.sh(node, LEFT) for node in lab.nodes)
        assert not list(temporary.glob("homecloud.k3s-*"))
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))  # other scenarios have theirs
        yield run


@pytest.fixture(scope="module")
def archive(play: Play, lab: Lab, kubectl: Kubectl, kept: Path, temporary: Path) -> t.Iterator[Path]:
    """An archive of the cluster, and a cluster that has changed since."""
    lab.sh("agent1", f"mkdir -p {VOLUME}; echo as it was >{VOLUME}/file")
    before = kept_on(lab)
    left_by_a_killed_run(lab, temporary, "backup", "pi")
    done = play(BACKUP, backup_volumes=True)
    assert done.code == 0, done.end
    assert kept_on(lab) == before
    (path,) = kept.iterdir()
    kubectl("delete", "deployment", "mysite")
    kubectl("create", "configmap", "later", "--from-literal=a=b")
    lab.sh("agent1", f"echo later >{VOLUME}/file")
    yield path
    lab.sh("agent1", f"rm -rf {VOLUME}")


def kept_on(lab: Lab) -> dict[str, str]:
    """What of nodes is not written to all the time."""
    places = "/etc/rancher /var/lib/rancher/k3s/server /var/lib/rancher/k3s/storage"
    script = f"find {places} -not -path '*/db*' -exec stat -c '%n %a %Y' {{}} + 2>/dev/null || true"
    return {node: lab.sh(node, script) for node in lab.nodes}


def started(lab: Lab) -> list[str]:
    units = {"server1": "k3s"}
    return [
        lab.on(n, "systemctl", "show", "--property=ActiveEnterTimestamp", units.get(n, "k3s-agent")) for n in lab.nodes
    ]


def is_back(lab: Lab, kubectl: Kubectl) -> None:
    assert kubectl.get("deployment", "mysite")
    assert not kubectl.get("configmap", "later")
    assert PAGE in lab.page(f"http://{kubectl.address('mysite')}/")
    assert lab.on("agent1", "cat", f"{VOLUME}/file") == "as it was\n"


def test_an_archive_is_for_its_owner_alone_and_encrypted(archive: Path, secrets: list[str]) -> None:
    assert (archive.stat().st_mode & 0o777, archive.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert archive.name.startswith("homecloud-")
    assert not [secret for secret in secrets if secret.encode() in archive.read_bytes()]


def test_without_a_passphrase_nothing_is_made(play: Play, archive: Path) -> None:
    done = play(BACKUP, backup_passphrase_file="")
    assert done.code != 0
    assert "Set backup_passphrase" in done.output
    assert list(archive.parent.iterdir()) == [archive]


def test_a_check_makes_nothing_and_names_what_is_left_out(play: Play, archive: Path) -> None:
    done = play(BACKUP, "--check", backup_keep=1)
    assert done.code == 0, done.end
    assert f"agent1: {VOLUME}" in done.output
    assert list(archive.parent.iterdir()) == [archive]


@pytest.mark.parametrize("damage", ["flipped", "wrong passphrase", "no yes"])
def test_what_cannot_come_back_is_refused_and_nothing_is_changed(
    play: Play, lab: Lab, archive: Path, tmp_path: Path, damage: str
) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= damage == "flipped"
    (tmp_path / "damaged").write_bytes(data)
    (tmp_path / "phrase").write_text("wrong")
    wrong = {"backup_passphrase_file": str(tmp_path / "phrase")} if damage == "wrong passphrase" else {}
    before = (started(lab), kept_on(lab))
    done = play(RESTORE, restore_archive=str(tmp_path / "damaged"), restore_confirmed=damage != "no yes", **wrong)
    assert done.code != 0
    assert "Nothing was changed" in done.output
    assert (started(lab), kept_on(lab)) == before


def test_a_node_can_be_left_out(play: Play, tmp_path: Path) -> None:
    done = play(BACKUP, "--limit=!agent2", backup_dir=str(tmp_path / "archives"))
    assert done.code == 0, done.end
    assert "agent2" in done.output
    assert len(list((tmp_path / "archives").iterdir())) == 1


def test_a_timer_runs_the_playbook(controller: Controller, lab: Lab, tmp_path: Path) -> None:
    # A node stands for a controller that has systemd, and its program says how it was called.
    host, program = "agent2", Path(sys.executable).with_name("ansible-playbook")
    lab.sh(host, f"mkdir -p {program.parent}; tee {program}; chmod +x {program}", stdin=CALLED)
    role = {"ansible.builtin.import_role": {"name": "homecloud.k3s.backup", "tasks_from": "timer"}}
    playbook = tmp_path / "timer.json"
    playbook.write_text(json.dumps([{"hosts": host, "become": True, "gather_facts": False, "tasks": [role]}]))
    changed = []
    for wish in ("Sun 03:00", "Sun 03:00", "Sun 04:00"):
        done = controller.play(str(playbook), [], {"backup_timer": wish})
        assert done.code == 0, done.end
        changed.append(done.changed[host] > 0)
    assert changed == [True, False, True]
    assert "Sun *-*-* 04:00:00" in lab.sh(host, "systemctl show --property=TimersCalendar 'homecloud-backup-*.timer'")
    lab.on(host, "systemctl", "start", f"homecloud-backup-homecloud-{lab.name}")
    of_this_run = f'--inventory={lab.facts["paths"]["inventory"]} --extra-vars={{"backup_timer": "Sun 04:00"}}'
    called = lab.on(host, "cat", "/run/called")
    assert called == f"{COLLECTION}/ansible.cfg {COLLECTION}/playbooks/backup.yml {of_this_run}\n"
    done = controller.play(str(playbook), [], {})
    assert done.code == 0, done.end
    assert not lab.sh(host, "find /etc/systemd/system -name 'homecloud-backup*'")


def test_the_cluster_comes_back_onto_bare_nodes(
    play: Play, lab: Lab, kubectl: Kubectl, archive: Path, temporary: Path
) -> None:
    oldest = archive.with_name(re.sub(r"\d{8}T", "20200101T", archive.name))
    of_others = {archive.with_name(name) for name in (f"other-{archive.name}", f"{archive.name}.sha256")}
    for path in (oldest, *of_others):
        path.touch()
    done = play(RESET, reset_confirmed=True, reset_backup=True, backup_keep=2)
    assert done.code == 0, done.end
    there = set(archive.parent.iterdir())
    assert {archive, *of_others} < there
    assert oldest not in there
    assert len(there) == 4
    left_by_a_killed_run(lab, temporary, "restore", "root")
    done = play(RESTORE, restore_archive=str(archive), restore_confirmed=True)
    assert done.code == 0, done.end
    is_back(lab, kubectl)
    with pytest.raises(subprocess.CalledProcessError):
        lab.sh("server1", "ls -d /var/lib/rancher/k3s/before-restore-*")
