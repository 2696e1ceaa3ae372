# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a lab, as a user would write it for a home with a mirror."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from homelab.images import sha256
from homelab.model import Lab
from homelab.nodes import ssh_options
from homelab.settings import COLLECTION, SSH_USER, Release, unified_cgroups


def hosts(lab: Lab) -> dict[str, Any]:
    groups: dict[str, Any] = {"server": {"hosts": {}}, "agent": {"hosts": {}}}
    for node in lab.nodes:
        groups[node.role]["hosts"][node.name] = {"ansible_host": node.address}
    connection = {
        "ansible_user": SSH_USER,
        "ansible_ssh_private_key_file": str(lab.ssh_key),
        "ansible_ssh_common_args": " ".join(ssh_options(lab)),
    }
    return {"k3s_cluster": {"children": groups, "vars": connection}}


def variables(lab: Lab, release: Release, archives: Sequence[Path], unified: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "kubeconfig_path": str(lab.kubeconfig),
        "kubeconfig_context": f"homecloud-{lab.name}",
        "metallb_pools": [{"name": "home", "addresses": [lab.pool]}],
        "traefik_address": lab.at(200),
        "traefik_backup_dir": str(lab.state / "traefik"),
    }
    if release.mirrored:
        settings |= {
            "k3s_mirror_url": f"{lab.mirror_url}/k3s",
            "k3s_airgap": True,
            "k3s_airgap_format": "tar",
            "k3s_image_archives": [
                {"url": f"{lab.mirror_url}/images/{path.name}", "checksum": f"sha256:{sha256(path)}"}
                for path in archives
            ],
            "metallb_manifest_url": f"{lab.mirror_url}/metallb/{release.metallb_version}/metallb-native.yaml",
            # A mirror that was built anew has other files under the same version.
            "k3s_cache_dir": str(lab.state / "cache"),
            "metallb_cache_dir": str(lab.state / "cache"),
        }
    if not unified:
        settings["k3s_config"] = {"kubelet-arg": ["fail-cgroupv1=false"]}
    return settings


def write(lab: Lab, release: Release, mirror: Path) -> None:
    """The sample home of the collection, edited as its user would: what is said in lab.yml is read last and wins."""
    archives = sorted((mirror / "images").glob("*.tar"))
    everyone = lab.inventory / "group_vars" / "all"
    everyone.mkdir(parents=True, exist_ok=True)
    shutil.copy(COLLECTION / "inventory" / "group_vars" / "all.yml", everyone / "home.yml")
    for name, content in (
        ("hosts.yml", hosts(lab)),
        ("group_vars/all/lab.yml", variables(lab, release, archives, unified_cgroups())),
    ):
        (lab.inventory / name).write_text("\n".join(["---", *yaml_lines(content)]) + "\n")


def yaml_lines(mapping: dict[str, Any], depth: int = 0) -> Iterator[str]:
    """A mapping as YAML: nested mappings by indentation, all else as JSON, which YAML includes."""
    for key, value in mapping.items():
        if isinstance(value, dict) and value:
            yield f"{'  ' * depth}{key}:"
            yield from yaml_lines(value, depth + 1)
        else:
            yield f"{'  ' * depth}{key}: {json.dumps(value)}"
