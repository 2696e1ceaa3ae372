# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of what was read on each host by itself.

Private to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import words
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    Finding,
    Home,
    Host,
    Os,
    address_of,
)

_OLDEST_RELEASES = {"debian": (11,), "raspbian": (11,), "ubuntu": (22, 4)}
_OLDEST_PYTHON = (3, 9)
ARCHITECTURES = ("x86_64", "aarch64", "armv7l")
_MEMORY_FLAG = "cgroup_enable=memory"
# What k3s recommends by kind, and how much of it a board of that size has left by its firmware and its kernel.
_MEMORY_MIB = {"server": 2048, "agent": 512}
_MEMORY_SHARE = 0.85
_DISK_NEEDED_MIB, _DISK_WANTED_MIB = 2048, 4096


def unsupported_os(home: Home) -> Iterator[Finding]:
    """The system is neither Debian 11, Raspberry Pi OS 11, Ubuntu 22.04 nor a newer one of these, nor made from one."""
    for host, reading in home.read:
        if not _is_supported(reading["os"]):
            yield Finding(
                "The operating system is not supported.",
                f"/etc/os-release: {reading['os']['pretty_name'] or reading['os']['id'] or 'unknown'}",
                "Put Debian or Raspberry Pi OS 11, Ubuntu 22.04 or a newer one of these on the host.",
                host.name,
            )


def unsupported_architecture(home: Home) -> Iterator[Finding]:
    """There is no k3s for the machine."""
    for host, reading in home.read:
        if reading["architecture"] not in ARCHITECTURES:
            yield Finding(
                "There is no k3s for this machine.",
                f"uname -m: {reading['architecture']}",
                f"k3s is released for {', '.join(ARCHITECTURES)}. Take the host out of the inventory.",
                host.name,
            )


def python_too_old(home: Home) -> Iterator[Finding]:
    """The Python that Ansible uses on the host is older than 3.9."""
    for host, reading in home.read:
        if _numbers(reading["python"]) < _OLDEST_PYTHON:
            yield Finding(
                "Python is too old.",
                f"Python {reading['python']}",
                "Install Python 3.9 or newer, and name it by ansible_python_interpreter if Ansible does not find it.",
                host.name,
            )


def no_memory_cgroup(home: Home) -> Iterator[Finding]:
    """The kernel has no memory cgroup, and the role node has no way to turn it on."""
    for host, reading in home.read:
        boot = reading["boot"]
        if reading["cgroup"]["memory"] or (boot["file"] and _MEMORY_FLAG not in boot["kernel_words"]):
            continue
        booted = f"{_MEMORY_FLAG} is in /proc/cmdline" if _MEMORY_FLAG in boot["kernel_words"] else "no boot file found"
        yield Finding(
            "The kernel has no memory cgroup, without which k3s does not start, and the role node cannot turn it on.",
            f"{reading['cgroup']['evidence']}; {booted}",
            f'Add "{_MEMORY_FLAG}" to the command line of the kernel and reboot. '
            "If the flag is there already, the kernel was built without it: install that of the distribution.",
            host.name,
        )


def cgroup_v1(home: Home) -> Iterator[Finding]:
    """The host uses cgroup v1, with which k3s 1.35 and newer do not start unless told to."""
    for host, reading in home.read:
        needs_v2 = host.version and host.version.numbers >= (1, 35, 0)
        told = "fail-cgroupv1=false" in words(host.config.get("kubelet-arg", []))
        if reading["cgroup"]["version"] == 1 and needs_v2 and not told:
            yield Finding(
                "The host uses cgroup v1, with which k3s 1.35 and newer do not start.",
                f"{reading['cgroup']['evidence']}; k3s_version: {host.setting('k3s_version')}",
                'Boot with cgroup v2 (add "systemd.unified_cgroup_hierarchy=1" to the command line of the kernel), '
                "or set k3s_config to {kubelet-arg: [fail-cgroupv1=false]}.",
                host.name,
            )


