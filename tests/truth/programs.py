# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where kube-proxy is: that of the lab's version in the lab's k3s, others built from upstream's code."""

from __future__ import annotations

import re
import shutil
import sys
import typing as t
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "lab"))

from homelab.build import STRIPPED, Workshop, digest, go_program, locked, own
from homelab.settings import LAB_SOURCE, Paths, Release
from network import TruthError

_MAIN: t.Final = Path(__file__).with_name("kube-proxy") / "main.go"


def lab_version() -> str:
    """The version of Kubernetes that the lab has."""
    return Release.from_environment().k3s_version.partition("+")[0]


def kube_proxy(version: str) -> tuple[str, ...]:
    """How kube-proxy of a version is called."""
    paths = Paths.from_environment()
    if version != lab_version():
        with locked(paths.cache):
            return (str(_built(Workshop(paths.cache), version)),)
    k3s = paths.cache / "mirror/k3s" / Release.from_environment().k3s_version / "k3s"
    if not k3s.exists():
        raise TruthError(f"{k3s} is missing, in which kube-proxy is: build it with tests/lab/lab.py build")
    return (str(k3s), "kube-proxy")


def _built(workshop: Workshop, version: str) -> Path:
    """All parts of Kubernetes are replaced by those of one version, as the lab's own module does."""
    lab_module = (LAB_SOURCE / "k3s/go.mod").read_text()
    parts = version.replace("v1.", "v0.", 1)
    replaced = re.findall(r"^\t(k8s\.io/\S+) => ", lab_module, re.MULTILINE)
    lines = ["module lab/kube-proxy", "", *re.findall(r"^go .*$", lab_module, re.MULTILINE), ""]
    lines += [f"require k8s.io/kubernetes {version}", f"require k8s.io/component-base {parts}", ""]
    lines += [f"replace {name} => {name} {parts}" for name in replaced]
    name = f"kube-proxy-{version}"

    def module(target: Path, _log: Path) -> None:
        own(target)
        (target / "go.mod").write_text("\n".join(lines) + "\n")
        shutil.copy(_MAIN, target)

    folder = workshop.make(f"modules/{name}", digest(_MAIN, *lines), module)
    flags = ["-mod=mod", f"{STRIPPED} -X k8s.io/component-base/version.gitVersion={version}"]
    return go_program(workshop, f"bin/{name}", folder, ".", workshop.stamp(f"modules/{name}"), flags)
