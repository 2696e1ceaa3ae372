# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._restore import restore_faults
from ansible_collections.homecloud.k3s.tests.unit.plugins.plugin_utils.test__preflight import SOUND, VERSION


def k3s(kind: str, **config: object) -> dict[str, t.Any]:
    reading = SOUND["readings"]["node1"]["k3s"]
    told = {"node-name": "x", "disable": ["servicelb"], **config}
    return {**reading, "installed": True, "version": VERSION, "kind": kind, "ca_sha256": "ca", "config": told}


MANIFEST: t.Final[dict[str, t.Any]] = {
    "format": 1,
    "k3s_version": VERSION,
    "datastore": {"kind": "sqlite", "node": "node1"},
    "nodes": {name: {"kind": kind, "k3s": k3s(kind)} for name, kind in (("node1", "server"), ("node2", "agent"))},
}


def faults(manifest: dict[str, t.Any], **changes: t.Any) -> list[dict[str, str]]:  # noqa: ANN401 -- of SOUND
    home = {**copy.deepcopy(SOUND), **changes}
    given = (home[name] for name in ("readings", "hostvars", "groups", "defaults", "accept"))
    return restore_faults(manifest, *given)


def codes(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(fault["code"], fault["host"]) for fault in found]


def with_node1(**changes: object) -> dict[str, t.Any]:
    manifest = copy.deepcopy(MANIFEST)
    manifest["nodes"]["node1"]["k3s"].update(changes)
    return manifest


def test_an_archive_of_these_nodes_fits_bare_ones() -> None:
    assert faults(MANIFEST) == []


@pytest.mark.parametrize(
    ("manifest", "code"),
    [
        (with_node1(version="v1.37.0+k3s1"), "downgrade"),
        (with_node1(version="v1.35.1+k3s1"), "upgrade"),
        (with_node1(config={**k3s("server")["config"], "data-dir": "/data"}), "data_dir_moved"),
        (with_node1(config={**k3s("server")["config"], "cluster-cidr": "10.0.0.0/16"}), "network_changed"),
        (with_node1(kind="agent"), "another_kind"),
    ],
)
def test_what_preflight_would_refuse_afterwards_is_refused_before(manifest: dict[str, t.Any], code: str) -> None:
    (fault,) = faults(manifest)
    assert codes([fault]) == [(code, "node1")]
    assert fault["message"].startswith("By the archive: ")
    assert fault["severity"] == "error"


def test_another_token_is_refused() -> None:
    manifest = with_node1(token={"present": True, "sha256": "of another"})
    hostvars = copy.deepcopy(SOUND["hostvars"])
    hostvars["node1"]["k3s_token"] = "mine"
    assert codes(faults(manifest, hostvars=hostvars)) == [("another_token", "node1")]


def test_the_first_server_must_be_in_the_archive() -> None:
    groups = {"k3s_cluster": ["node1", "node2"], "server": ["node2"], "agent": ["node1"]}
    (first, *_others) = faults(MANIFEST, groups=groups)
    assert codes([first]) == [("first_server_unknown", "node2")]
    assert 'Put node1 first in the group "server"' in first["advice"]


def test_a_node_that_nobody_has_any_more_is_named() -> None:
    groups = {"k3s_cluster": ["node1"], "server": ["node1"], "agent": []}
    (fault,) = faults(MANIFEST, groups=groups)
    assert (fault["code"], fault["host"], fault["severity"]) == ("node_left_behind", "node2", "warning")


@pytest.mark.parametrize("lacking", ["nodes", "datastore", "k3s_version"])
def test_an_archive_of_something_else_is_refused(lacking: str) -> None:
    manifest = {key: value for key, value in MANIFEST.items() if key != lacking}
    assert codes(faults(manifest)) == [("not_of_a_cluster", "")]
