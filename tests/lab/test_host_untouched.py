# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab that came and went leaves no trace on its host. Needs root and a built lab; run it when no other lab is up."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

LAB = Path(__file__).with_name("lab.py")
# What the kubelet, kube-proxy and a role may set through a privileged container.
CHANGES = {
    "kernel.panic": 10,
    "kernel.panic_on_oops": 1,
    "vm.overcommit_memory": 1,
    "kernel.keys.root_maxkeys": 1000000,
}
# Only what is set, not what is counted.
COUNTED = re.compile(
    r"kernel\.(random|ns_last_pid|pty\.nr)|fs\.(dentry-state|file-nr|inode|quota)|.*(_count|cookie|usage) "
)


def output(*command: str) -> list[str]:
    if not shutil.which(command[0]):
        return []
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    text = re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+|\d+ (minutes|seconds|hours) ago", "", text)
    return [line for line in text.splitlines() if not line.startswith("#")]


def footprint() -> dict[str, list[str]]:
    """What other programs say about this machine."""
    commands = [
        "iptables-save",
        "iptables-legacy-save",
        "nft list ruleset",
        "ip -brief address",
        "ip route",
        "ip netns",
    ]
    commands += ["cat /proc/swaps", "podman ps --all --format {{.Names}}", "podman volume ls"]
    said = {command: output(*command.split()) for command in commands}
    said["modules"] = sorted(line.split()[0] for line in output("cat", "/proc/modules"))
    said["cgroups"] = sorted(line.split(":")[1] for line in output("cat", "/proc/self/cgroup"))
    said["sysctl"] = [line for line in output("sysctl", "--all") if not COUNTED.match(line)]
    return said


def lab(*arguments: str) -> None:
    subprocess.run([sys.executable, LAB, *arguments], check=True)


def test_host_is_as_before() -> None:
    assert not Path("/run/homecloud-lab/host.json").exists(), "a lab is up: `lab.py down` first"
    before = footprint()
    try:
        lab("up", "--name", "footprint", "--nodes", "1")
        settings = [f"{name}={value}" for name, value in CHANGES.items()]
        lab("shell", "--name", "footprint", "server1", "--", "sysctl", "--write", *settings)
        lab("shell", "--name", "footprint", "server1", "--", "swapoff", "--all")
        during = footprint()
    finally:
        lab("down", "--name", "footprint")
    for name, value in CHANGES.items():
        assert f"{name} = {value}" in during["sysctl"], "the node could not change the host: this test proves nothing"
    assert footprint() == before
