# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from homelab import build, settings
from homelab.build import Workshop, digest, pack_chart
from homelab.shell import run


def test_digest_sees_every_kind_of_input(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("one")
    first = digest("text", tree)
    assert digest("text", tree) == first
    assert digest("other text", tree) != first
    (tree / "file").write_text("two")
    assert digest("text", tree) != first


def test_digest_sees_names(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("same")
    first = digest(tmp_path / "tree")
    (tmp_path / "tree" / "a").rename(tmp_path / "tree" / "b")
    assert digest(tmp_path / "tree") != first


def test_digest_keeps_texts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_made_again_only_if_inputs_changed(tmp_path: Path) -> None:
    made: list[str] = []

    def make(inputs: str) -> Path:
        def recipe(target: Path, _log: Path) -> None:
            made.append(inputs)
            target.write_text(inputs)

        return Workshop(tmp_path).make("folder/thing", inputs, recipe)

    assert make("one").read_text() == "one"
    assert make("one").read_text() == "one"
    assert make("two").read_text() == "two"
    assert made == ["one", "two"]


def test_a_failed_recipe_leaves_no_result(tmp_path: Path) -> None:
    def recipe(target: Path, _log: Path) -> None:
        target.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Workshop(tmp_path).make("thing", "inputs", recipe)
    assert not (tmp_path / "thing").exists()


def test_tests_and_texts_of_the_stand_in_do_not_rebuild_it() -> None:
    names = [path.name for path in build.k3s_sources()]
    assert "main.go" in names
    assert not [name for name in names if name.endswith(("_test.go", ".md"))]


def test_a_chart_is_packed_under_its_name_and_version(tmp_path: Path) -> None:
    source = tmp_path / "some"
    (source / "templates").mkdir(parents=True)
    (source / "Chart.yaml").write_text("apiVersion: v2\nname: some\nversion: 1.0.100+up1.0.0\n")
    (source / "templates" / "service.yaml").write_text("kind: Service\n")
    (tmp_path / "more.yml").write_text("kind: CustomResourceDefinition\n")
    packed = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        pack_chart(folder, source, {"templates/crds.yaml": tmp_path / "more.yml"})
        packed.append((folder / "some-1.0.100+up1.0.0.tgz").read_bytes())
    assert packed[0] == packed[1]
    with tarfile.open(tmp_path / "one" / "some-1.0.100+up1.0.0.tgz") as archive:
        assert archive.getnames() == ["some/Chart.yaml", "some/templates/crds.yaml", "some/templates/service.yaml"]


def test_a_chart_without_a_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: some\n")
    with pytest.raises(ValueError, match="version of the chart"):
        pack_chart(tmp_path, tmp_path, {})


def test_a_package_is_offered_with_what_apt_checks(tmp_path: Path) -> None:
    control = tmp_path / "package" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text("Package: some\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: some\n")
    deb = tmp_path / "some_1_all.deb"
    run(["dpkg-deb", "--build", tmp_path / "package", deb])
    entry = dict(line.split(": ", 1) for line in build.package_entry(deb).splitlines())
    assert entry["Package"] == "some"
    assert entry["Filename"] == "./some_1_all.deb"
    assert entry["Size"] == str(deb.stat().st_size)
    assert entry["SHA256"] == hashlib.sha256(deb.read_bytes()).hexdigest()


def test_versions_are_those_of_the_roles() -> None:
    release = settings.Release.from_environment()
    assert release.k3s_version.startswith("v1.")
    assert "+k3s" in release.k3s_version
    assert release.metallb_version.startswith("v0.")


def test_official_release_needs_an_uplink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_K3S", "release")
    release = settings.Release.from_environment()
    assert not release.mirrored
    assert release.router_network != "none"
