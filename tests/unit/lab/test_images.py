# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from homelab.images import Image, write_archive


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "passwd").write_text("root:x:0:0::/:\n")
    return [
        Image("docker.io/rancher/mirrored-pause:3.6", {"/pause": program}, ("/pause",)),
        Image("docker.io/rancher/klipper-lb:v0.4.13", {"/pause": program}, ("/pause",)),
        Image("docker.io/library/nginx:1.22", {"/": tree}, ("/usr/sbin/nginx", "-g", "daemon off;"), user="101"),
    ]


def test_archive_is_consistent(tmp_path: Path, images: list[Image]) -> None:
    write_archive(tmp_path / "out.tar", images, "amd64")
    with tarfile.open(tmp_path / "out.tar") as archive:

        def content(name: str) -> bytes:
            member = archive.extractfile(name)
            assert member is not None
            return member.read()

        manifest = json.loads(content("manifest.json"))
        assert [entry["RepoTags"] for entry in manifest] == [[image.name] for image in images]
        for entry, image in zip(manifest, images, strict=True):
            config = content(entry["Config"])
            assert entry["Config"] == hashlib.sha256(config).hexdigest() + ".json"
            described = json.loads(config)
            assert described["config"]["Entrypoint"] == list(image.entrypoint)
            assert described["config"]["User"] == image.user
            layers = [f"sha256:{hashlib.sha256(content(layer)).hexdigest()}" for layer in entry["Layers"]]
            assert described["rootfs"]["diff_ids"] == layers
        names = archive.getnames()
        assert len(names) == len(set(names)), "images that share a layer carry it once"


def test_layer_keeps_modes_and_belongs_to_root(tmp_path: Path, images: list[Image]) -> None:
    write_archive(tmp_path / "out.tar", images[:1], "amd64")
    with tarfile.open(tmp_path / "out.tar") as archive:
        layer = archive.extractfile(next(name for name in archive.getnames() if name.endswith("layer.tar")))
        with tarfile.open(fileobj=layer) as files:
            program = files.getmember("pause")
    assert (program.mode, program.uid, program.gid, program.mtime) == (0o755, 0, 0, 0)


def test_tree_becomes_the_root(tmp_path: Path, images: list[Image]) -> None:
    write_archive(tmp_path / "out.tar", images[2:], "amd64")
    with tarfile.open(tmp_path / "out.tar") as archive:
        layer = archive.extractfile(next(name for name in archive.getnames() if name.endswith("layer.tar")))
        with tarfile.open(fileobj=layer) as files:
            assert "./etc/passwd" in files.getnames()


def test_same_input_same_archive(tmp_path: Path, images: list[Image]) -> None:
    write_archive(tmp_path / "one.tar", images, "amd64")
    write_archive(tmp_path / "two.tar", images, "amd64")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
