# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How a node was booted, and what its kernel can do.

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

# Where the kernel's command line is written on a Raspberry Pi. The order matters: Raspberry Pi OS leaves a file in the
# last place that only says that it has moved.
BOOT_FILES = ("/boot/firmware/current/cmdline.txt", "/boot/firmware/cmdline.txt", "/boot/cmdline.txt")
MODULES = ("br_netfilter", "overlay", "vxlan")
_CGROUP = "/sys/fs/cgroup"
_CONTROLLERS = f"{_CGROUP}/cgroup.controllers"
# What is there only when the kernel has a module, be it loaded or built in.
_PROOFS = {
    "br_netfilter": ("/proc/sys/net/bridge/bridge-nf-call-iptables", None),
    "overlay": ("/proc/filesystems", re.compile(r"^nodev\toverlay$", re.MULTILINE)),
    "vxlan": ("/sys/module/vxlan", None),
}


@dataclass(frozen=True)
class Boot:
    file: str | None
    words: list[str]
    kernel_words: list[str]


@dataclass(frozen=True)
class Cgroup:
    version: int
    memory: bool
    evidence: str


def boot(tree: Tree, candidates: list[str]) -> Boot:
    file = next((name for name in candidates if tree.exists(name)), None)
    words = tree.text(file).split() if file else []
    return Boot(file, words, tree.text("/proc/cmdline").split())


def cgroup(tree: Tree) -> Cgroup:
    """Tell whether the kernel accounts for memory. What /proc/cgroups says of it is not true of every kernel."""
    mounts = _cgroup_mounts(tree.text("/proc/self/mountinfo"))
    if mounts.get(_CGROUP, ("",))[0] == "cgroup2":
        controllers = tree.text(_CONTROLLERS).split()
        return Cgroup(2, "memory" in controllers, f"{_CONTROLLERS}: {' '.join(controllers)}")
    for place, (kind, options) in mounts.items():
        if kind == "cgroup" and "memory" in options:
            return Cgroup(1, True, f"/proc/self/mountinfo: the memory controller is at {place}")
    return Cgroup(1, False, "/proc/self/mountinfo: there is no memory controller")


def _cgroup_mounts(mountinfo: str) -> dict[str, tuple[str, list[str]]]:
    """Return type and options of what is mounted at each place; of two at one place the later hides the other."""
    mounts = {}
    for line in mountinfo.splitlines():
        mount, filesystem = line.split(" - ")
        kind, options = filesystem.split(" ", 2)[::2]
        mounts[mount.split()[4]] = (kind, options.split(","))
    return mounts


def modules(tree: Tree, release: str) -> dict[str, str]:
    return {name: _module(tree, f"/lib/modules/{release}", name) for name in MODULES}


def _module(tree: Tree, directory: str, name: str) -> str:
    if re.search(rf"^{name} ", tree.text("/proc/modules"), re.MULTILINE):
        return "loaded"
    file = re.compile(rf"/{name.replace('_', '[_-]')}\.ko\b")
    if file.search(tree.text(f"{directory}/modules.builtin")) or _proved(tree, name):
        return "builtin"
    if file.search(tree.text(f"{directory}/modules.dep")):
        return "available"
    return "missing" if tree.exists(directory) else "unknown"


def _proved(tree: Tree, name: str) -> bool:
    file, pattern = _PROOFS[name]
    return bool(pattern.search(tree.text(file))) if pattern else tree.exists(file)


def sysctls(tree: Tree, names: list[str]) -> dict[str, str | None]:
    """Return the values that are in force; None for what the kernel does not have."""
    files = {name: f"/proc/sys/{name.replace('.', '/')}" for name in names}
    return {name: tree.text(file).strip() if os.path.exists(tree.path(file)) else None for name, file in files.items()}
