# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster goes to the next minor version, node by node, and pages are served all the time.

The tests follow each other: all before these run with the older version.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from homelab.settings import K3S_OLDER as OLDER
from homelab.watch import watch
from scenario import guarded_on, refused, wait_until
from servers import SERVERS, voters

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Controller, Kubectl, Lab, Result

NODES = [*SERVERS, "agent1"]
CORDONED = "agent1"
TWINS = "twins"
MARK = "homecloud.k3s/upgrade"


class Upgrade(t.Protocol):
    def __call__(self, *options: str, **variables: object) -> Result: ...


@pytest.fixture(scope="module")
def given(k3s_version: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    kept = str(tmp_path_factory.mktemp("upgrade") / "kept")
    return {
        "k3s_version": k3s_version,
        "upgrade_confirmed": True,
        "backup_dir": kept,
        "backup_passphrase": "cloudberry-9137",
    }


@pytest.fixture(scope="module")
def upgrade(controller: Controller, given: dict[str, object]) -> Upgrade:
    def play(*options: str, **variables: object) -> Result:
        return controller.play("playbooks/upgrade.yml", options, {**given, **variables})

    return play


@pytest.fixture(scope="module", autouse=True)
def cordoned(kubectl: Kubectl) -> Iterator[None]:
    """One node that its owner keeps pods from."""
    kubectl("cordon", CORDONED)
    yield
    kubectl("uncordon", CORDONED)


@pytest.fixture(scope="module")
def twins(kubectl: Kubectl) -> Iterator[str]:
    """The address of a workload with two replicas, of which one has to be there."""
    labels = {"app": TWINS}
    metadata = {"name": TWINS, "namespace": "default"}
    pod = {"containers": [{"name": "nginx", "image": "docker.io/library/nginx:1.22"}]}
    kubectl.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "minAvailable": 1},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "LoadBalancer", "selector": labels, "ports": [{"port": 80}]},
        },
    )
    wait_until(lambda: kubectl.is_complete("deployment", TWINS, "default") and kubectl.address(TWINS))
    yield kubectl.address(TWINS)
    kubectl("delete", "deployment,poddisruptionbudget,service", TWINS)


def versions(kubectl: Kubectl) -> dict[str, str]:
    return {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in kubectl.objects("nodes")}


def unschedulable(kubectl: Kubectl) -> set[str]:
    return {node["metadata"]["name"] for node in kubectl.objects("nodes") if node["spec"].get("unschedulable")}


def marked(kubectl: Kubectl) -> set[str]:
    nodes = kubectl.objects("nodes")
    return {node["metadata"]["name"] for node in nodes if MARK in node["metadata"].get("annotations", {})}


@pytest.mark.parametrize(
    ("version", "code"),
    [("v1.35.5+k3s1", "downgrade"), ("v1.37.0+k3s1", "minor_skipped"), pytest.param("", "", marks=pytest.mark.soak)],
)
def test_what_is_refused_or_a_check_changes_nothing(
    upgrade: Upgrade, kubectl: Kubectl, version: str, code: str
) -> None:
    if code:
        refused(upgrade(k3s_version=version), code)
    else:
        done = upgrade("--check")
        assert done.code == 0, done.end
        assert all(f"{name} is to be upgraded" in done.output for name in NODES)
    assert versions(kubectl) == dict.fromkeys(NODES, OLDER)
    assert (unschedulable(kubectl), marked(kubectl)) == ({CORDONED}, set())


@pytest.fixture
def guarded(kubectl: Kubectl) -> Iterator[str]:
    name = "guarded"
    kubectl.apply(*guarded_on(SERVERS[0], name))
    wait_until(lambda: kubectl.is_complete("deployment", name, "default"))
    yield name
    kubectl("delete", "deployment,poddisruptionbudget", name)


def test_a_node_that_pods_cannot_leave_is_given_back(upgrade: Upgrade, kubectl: Kubectl, guarded: str) -> None:
    done = upgrade(upgrade_timeout=5, upgrade_backup=False)
    refused(done, "budget_blocks", f"The upgrade has stopped at {SERVERS[0]}", f"default/{guarded}")
    assert versions(kubectl) == dict.fromkeys(NODES, OLDER)
    assert (unschedulable(kubectl), marked(kubectl)) == ({CORDONED}, set())


def test_an_upgrade_that_is_cut_off_is_gone_on_with_while_pages_are_served(
    lab: Lab,
    controller: Controller,
    kubectl: Kubectl,
    upgrade: Upgrade,
    twins: str,
    given: dict[str, object],
    record_property: t.Callable[[str, object], None],
) -> None:
    with watch(lab.name, twins) as of_twins, watch(lab.name, kubectl.address("mysite")) as of_mysite:
        at_once = {**given, "upgrade_backup": False}
        controller.play_killed_at("Wait until k3s has started", "playbooks/upgrade.yml", [], at_once)
        wait_until(lambda: voters(kubectl))  # the address of the API has found another server
        (begun,) = marked(kubectl)
        assert unschedulable(kubectl) == {CORDONED, begun}
        done = upgrade()
    assert done.code == 0, done.end
    assert versions(kubectl) == dict.fromkeys(NODES, given["k3s_version"])
    assert voters(kubectl) == set(SERVERS)
    assert (unschedulable(kubectl), marked(kubectl)) == ({CORDONED}, set())
    for name, seen in (("twins", of_twins), ("mysite", of_mysite)):
        failures = sum(answer.page is None for answer in seen.answers)
        record_property(f"requests to {name} without an answer", f"{failures} of {len(seen.answers)}")
        record_property(f"the longest time without a page of {name}, in s", round(seen.gap(0), 1))
        assert failures < 0.02 * len(seen.answers), name


def test_there_is_an_archive_of_the_time_before(given: dict[str, object]) -> None:
    (archive,) = Path(str(given["backup_dir"])).iterdir()
    assert archive.stat().st_size > 0


def test_a_second_run_changes_nothing(upgrade: Upgrade) -> None:
    done = upgrade(upgrade_confirmed=False)
    assert done.code == 0, done.end
    assert "At their version already" in done.output
    assert done.changed == dict.fromkeys(["localhost", *NODES], 0), done.output
