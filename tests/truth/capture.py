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

from cases import CONFIGURATIONS, many_objects, objects
from network import NODE_ADDRESS, TruthError, network
from programs import kube_proxy, lab_version
from proxy import VARIANTS, Proxy, save, write_rules

DATA: t.Final = Path(__file__).parents[1] / "unit/plugins/data/iptables"
# The oldest that the collection is for, and one in which rules that count came; each the newest that can be had.
OLDER: t.Final = ("v1.31.4", "v1.33.4")
_COUNTERS: t.Final = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "versions", nargs="*", default=[*OLDER, lab_version()], help="of Kubernetes (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the directory to write to (default: %(default)s)")
    return parser.parse_args()


def capture(version: str, folder: Path) -> None:
    """Capture a version: in all ways if it is the lab's, else in the usual one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = kube_proxy(version)
    # kube-proxy of another version has no other flags; what differs are its rules.
    chosen = CONFIGURATIONS if version == lab_version() else {"default": CONFIGURATIONS["default"]}
    worlds = {name: (configuration, objects(version)) for name, configuration in chosen.items()}
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
            capture(version, wanted.data / version)
    except TruthError as error:
        print(f"capture: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
