# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_kernel import (
    BOOT_FILES,
    Boot,
    Cgroup,
    boot,
    cgroup,
    modules,
    sysctls,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]

UNIFIED = "29 21 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
TMPFS = "28 21 0:25 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755\n"
MIXED = "30 28 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n"
CPU = "31 28 0:28 / /sys/fs/cgroup/cpu rw,nosuid shared:6 - cgroup cgroup rw,cpu\n"
MEMORY = "32 28 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:7 - cgroup cgroup rw,memory\n"
MODULES = "/lib/modules/6.1.0"


@pytest.mark.parametrize("file", BOOT_FILES)
def test_boot(make_tree: MakeTree, file: str) -> None:
    tree = make_tree({**dict.fromkeys(BOOT_FILES[BOOT_FILES.index(file) :], "moved\n"), file: "a b=c\n"})
    assert boot(tree, list(BOOT_FILES)) == Boot(file, ["a", "b=c"], [])


@pytest.mark.parametrize(
    ("mounts", "controllers", "version", "memory"),
    [
        (UNIFIED, "cpuset cpu io memory pids\n", 2, True),
        (UNIFIED, "cpuset cpu io pids\n", 2, False),
        (UNIFIED, "memory_other\n", 2, False),
        (TMPFS + CPU + MEMORY, "", 1, True),
        (TMPFS + MIXED + CPU + MEMORY, "", 1, True),
        (TMPFS + MIXED + CPU, "memory\n", 1, False),
        (TMPFS + UNIFIED, "memory\n", 2, True),
        (UNIFIED + TMPFS, "memory\n", 1, False),
        ("33 28 0:30 / /mnt rw shared:8 - tmpfs  rw,size=4k\n" + UNIFIED, "memory\n", 2, True),  # made without a source
        ("", "", 1, False),
    ],
)
def test_cgroup(make_tree: MakeTree, mounts: str, controllers: str, version: int, memory: bool) -> None:
    lies = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t1\n"
    tree = make_tree(
        {"/proc/self/mountinfo": mounts, "/sys/fs/cgroup/cgroup.controllers": controllers, "/proc/cgroups": lies}
    )
    found = cgroup(tree)
    assert found == Cgroup(version, memory, found.evidence)
    assert found.evidence.startswith("/")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "unknown"),
        ({f"{MODULES}/modules.dep": ""}, "missing"),
        (
            {f"{MODULES}/modules.dep": "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n"},
            "available",
        ),
        ({f"{MODULES}/modules.dep": "kernel/net/br-netfilter.ko.zst:\n"}, "available"),
        ({f"{MODULES}/modules.dep": "kernel/net/my_br_netfilter.ko:\nkernel/net/br_netfilter.kobold:\n"}, "missing"),
        ({f"{MODULES}/modules.builtin": "kernel/net/bridge/br_netfilter.ko\n"}, "builtin"),
        ({"/proc/modules": "br_netfilter 32768 0 - Live 0x0\n"}, "loaded"),
        ({"/proc/modules": "bridge 32768 1 br_netfilter, Live 0x0\n"}, "unknown"),
        ({"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n"}, "builtin"),
    ],
)
def test_modules(make_tree: MakeTree, files: Files, expected: str) -> None:
    assert modules(make_tree(files), "6.1.0")["br_netfilter"] == expected


def test_modules_of_a_container(make_tree: MakeTree) -> None:
    tree = make_tree({"/proc/filesystems": "nodev\tsysfs\nnodev\toverlay\n", "/sys/module/vxlan/srcversion": ""})
    assert modules(tree, "6.1.0") == {"br_netfilter": "unknown", "overlay": "builtin", "vxlan": "builtin"}


def test_sysctls(make_tree: MakeTree) -> None:
    tree = make_tree({"/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/ipv4/empty": "\n"})
    names = ["net.ipv4.ip_forward", "net.ipv4.empty", "net.bridge.bridge-nf-call-iptables"]
    assert list(sysctls(tree, names).values()) == ["1", "", None]
