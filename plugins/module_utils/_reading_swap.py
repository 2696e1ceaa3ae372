# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The swap that a node uses, and what would bring it back at the next boot.

from __future__ import annotations

import os.path
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree, assignments
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

SERVICES = ("dphys-swapfile", "zramswap")
_GENERATORS = "/usr/lib/systemd/system-generators"
_OVERRIDES = "/etc/systemd/system"
# The later wins. What is in /run is gone at the next boot: rpi-swap writes zram's configuration there at each.
_CONFIG_DIRECTORIES = ("/usr/lib", "/usr/local/lib", "/etc")

_Sections = dict[str, dict[str, str]]


@dataclass(frozen=True)
class ActiveSwap:
    device: str
    kind: str
    size_mib: int


@dataclass(frozen=True)
class ConfiguredSwap:
    kind: str
    path: str
    evidence: str


def active(swaps: str) -> list[ActiveSwap]:
    """Return what /proc/swaps lists."""
    rows = [line.split()[:3] for line in swaps.splitlines()[1:]]
    return [
        ActiveSwap(device, "zram" if re.match(r"/dev/zram\d+$", device) else kind, int(size) // 1024)
        for device, kind, size in rows
    ]


def configured(tree: Tree, units: dict[str, Unit]) -> list[ConfiguredSwap]:
    """Return whatever would bring swap back at the next boot."""
    return [
        *_fstab(tree),
        *_dphys_swapfile(tree, units),
        *_rpi_swap(tree),
        *_zram_generator(tree),
        *_zram_tools(units),
        *_units(tree),
    ]


def _fstab(tree: Tree) -> t.Iterator[ConfiguredSwap]:
    for line in tree.text("/etc/fstab").splitlines():
        fields = line.split()
        if not line.lstrip().startswith("#") and fields[2:3] == ["swap"] and "noauto" not in "".join(fields[3:4]):
            yield ConfiguredSwap("fstab", "/etc/fstab", " ".join(fields))


def _dphys_swapfile(tree: Tree, units: dict[str, Unit]) -> t.Iterator[ConfiguredSwap]:
    path = "/etc/dphys-swapfile"
    size = assignments(tree.text(path)).get("CONF_SWAPSIZE", "")
    if units.get("dphys-swapfile", Unit()).enabled and size != "0":
        said = f"{path} says CONF_SWAPSIZE={size}" if size else f"{path} leaves the size to it"
        yield ConfiguredSwap("dphys_swapfile", path, f"dphys-swapfile.service is enabled and {said}")


def _rpi_swap(tree: Tree) -> t.Iterator[ConfiguredSwap]:
    if not _generates(tree, "rpi-swap-generator"):
        return
    config, files = _systemd_config(tree, "rpi/swap.conf")
    mechanism = config.get("Main", {}).get("Mechanism") or "auto"
    if mechanism != "none" and not (mechanism == "swapfile" and config.get("File", {}).get("FixedSizeMiB") == "0"):
        yield ConfiguredSwap("rpi_swap", (files or ["/etc/rpi/swap.conf"])[-1], f"Mechanism={mechanism}")


def _zram_generator(tree: Tree) -> t.Iterator[ConfiguredSwap]:
    if not _generates(tree, "zram-generator"):
        return
    config, files = _systemd_config(tree, "systemd/zram-generator.conf")
    for device, options in config.items():
        if re.match(r"zram\d+$", device) and _is_swap(options) and not _masked(tree, f"dev-{device}.swap"):
            yield ConfiguredSwap("zram_generator", files[-1], f"[{device}]")


def _is_swap(options: dict[str, str]) -> bool:
    kind = options.get("fs-type") or ("" if "mount-point" in options else "swap")
    # No host has so little memory as 0 MiB: rpi-swap turns the device off with that.
    return kind == "swap" and "0" not in (options.get("host-memory-limit"), options.get("zram-size"))


def _zram_tools(units: dict[str, Unit]) -> t.Iterator[ConfiguredSwap]:
    if units.get("zramswap", Unit()).enabled:
        yield ConfiguredSwap("zram_tools", "/etc/default/zramswap", "zramswap.service is enabled")


def _units(tree: Tree) -> t.Iterator[ConfiguredSwap]:
    wanted = [link for kind in ("wants", "requires") for link in tree.glob(f"{_OVERRIDES}/*.{kind}/*.swap")]
    for link in wanted:
        unit = os.path.basename(link)
        if not _masked(tree, unit):
            yield ConfiguredSwap("unit", tree.link(link) or link, f"{unit} is enabled by {link}")


def _masked(tree: Tree, unit: str) -> bool:
    return tree.link(f"{_OVERRIDES}/{unit}") == "/dev/null"


def _generates(tree: Tree, name: str) -> bool:
    """Tell whether systemd runs the generator at boot; a link to /dev/null in /etc turns it off."""
    return tree.exists(f"{_GENERATORS}/{name}") and tree.link(f"/etc/systemd/system-generators/{name}") != "/dev/null"


def _systemd_config(tree: Tree, name: str) -> tuple[_Sections, list[str]]:
    """Return a configuration that is read as systemd's own are, and the files that it is from, the decisive last.

    Of the main files and of drop-ins with one name the one in the directory that comes later counts; drop-ins are taken
    in the order of their names, and say more than the main file.
    """
    main = [path for path in (f"{directory}/{name}" for directory in _CONFIG_DIRECTORIES) if tree.exists(path)]
    drop_ins = {}
    for directory in _CONFIG_DIRECTORIES:
        drop_ins.update({os.path.basename(path): path for path in tree.glob(f"{directory}/{name}.d/*.conf")})
    files = [*main[-1:], *(drop_ins[key] for key in sorted(drop_ins))]
    config: _Sections = {}
    deciding = []
    for file in files:
        sections = _sections(tree.text(file))
        deciding += [file] if sections else []
        for section, options in sections.items():
            config.setdefault(section, {}).update(options)
    return config, deciding


def _sections(text: str) -> _Sections:
    sections: _Sections = {}
    options: dict[str, str] = {}
    for line in map(str.strip, text.splitlines()):
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            options = sections.setdefault(line[1:-1], {})
        elif equals and line[0] not in "#;":
            options[key.rstrip()] = value.lstrip()
    return sections
