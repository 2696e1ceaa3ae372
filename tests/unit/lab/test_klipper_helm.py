# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the script in the image of Helm's Jobs asks of helm, by the state of the release."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from homelab.settings import LAB_SOURCE

HELM = """#!/bin/sh
if [ "$1" = list ]; then
    cat "$0.releases"
else
    echo "$@" >> "$0.calls"
fi
"""
CHART = "https://10.43.0.1:443/static/charts/site.tgz"
INSTALL = f"install site {CHART} --set a=b --labels helmcharts.helm.cattle.io/configHash=CAFE"
UPGRADE = INSTALL.replace("install", "upgrade", 1)
UNINSTALL = "uninstall site --wait"


def run(folder: Path, status: str, policy: str, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and the calls of helm."""
    helm = folder / "helm"
    helm.write_text(HELM)
    helm.chmod(0o755)
    releases = [{"name": "site", "revision": "1", "status": status, "chart": "site-1.0.0"}] if status else []
    Path(f"{helm}.releases").write_text(json.dumps(releases, separators=(",", ":")))
    calls = Path(f"{helm}.calls")
    calls.touch()
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "NAME": "site",
        "TARGET_NAMESPACE": "default",
        "CHART": "https://%{KUBERNETES_API}%/static/charts/site.tgz",
        "KUBERNETES_SERVICE_HOST": "10.43.0.1",
        "KUBERNETES_SERVICE_PORT": "443",
        "CONFIG_HASH": "CAFE",
        "FAILURE_POLICY": policy,
    }
    done = subprocess.run([LAB_SOURCE / "klipper-helm" / "entry", *arguments], env=environment, check=False)
    return done.returncode, calls.read_text().splitlines()


@pytest.mark.parametrize(
    ("status", "policy", "calls"),
    [
        ("", "reinstall", [INSTALL]),
        ("deployed", "reinstall", [UPGRADE]),
        ("failed", "reinstall", [UNINSTALL, INSTALL]),
        ("pending-upgrade", "reinstall", [UNINSTALL, INSTALL]),
        ("deployed", "abort", [UPGRADE]),
        ("failed", "retry", [UPGRADE]),
    ],
)
def test_installing(tmp_path: Path, status: str, policy: str, calls: list[str]) -> None:
    assert run(tmp_path, status, policy, "install", "--set", "a=b") == (0, calls)


def test_a_failed_release_is_left_alone_if_the_policy_says_so(tmp_path: Path) -> None:
    assert run(tmp_path, "failed", "abort", "install", "--set", "a=b") == (1, [])


@pytest.mark.parametrize(("status", "calls"), [("deployed", [UNINSTALL]), ("failed", [UNINSTALL]), ("", [])])
def test_deleting(tmp_path: Path, status: str, calls: list[str]) -> None:
    assert run(tmp_path, status, "reinstall", "delete") == (0, calls)
