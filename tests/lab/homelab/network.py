# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LAN and internet: bridges in a network namespace of the lab's own, whose traffic the host's firewall never sees."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from homelab.cable import NETWORKS
from homelab.model import Lab
from homelab.shell import LabError, run


def candidates() -> Iterator[str]:
    """Networks that homes, offices and VPNs seldom use, and that k3s does not."""
    yield from (f"192.168.{number}" for number in range(100, 250))
    yield from (f"172.29.{number}" for number in range(256))


def choose_network(taken: Iterable[str]) -> str:
    """The first candidate that overlaps nothing that is taken (addresses and networks in CIDR notation)."""
    networks = [ipaddress.IPv4Network(entry, strict=False) for entry in taken]
    # A VPN that takes everything routes two halves of the address space: as little a collision as a default route.
    specific = [network for network in networks if network.prefixlen >= 8]
    for candidate in candidates():
        network = ipaddress.IPv4Network(f"{candidate}.0/24")
        if not any(network.overlaps(other) for other in specific):
            return candidate
    raise LabError("Every network the lab could use is routed on this machine already: see `ip route`")


def networks_in_use(states: Path) -> Iterator[str]:
    """What the host has addresses in or routes to, and what other labs remember as theirs."""
    for link in json.loads(run(["ip", "-4", "-j", "address"])):
        yield from (f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"])
    for route in json.loads(run(["ip", "-4", "-j", "route", "show", "table", "all"])):
        if route["dst"] != "default":
            yield route["dst"]
    yield from (json.loads(path.read_text())["subnet"] for path in states.glob("*/lab.json"))


def controller_link(lab_name: str) -> str:
    """The host's end of its cable; the kernel allows 15 characters."""
    name = f"lab-{lab_name}"
    return name if len(name) <= 15 else f"lab-{hashlib.sha256(lab_name.encode()).hexdigest()[:11]}"


def switch(lab_name: str) -> str:
    """The network namespace that holds the bridges."""
    return f"homecloud-{lab_name}"


def create(lab: Lab) -> None:
    """The switch and the cable between it and this machine, unless they are there."""
    board = switch(lab.name)
    if board not in switches():
        run(["ip", "netns", "add", board])
        for bridge in NETWORKS:
            run(["ip", "-n", board, "link", "add", bridge, "type", "bridge"])
            run(["ip", "-n", board, "link", "set", bridge, "up"])
    link = controller_link(lab.name)
    if not Path("/sys/class/net", link).exists():
        run(["ip", "link", "add", link, "type", "veth", "peer", "name", "controller", "netns", board])
        run(["ip", "-n", board, "link", "set", "controller", "master", "lan", "up"])
        run(["ip", "address", "add", f"{lab.controller}/24", "dev", link])
        run(["ip", "link", "set", link, "up"])


def ports(lab_name: str) -> set[str]:
    """The machines' ports of the switch that have a cable."""
    return {link["ifname"] for link in json.loads(run(["ip", "-n", switch(lab_name), "-j", "link"]))}


def remove(lab_name: str) -> None:
    link = controller_link(lab_name)
    if Path("/sys/class/net", link).exists():
        run(["ip", "link", "delete", link])
    if switch(lab_name) in switches():
        run(["ip", "netns", "delete", switch(lab_name)])


def switches() -> set[str]:
    """Those of all labs that are up."""
    names = {namespace["name"] for namespace in json.loads(run(["ip", "-j", "netns"]) or "[]")}
    return {name for name in names if name.startswith(switch(""))}
