# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_swap import ActiveSwap, active, configured
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

NODES = Path(__file__).parent.parent / "data" / "nodes"
MASK = Path("/dev/null")
ENABLED, DISABLED = Unit(loaded=True, enabled=True), Unit(loaded=True)
RPI_SWAP = {"/usr/lib/systemd/system-generators/rpi-swap-generator": ""}
ZRAM_GENERATOR = {"/usr/lib/systemd/system-generators/zram-generator": ""}
ZRAM = "[zram0]\nzram-size = ram / 2\n"

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]


def test_active() -> None:
    shown = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t2097136\t\t0\t\t100
/dev/sda5                               partition\t998396\t\t12\t\t-2
/var/swap\\040file                       file\t\t102396\t\t0\t\t-3
"""
    assert active(shown) == [
        ActiveSwap("/dev/zram0", "zram", 2047),
        ActiveSwap("/dev/sda5", "partition", 974),
        ActiveSwap("/var/swap\\040file", "file", 99),
    ]
    assert active(shown.splitlines()[0]) == active("") == []


@pytest.mark.parametrize(
    ("files", "units", "expected"),
    [
        # fstab
        ({"/etc/fstab": "UUID=a none swap sw 0 0\n/swapfile none swap defaults 0 0\n"}, {}, ["fstab", "fstab"]),
        ({"/etc/fstab": "# /swap none swap sw 0 0\n #x none swap sw 0 0\n\nLABEL=swap / ext4 defaults 0 1\n"}, {}, []),
        ({"/etc/fstab": "UUID=a none swap noauto,pri=5 0 0\n"}, {}, []),
        ({"/etc/fstab": "UUID=a none swap\n"}, {}, ["fstab"]),
        # dphys-swapfile
        ({"/etc/dphys-swapfile": "CONF_SWAPSIZE=100\n"}, {"dphys-swapfile": ENABLED}, ["dphys_swapfile"]),
        (
            {"/etc/dphys-swapfile": "#CONF_SWAPSIZE=0\nCONF_SWAPSIZE=\n"},
            {"dphys-swapfile": ENABLED},
            ["dphys_swapfile"],
        ),
        ({}, {"dphys-swapfile": ENABLED}, ["dphys_swapfile"]),
        ({"/etc/dphys-swapfile": "CONF_SWAPSIZE=100\nCONF_SWAPSIZE=0 # off\n"}, {"dphys-swapfile": ENABLED}, []),
        ({"/etc/dphys-swapfile": "CONF_SWAPSIZE=100\n"}, {"dphys-swapfile": DISABLED}, []),
        ({"/etc/dphys-swapfile": "CONF_SWAPSIZE=100\n"}, {}, []),
        # rpi-swap
        ({**RPI_SWAP}, {}, ["rpi_swap"]),
        ({**RPI_SWAP, "/etc/rpi/swap.conf": "[Main]\n#Mechanism=none\n"}, {}, ["rpi_swap"]),
        ({**RPI_SWAP, "/etc/rpi/swap.conf": "[Main]\nMechanism=none\n"}, {}, []),
        ({**RPI_SWAP, "/etc/rpi/swap.conf": "[File]\nMechanism=none\n"}, {}, ["rpi_swap"]),
        ({**RPI_SWAP, "/etc/rpi/swap.conf.d/90-k3s.conf": "[Main]\nMechanism = none\n"}, {}, []),
        (
            {
                **RPI_SWAP,
                "/etc/rpi/swap.conf": "[Main]\nMechanism=none\n",
                "/etc/rpi/swap.conf.d/10.conf": "[Main]\nMechanism=zram\n",
            },
            {},
            ["rpi_swap"],
        ),
        (
            {
                **RPI_SWAP,
                "/etc/rpi/swap.conf.d/10.conf": "[Main]\nMechanism=none\n",
                "/usr/lib/rpi/swap.conf.d/20.conf": "[Main]\nMechanism=zram+file\n",
            },
            {},
            ["rpi_swap"],
        ),
        ({**RPI_SWAP, "/etc/rpi/swap.conf": "[Main]\nMechanism=swapfile\n[File]\nFixedSizeMiB=0\n"}, {}, []),
        ({**RPI_SWAP, "/etc/rpi/swap.conf": "[Main]\nMechanism=swapfile\n"}, {}, ["rpi_swap"]),
        ({**RPI_SWAP, "/etc/systemd/system-generators/rpi-swap-generator": MASK}, {}, []),
        ({"/etc/rpi/swap.conf": "[Main]\nMechanism=zram\n"}, {}, []),
        # systemd-zram-generator
        ({**ZRAM_GENERATOR}, {}, []),
        ({**ZRAM_GENERATOR, "/etc/systemd/zram-generator.conf": ZRAM}, {}, ["zram_generator"]),
        ({**ZRAM_GENERATOR, "/usr/local/lib/systemd/zram-generator.conf": ZRAM}, {}, ["zram_generator"]),
        ({**ZRAM_GENERATOR, "/usr/lib/systemd/zram-generator.conf.d/10.conf": ZRAM}, {}, ["zram_generator"]),
        ({**ZRAM_GENERATOR, "/run/systemd/zram-generator.conf": ZRAM}, {}, []),
        ({"/etc/systemd/zram-generator.conf": ZRAM}, {}, []),
        (
            {
                **ZRAM_GENERATOR,
                "/usr/lib/systemd/zram-generator.conf": ZRAM,
                "/etc/systemd/zram-generator.conf": "# none\n",
            },
            {},
            [],
        ),
        (
            {**ZRAM_GENERATOR, "/usr/lib/systemd/zram-generator.conf": ZRAM, "/etc/systemd/zram-generator.conf": MASK},
            {},
            [],
        ),
        (
            {
                **ZRAM_GENERATOR,
                "/usr/lib/systemd/zram-generator.conf.d/10.conf": ZRAM,
                "/etc/systemd/zram-generator.conf.d/10.conf": MASK,
            },
            {},
            [],
        ),
        (
            {
                **ZRAM_GENERATOR,
                "/etc/systemd/zram-generator.conf": "[zram0]\n[zram1]\nmount-point=/a\n[zram2]\nfs-type=ext4\n[x]\n",
            },
            {},
            ["zram_generator"],
        ),
        ({**ZRAM_GENERATOR, "/etc/systemd/zram-generator.conf": "[zram0]\nzram-size=0\n"}, {}, []),
        (
            {**ZRAM_GENERATOR, "/etc/systemd/zram-generator.conf": ZRAM, "/etc/systemd/system/dev-zram0.swap": MASK},
            {},
            [],
        ),
        # zram-tools
        ({}, {"zramswap": ENABLED}, ["zram_tools"]),
        ({"/etc/default/zramswap": "PERCENT=50\n"}, {"zramswap": DISABLED}, []),
        # units
        ({"/etc/systemd/system/swapfile.swap": "[Swap]\nWhat=/swapfile\n"}, {}, []),
        (
            {"/etc/systemd/system/swap.target.wants/swapfile.swap": Path("/etc/systemd/system/swapfile.swap")},
            {},
            ["unit"],
        ),
        (
            {
                "/etc/systemd/system/swap.target.requires/dev-sda5.swap": Path("/usr/lib/systemd/system/dev-sda5.swap"),
                "/etc/systemd/system/dev-sda5.swap": MASK,
            },
            {},
            [],
        ),
    ],
)
def test_configured(make_tree: MakeTree, files: Files, units: dict[str, Unit], expected: list[str]) -> None:
    found = configured(make_tree(files), units)
    assert [swap.kind for swap in found] == expected
    assert all(swap.path.startswith("/") and swap.evidence for swap in found)


def test_raspberry_pi_os_without_swap() -> None:
    """The configuration that rpi-swap made for this run of the kernel does not count for the next."""
    trixie = Tree(NODES / "raspberrypi-os-trixie")
    assert "fs-type=swap" in trixie.text("/run/systemd/zram-generator.conf.d/20-rpi-swap-zram0-ctrl.conf")
    assert [swap.kind for swap in configured(trixie, {})] == ["rpi_swap"]


def test_the_file_that_decides(make_tree: MakeTree) -> None:
    name = "/etc/rpi/swap.conf.d/50.conf"
    files: Files = {**RPI_SWAP, "/etc/rpi/swap.conf": "[Main]\n", name: "[Main]\nMechanism=zram\n"}
    (swap,) = configured(make_tree(files), {})
    assert (swap.path, swap.evidence) == (name, "Mechanism=zram")
