# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images without a container tool: archives in the format of `docker save`, with one layer an image."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class Image:
    """A name, what is at which place inside (files or whole trees), what runs, and as whom."""

    name: str
    contents: Mapping[str, Path]
    entrypoint: tuple[str, ...]
    user: str = ""


def write_archive(path: Path, images: Iterable[Image], arch: str) -> None:
    """One archive of several images; the same input gives the same bytes."""
    manifest: list[dict[str, Any]] = []
    with tarfile.open(path, "w") as archive:
        for image in images:
            with tempfile.TemporaryFile(dir=path.parent) as layer:
                diff_id = write_layer(layer, image.contents)
                config = json.dumps(image_config(image, arch, diff_id), sort_keys=True).encode()
                entry = {
                    "Config": f"{hashlib.sha256(config).hexdigest()}.json",
                    "RepoTags": [image.name],
                    "Layers": [f"{diff_id}/layer.tar"],
                }
                if entry["Layers"] not in [other["Layers"] for other in manifest]:
                    add(archive, f"{diff_id}/layer.tar", layer)
                if entry["Config"] not in [other["Config"] for other in manifest]:
                    add(archive, str(entry["Config"]), io.BytesIO(config))
                manifest.append(entry)
        add(archive, "manifest.json", io.BytesIO(json.dumps(manifest).encode()))


def write_layer(output: io.BufferedRandom, contents: Mapping[str, Path]) -> str:
    """A tar of files that belong to root. Returns the hash that names it."""
    with tarfile.open(fileobj=output, mode="w") as layer:
        for inside, source in sorted(contents.items()):
            layer.add(source, inside.strip("/") or ".", filter=anonymous)
    output.seek(0)
    return hashlib.file_digest(output, "sha256").hexdigest()


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def image_config(image: Image, arch: str, diff_id: str) -> dict[str, Any]:
    return {
        "architecture": arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": list(image.entrypoint),
            "User": image.user,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
    }


def add(archive: tarfile.TarFile, name: str, content: BinaryIO) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    archive.addfile(entry, content)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
