# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The one reading of a node: everything that the roles need to know of it. What takes long,
# programs and the hashes of large files, runs at the same time.

from __future__ import annotations

import glob
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils import (
    _reading_firewall,
    _reading_host,
    _reading_k3s,
    _reading_kernel,
    _reading_network,
    _reading_remains,
    _reading_swap,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_files import File, file, newer
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree, run
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit, units
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import command as units_command

_SERVICES = (
    *_reading_k3s.KINDS,
    *_reading_host.TIME_SERVICES,
    *_reading_swap.SERVICES,
    *_reading_firewall.SERVICES,
)
_COMMANDS = (
    units_command(_SERVICES),
    _reading_k3s.VERSION_COMMAND,
    _reading_network.ADDRESS_COMMAND,
    *_reading_network.ROUTE_COMMANDS,
    _reading_firewall.IPTABLES_COMMAND,
    _reading_firewall.NFT_COMMAND,
)
_OF_REMAINS = (
    *_reading_remains.IPTABLES_COMMANDS,
    _reading_remains.NFT_COMMAND,
    _reading_remains.NETNS_COMMAND,
)
_BINARIES = ("k3s", "kubectl", "crictl", "ctr", "k3s-killall.sh", "k3s-uninstall.sh", "k3s-agent-uninstall.sh")
# What k3s reads when it starts; {unit} and {data_dir} are filled in.
_READ_AT_START = (
    _reading_k3s.BINARY,
    "/etc/systemd/system/{unit}.service",
    "/etc/rancher/k3s/config.yaml",
    "/etc/rancher/k3s/config.yaml.d/*",
    "/etc/rancher/k3s/registries.yaml",
    "/etc/rancher/k3s/token",
    "{data_dir}/agent/images/*",
)
_TOKENS = ("{data_dir}/server/agent-token", "{data_dir}/server/token")
_KERNEL_SETTINGS = ("/etc/modules-load.d/k3s.conf", "/etc/sysctl.d/90-k3s.conf")
_WORKERS = 16


@dataclass(frozen=True)
class Request:
    """The parameters of the module."""

    boot_files: list[str]
    data_dir: str | None
    files: list[str]
    resolve: list[str]
    sysctls: list[str]
    remains: bool = False


@dataclass(frozen=True)
class UnitReading:
    loaded: bool
    enabled: bool
    active: str
    needs_reload: bool
    outdated: list[str]


@dataclass(frozen=True)
class Reading:
    """The result of the module."""

    hostname: str
    machine_id: str
    boot_id: str
    python: str
    architecture: str
    kernel: str
    model: str
    os: _reading_host.OperatingSystem
    cpus: int
    memory: _reading_host.Memory
    disk: _reading_host.Disk
    boot: _reading_kernel.Boot
    cgroup: _reading_kernel.Cgroup
    swap: dict[str, list[_reading_swap.ActiveSwap] | list[_reading_swap.ConfiguredSwap]]
    modules: dict[str, str]
    sysctls: dict[str, str | None]
    time: _reading_host.Clock
    ports: list[_reading_network.Port]
    firewall: list[_reading_firewall.Firewall]
    interfaces: list[_reading_network.Interface]
    default_route: _reading_network.DefaultRoute | None
    resolves: dict[str, list[str]]
    k3s: _reading_k3s.K3s
    units: dict[str, UnitReading]
    files: dict[str, File]
    remains: list[str]


def read(request: Request, root: Path) -> Reading:
    """Read the node whose files are below ROOT."""
    tree = Tree(root)
    config = _reading_k3s.config(tree)
    data_dir = config.data_dir(request.data_dir)
    names = _files(tree, data_dir) + request.files
    follow = {name.format(data_dir=data_dir) for name in _TOKENS}
    with ThreadPoolExecutor(_WORKERS) as pool:
        commands = (*_COMMANDS, *(_OF_REMAINS if request.remains else ()))
        outputs = {command: pool.submit(run, *command) for command in commands}
        resolved = {name: pool.submit(_reading_network.resolve, name) for name in request.resolve}
        files = {name: pool.submit(file, tree, name, name in follow) for name in names}
        ports = _reading_network.ports(tree)
        boot = _reading_kernel.boot(tree, request.boot_files)
    output = {command: future.result() for command, future in outputs.items()}
    known = units(output[units_command(_SERVICES)])
    interfaces = _reading_network.interfaces(tree, output[_reading_network.ADDRESS_COMMAND])
    release = tree.text("/proc/sys/kernel/osrelease").strip()
    return Reading(
        hostname=tree.text("/proc/sys/kernel/hostname").strip(),
        machine_id=tree.text("/etc/machine-id").strip(),
        boot_id=tree.text("/proc/sys/kernel/random/boot_id").strip(),
        python=platform.python_version(),
        architecture=os.uname().machine,
        kernel=release,
        model=_reading_host.model(tree),
        os=_reading_host.operating_system(tree.text("/etc/os-release")),
        cpus=os.cpu_count() or 1,
        memory=_reading_host.memory(tree.text("/proc/meminfo")),
        disk=_reading_host.disk(tree, data_dir),
        boot=boot,
        cgroup=_reading_kernel.cgroup(tree),
        swap={
            "active": _reading_swap.active(tree.text("/proc/swaps")),
            "configured": _reading_swap.configured(tree, known),
        },
        modules=_reading_kernel.modules(tree, release),
        sysctls=_reading_kernel.sysctls(tree, request.sysctls),
        time=_reading_host.clock(known),
        ports=ports,
        firewall=_reading_firewall.firewalls(
            tree, known, output[_reading_firewall.IPTABLES_COMMAND], output[_reading_firewall.NFT_COMMAND]
        ),
        interfaces=interfaces,
        default_route=_reading_network.default_route(
            [output[command] for command in _reading_network.ROUTE_COMMANDS], interfaces
        ),
        resolves={name: future.result() for name, future in resolved.items()},
        k3s=_reading_k3s.k3s(tree, config, data_dir, known, output[_reading_k3s.VERSION_COMMAND]),
        units={name: _unit(tree, name, data_dir, known.get(name, Unit())) for name in _reading_k3s.KINDS},
        files={name: found for name, future in files.items() if (found := future.result()) is not None},
        remains=_reading_remains.remains(tree, data_dir, output) if request.remains else [],
    )


def _files(tree: Tree, data_dir: str) -> list[str]:
    patterns = (*(f"/usr/local/bin/{name}" for name in _BINARIES), *_TOKENS, *_KERNEL_SETTINGS)
    found = _found(tree, patterns, data_dir)
    for unit in _reading_k3s.KINDS:
        found += _found(tree, _READ_AT_START, data_dir, unit)
    return sorted(set(found))


def _found(tree: Tree, patterns: tuple[str, ...], data_dir: str, unit: str = "") -> list[str]:
    place = glob.escape(data_dir)
    return [name for pattern in patterns for name in tree.glob(pattern.format(data_dir=place, unit=unit))]


def _unit(tree: Tree, name: str, data_dir: str, unit: Unit) -> UnitReading:
    # By the clock of now: that of the moment of the start may have been wrong, on a node without a battery for it.
    start = None if unit.started is None else time.time() - time.monotonic() + unit.started
    outdated = [] if start is None else newer(tree, _found(tree, _READ_AT_START, data_dir, name), start)
    return UnitReading(unit.loaded, unit.enabled, unit.active, unit.needs_reload, outdated)
