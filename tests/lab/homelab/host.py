# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The footprint on the host: privileged containers share its kernel, so what they may change there is put back."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from homelab.shell import run

# The kernel forgets what it was told when it restarts, and so does this directory.
RUN = Path("/run/homecloud-lab")
BEFORE = RUN / "host.json"

# What the kernel or time changes by itself, and what belongs to one interface.
VOLATILE = re.compile(
    r"fs/(dentry-state|file-nr|inode-nr|inode-state|aio-nr|quota/|binfmt_misc/|mqueue/)"
    r"|kernel/(random/|ns_last_pid|pty/nr|hung_task_detect_count|sched_domain/|cap_last_cap|osrelease|.*_scan_seconds)"
    r"|net/(ipv[46]/(conf|neigh)/|ipv4/route/|netfilter/nf_conntrack_count|core/.*_usage|ipv4/tcp_.*_cookie)"
    r"|vm/(stat|compact_memory|drop_caches)"
)

# Modules that containers, their networks and firewalls need. Others, such as those of a new device, are not ours.
LOADED_BY_LABS = re.compile(
    r"bridge|br_netfilter|stp|llc|veth|vxlan|wireguard|dummy|overlay|(ip6_)?udp_tunnel|x_tables|xt_\w+|ip6?_tables"
    r"|ip6?t_\w+|ip6?table_\w+|nf_\w+|nft_\w+|nfnetlink\w*|ip_set\w*|ip_vs\w*|sch_\w+|cls_\w+"
)


@dataclass(frozen=True)
class HostState:
    """What a privileged container could change in the host."""

    sysctls: dict[str, str]
    modules: list[str]
    swaps: list[str]
    firewall: list[str]

    @classmethod
    def read(cls) -> HostState:
        return cls(dict(_sysctls(Path("/proc/sys"))), _modules(), _swaps(), _firewall())

    def differences(self, after: HostState) -> list[str]:
        """What of this is otherwise in a later state, a line each. What came and went with a module is the module's."""
        kept = self.sysctls.keys() & after.sysctls.keys()
        lines = [
            f"sysctl {key.replace('/', '.')}: {self.sysctls[key]!r} became {after.sysctls[key]!r}"
            for key in sorted(kept)
            if self.sysctls[key] != after.sysctls[key]
        ]
        for kind in ("modules", "swaps", "firewall"):
            before_set, after_set = set(getattr(self, kind)), set(getattr(after, kind))
            lines += [f"{kind}: gone: {entry}" for entry in sorted(before_set - after_set)]
            lines += [f"{kind}: new: {entry}" for entry in sorted(after_set - before_set)]
        return lines


def _sysctls(root: Path) -> Iterator[tuple[str, str]]:
    for directory, _subdirectories, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            key = str(path.relative_to(root))
            if not VOLATILE.match(key) and path.stat().st_mode & 0o200:
                try:
                    yield key, path.read_text().strip()
                except (OSError, UnicodeDecodeError):
                    continue  # some can only be written


def _modules() -> list[str]:
    try:
        names = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    except FileNotFoundError:  # a kernel without modules
        return []
    return sorted(name for name in names if LOADED_BY_LABS.fullmatch(name))


def _swaps() -> list[str]:
    return [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]


def _firewall() -> list[str]:
    """Rules as each tool prints them, without counters and comments."""
    lines: list[str] = []
    for command in (["iptables-save"], ["ip6tables-save"], ["iptables-legacy-save"], ["nft", "list", "ruleset"]):
        if shutil.which(command[0]):
            output = re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+", "", run(command, check=False))
            lines += [f"{command[0]}: {line.strip()}" for line in output.splitlines() if not line.startswith("#")]
    return lines


@contextmanager
def exclusive() -> Iterator[None]:
    """One change at a time to what labs share: the host's state and the choice of a network."""
    RUN.mkdir(exist_ok=True)
    with (RUN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remember() -> None:
    """Before the first lab starts."""
    if not BEFORE.exists():
        BEFORE.write_text(json.dumps(asdict(HostState.read())))


def make_room(key: str = "fs/inotify/max_user_instances", enough: int = 8192) -> None:
    """The inits, container runtimes and kubelets of all nodes share what one user may have: usually 128 instances."""
    limit = Path("/proc/sys", key)
    if int(limit.read_text()) < enough:
        limit.write_text(str(enough))


def restore() -> list[str]:
    """After the last lab is gone: put the host back. Returns what is different all the same."""
    if not BEFORE.exists():
        return []
    before = HostState(**json.loads(BEFORE.read_text()))
    now = HostState.read()
    for key, value in before.sysctls.items():
        if now.sysctls.get(key, value) != value:
            _write_sysctl(key, value)
    # A module that others need stays until they are gone: a few rounds get all.
    for _round in range(5):
        for module in set(_modules()) - set(before.modules):
            run(["modprobe", "--remove", module], check=False)
    for device in set(before.swaps) - set(_swaps()):
        run(["swapon", device], check=False)
    BEFORE.unlink()
    return before.differences(HostState.read())


def _write_sysctl(key: str, value: str) -> None:
    try:
        Path("/proc/sys", key).write_text(value)
    except OSError:
        return  # restore() reports what stays different
