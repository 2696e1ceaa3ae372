# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What a node is: its system, size and clock.

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree, assignments
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

TIME_SERVICES = ("systemd-timesyncd", "chrony", "ntpsec", "ntp", "openntpd")
_MIB = 1024 * 1024
_MAXERROR = 3  # its place in the kernel's struct timex, whose members are as long as a C long
_UNSYNCHRONIZED_MICROSECONDS = 16_000_000


@dataclass(frozen=True)
class OperatingSystem:
    id: str
    id_like: list[str]
    version_id: str
    pretty_name: str


@dataclass(frozen=True)
class Memory:
    total_mib: int
    available_mib: int


@dataclass(frozen=True)
class Disk:
    path: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True)
class Clock:
    epoch: float
    synchronized: bool
    service: str


def operating_system(os_release: str) -> OperatingSystem:
    values = assignments(os_release)
    return OperatingSystem(
        id=values.get("ID", ""),
        id_like=values.get("ID_LIKE", "").split(),
        version_id=values.get("VERSION_ID", ""),
        pretty_name=values.get("PRETTY_NAME", ""),
    )


def model(tree: Tree) -> str:
    return tree.text("/proc/device-tree/model").rstrip("\0\n")


def memory(meminfo: str) -> Memory:
    kib = {name.rstrip(":"): int(amount) for name, amount in (line.split()[:2] for line in meminfo.splitlines())}
    return Memory(kib.get("MemTotal", 0) // 1024, kib.get("MemAvailable", 0) // 1024)


def disk(tree: Tree, directory: str) -> Disk:
    """Return the size of the file system that DIRECTORY is on or will be on."""
    while not tree.exists(directory):
        directory = os.path.dirname(directory)
    sizes = os.statvfs(tree.path(directory))
    return Disk(directory, sizes.f_blocks * sizes.f_frsize // _MIB, sizes.f_bavail * sizes.f_frsize // _MIB)


def clock(units: dict[str, Unit]) -> Clock:
    return Clock(time.time(), synchronized(), time_service(units))


def time_service(units: dict[str, Unit]) -> str:
    """Return the name of the service that keeps the clock; "" if none of the known ones runs."""
    return next((name for name in TIME_SERVICES if units.get(name, Unit()).active == "active"), "")


def synchronized() -> bool:
    """Return whether the kernel takes its clock for right, asked as timedatectl does."""
    timex = (ctypes.c_long * 64)()  # larger than the structure; zero asks and changes nothing
    try:
        answered: bool = ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) >= 0
    except (OSError, AttributeError):  # a C library without it
        return False
    return answered and timex[_MAXERROR] < _UNSYNCHRONIZED_MICROSECONDS
