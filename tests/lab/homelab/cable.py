# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cable of a machine, plugged in whenever its container starts.

The container runtime calls this as a hook, also when a container restarts by itself after a reboot inside it:
each start comes with an empty network namespace. It stands alone, since a copy of it lies with the state of the lab.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys

PREFIX = "homecloud.lab."


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, stdout=sys.stderr)


def hardware_address(address: str) -> str:
    """The same after each start, as that of a real machine."""
    return ":".join(["02", "4c", *(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)])


def port(address: str) -> str:
    """Where on the switch the machine with this address is plugged in."""
    return f"port{address.rpartition('.')[2]}"


def plug(pid: int, switch: str, address: str, gateway: str) -> None:
    peer = ["peer", "name", "eth0", "address", hardware_address(address), "netns", str(pid)]
    # The namespace of the previous start, and its cable with it, may still be in the course of going.
    subprocess.run(["ip", "-n", switch, "link", "delete", port(address)], check=False, capture_output=True)
    ip("-n", switch, "link", "add", port(address), "type", "veth", *peer)
    ip("-n", switch, "link", "set", port(address), "master", "lan", "up")
    inside = [f"address add {address}/24 dev eth0", "link set lo up", "link set eth0 up"]
    if gateway != address:
        inside.append(f"route add default via {gateway}")
    subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"],
        input="\n".join(inside) + "\n", text=True, check=True,
    )  # fmt: skip


def main() -> None:
    state = json.load(sys.stdin)
    switch, address, gateway = (state["annotations"][PREFIX + key] for key in ("switch", "address", "gateway"))
    plug(state["pid"], switch, address, gateway)


if __name__ == "__main__":
    main()
