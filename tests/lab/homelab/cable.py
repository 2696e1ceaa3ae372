# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cables of a machine, plugged in whenever its container starts.

The container runtime calls this as a hook, also when a container restarts by itself after a reboot inside it:
each start comes with an empty network namespace. It stands alone, since a copy of it lies with the state of the lab.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys

PREFIX = "homecloud.lab."
NETWORKS = ("lan", "internet")  # each a bridge of the switch


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, stdout=sys.stderr)


def hardware_address(address: str) -> str:
    """The same after each start, as that of a real machine."""
    return ":".join(["02", "4c", *(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)])


def port(network: str, address: str) -> str:
    """Where on the switch the machine with this address is plugged in."""
    return f"{network}{address.rpartition('.')[2]}"


def plug(pid: int, switch: str, cables: dict[str, str], gateway: str | None) -> None:
    """Connect a machine with networks, under an address in each."""
    inside = ["link set lo up"]
    for number, (network, address) in enumerate(cables.items()):
        interface, end = f"eth{number}", port(network, address)
        peer = ["peer", "name", interface, "address", hardware_address(address), "netns", str(pid)]
        # The namespace of the previous start, and its cable with it, may still be in the course of going.
        subprocess.run(["ip", "-n", switch, "link", "delete", end], check=False, capture_output=True)
        ip("-n", switch, "link", "add", end, "type", "veth", *peer)
        ip("-n", switch, "link", "set", end, "master", network, "up")
        inside += [f"address add {address}/24 dev {interface}", f"link set {interface} up"]
    if gateway:
        inside.append(f"route add default via {gateway}")
    subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"],
        input="\n".join(inside) + "\n", text=True, check=True,
    )  # fmt: skip


def main() -> None:
    state = json.load(sys.stdin)
    given: dict[str, str] = state["annotations"]
    cables = {network: given[PREFIX + network] for network in NETWORKS if PREFIX + network in given}
    plug(state["pid"], given[PREFIX + "switch"], cables, given.get(PREFIX + "gateway"))


if __name__ == "__main__":
    main()