def port_taken(home: Home) -> Iterator[Finding]:
    """A program other than k3s listens on a port that k3s or MetalLB needs."""
    for host, reading in home.read:
        needed = _ports(host, home.has_etcd)
        for socket in reading["ports"]:
            use = needed.get((socket["protocol"], socket["port"]))
            if use and not _is_ours(socket["process"]):
                port = f"{socket['port']}/{socket['protocol']}"
                yield Finding(
                    f"{use} needs port {port}, but another program listens there.",
                    f"{socket['process']} listens on {socket['address']} port {port}",
                    'Stop the program or give it another port; "ss -lntup" shows its process.',
                    host.name,
                )


def disk_full(home: Home) -> Iterator[Finding]:
    """There is less than 2 GiB of free disk for a k3s that is yet to be installed."""
    return _disk(home, 0, _DISK_NEEDED_MIB)


def little_disk(home: Home) -> Iterator[Finding]:
    """There is less than 4 GiB of free disk for a k3s that is yet to be installed."""
    return _disk(home, _DISK_NEEDED_MIB, _DISK_WANTED_MIB)


def little_memory(home: Home) -> Iterator[Finding]:
    """There is less memory than k3s asks for: 2 GiB on a server, 512 MiB on an agent."""
    for host, reading in home.read:
        wanted, total = _MEMORY_MIB[host.kind], reading["memory"]["total_mib"]
        if 0 < total < wanted * _MEMORY_SHARE:
            yield Finding(
                f"The host has little memory for a k3s {host.kind}.",
                f"{total} MiB of memory, {wanted} MiB recommended",
                "Expect it to be slow, and pods to be killed; give such a host the part of an agent, and few pods.",
                host.name,
            )


def config_unreadable(home: Home) -> Iterator[Finding]:
    """A configuration file of k3s that is on the host cannot be read."""
    for host, reading in home.read:
        for problem in reading["k3s"]["problems"]:
            yield Finding(
                "The configuration of k3s on the host cannot be read.",
                problem,
                "Mend the file, or remove it: the role k3s writes /etc/rancher/k3s/config.yaml anew.",
                host.name,
            )


def wifi(home: Home) -> Iterator[Finding]:
    """The host is on the LAN by Wi-Fi."""
    for host, reading in home.read:
        route = reading["default_route"]
        for interface in reading["interfaces"]:
            if route and interface["name"] == route["interface"] and interface["kind"] == "wifi":
                yield Finding(
                    "The host is on the LAN by Wi-Fi. Many Wi-Fi drivers, that of the Raspberry Pi among them, "
                    "do not pass on the ARP requests by which the LAN finds the addresses of MetalLB.",
                    f"default route: {interface['name']}, {address_of(host, reading)}",
                    "Connect the host by cable.",
                    host.name,
                )


def _is_supported(os: Os) -> bool:
    if os["id"] in _OLDEST_RELEASES:
        # Debian's testing has no version: it is newer than any release.
        return not os["version_id"] or _numbers(os["version_id"]) >= _OLDEST_RELEASES[os["id"]]
    return not _OLDEST_RELEASES.keys().isdisjoint(os["id_like"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _ports(host: Host, has_etcd: bool) -> dict[tuple[str, int], str]:
    """What needs which port."""
    needed = dict.fromkeys((("tcp", 6444), ("tcp", 10250)), "k3s")
    needed.update(dict.fromkeys((("tcp", 7946), ("udp", 7946)), "MetalLB"))
    if host.kind == "server":
        needed.update(dict.fromkeys((("tcp", 6443), ("tcp", 10257), ("tcp", 10259)), "The API of the cluster"))
    if host.kind == "server" and has_etcd:
        needed.update(dict.fromkeys((("tcp", 2379), ("tcp", 2380)), "etcd"))
    return needed


def _is_ours(process: str) -> bool:
    """Whether k3s or a pod of MetalLB listens; the kernel, which does for flannel, has no name."""
    return process in ("", "speaker") or process.startswith("k3s")


def _disk(home: Home, least: int, most: int) -> Iterator[Finding]:
    for host, reading in home.read:
        disk = reading["disk"]
        if not reading["k3s"]["installed"] and least <= disk["free_mib"] < most:
            yield Finding(
                "There is little free disk for k3s and the images of its pods.",
                f"{disk['free_mib']} MiB free at {disk['path']}",
                "Make room: 2 GiB are needed, 4 GiB and more are good.",
                host.name,
            )
