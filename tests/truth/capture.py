# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture the rules that the real kube-proxy writes, and the objects that it makes them of: data of the unit tests."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import typing as t
from pathlib import Path

from api import Thing
from cases import CONFIGURATIONS, NFT_CONFIGURATIONS, many_objects, objects
from network import NODE_ADDRESS, Network, TruthError, network
from programs import kube_proxy, lab_version
from proxy import NFTABLES, VARIANTS, Proxy, save, write_rules

DATA: t.Final = Path(__file__).parents[1] / "unit/plugins/data"
# Tables of nftables that others make, without those of kube-proxy.
OTHERS: t.Final = Path(__file__).with_name("rules") / "others.nft"
# The oldest that the collection is for, and those since which rules are of other forms; each the newest that there is.
OLDER: t.Final = ("v1.31.4", "v1.33.4", "v1.35.0")
_COUNTERS: t.Final = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "versions", nargs="*", default=[*OLDER, lab_version()], help="of Kubernetes (default: %(default)s)"
    )
    parser.add_argument(
        "--mode", choices=MODES, action="append", help="of kube-proxy; may be given again (default: each)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the directory to write to (default: %(default)s)")
    return parser.parse_args()


def chosen(version: str, configurations: dict[str, Thing]) -> dict[str, Thing]:
    """All configurations if it is the lab's version, else the usual one.

    kube-proxy of another version has no other flags; what differs are its rules.
    """
    return configurations if version == lab_version() else {"default": configurations["default"]}


def capture_iptables(version: str, folder: Path) -> None:
    command = kube_proxy(version)
    worlds = {
        name: (configuration, objects(version)) for name, configuration in chosen(version, CONFIGURATIONS).items()
    }
    if version == lab_version():
        worlds["many"] = (CONFIGURATIONS["default"], many_objects(version))
    for name, (configuration, things) in worlds.items():
        if name in ("default", "many"):
            write(folder / f"{name}.json.gz", json.dumps(things, indent=1))
        for variant in VARIANTS if name == "default" else VARIANTS[:1]:
            with network() as net:
                write_rules(Proxy(command, configuration), net.node, variant, things)
                for family in NODE_ADDRESS:
                    write(folder / f"{name}.{variant}.v{family}.txt.gz", steady(save(net.node, variant, family)))
        print(f"{version} {name}", flush=True)


def capture_nft(version: str, folder: Path) -> None:
    """Capture the rules as JSON, and as text to prove what is printed of them."""
    command = kube_proxy(version)
    for name, configuration in chosen(version, NFT_CONFIGURATIONS).items():
        with network() as net:
            write_rules(Proxy(command, configuration), net.node, NFTABLES, objects(version))
            write_nft(net, folder, name)
        print(f"{version} {NFTABLES} {name}", flush=True)
    if version == lab_version():
        with network() as net:
            net.node.run("nft", "--file", str(OTHERS))
            write_nft(net, folder, OTHERS.stem)


def write_nft(net: Network, folder: Path, name: str) -> None:
    write(folder / f"{name}.json.gz", save(net.node, NFTABLES, 4))
    write(folder / f"{name}.txt.gz", net.node.run("nft", "list", "ruleset"))


# By the modes of kube-proxy: how their rules are captured, and where they are put.
MODES: t.Final = {"iptables": (capture_iptables, "iptables"), NFTABLES: (capture_nft, "nft")}


def steady(text: str) -> str:
    """A dump without what differs from run to run: the time, and how many packets there were."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return _COUNTERS.sub(" [0:0]", "\n".join(lines)) + "\n"


def write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> int:
    wanted = arguments()
    try:
        for version in wanted.versions:
            for mode in wanted.mode or MODES:
                capture, directory = MODES[mode]
                folder = wanted.data / directory / version
                folder.mkdir(parents=True, exist_ok=True)
                capture(version, folder)
    except TruthError as error:
        print(f"capture: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
