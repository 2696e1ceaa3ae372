# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node, its pods, another node and a LAN, each in a network namespace of its own.

              10.42.0.2 .3 .10 .11  pods that answer        10.42.1.3 .4 .5  node2, which answers for its pods
              10.42.0.9  a pod that asks                           |   10.42.1.9  a pod behind it that asks
                         |                                         |   |
                       cni0 ------------- the node ----------- flannel.1
                                             |
                                           eth0 192.168.1.10
                                             |
                              192.168.1.77   the LAN, and behind it 198.51.100.7

Pods reach each other through the node, as where br_netfilter is on: each has its address alone, without its network.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import time
import typing as t
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NODE_ADDRESS: t.Final = {4: "192.168.1.10", 6: "fd00::10"}
PODS: t.Final = {4: "10.42.0.0/16", 6: "fd42::/56"}
# Local pods that answer, and those of the other node, by the last part of their addresses.
LOCAL: t.Final = ("2", "3", "10", "11")
REMOTE: t.Final = ("3", "4", "5")
LOCAL_NETWORK: t.Final = {4: "10.42.0.", 6: "fd42::"}
REMOTE_NETWORK: t.Final = {4: "10.42.1.", 6: "fd42:0:0:1::"}

_PATIENCE: t.Final = 30  # seconds
_CLONE_NEWNET: t.Final = 0x40000000
_LIBC: t.Final = ctypes.CDLL(None, use_errno=True)


class TruthError(Exception):
    """What is wrong, where, and what to do about it."""


def run(command: Sequence[str], stdin: str | None = None) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TruthError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A network namespace. What is opened inside, as a socket, stays in it."""

    name: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread, and what it starts, be in the namespace."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.name}") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def run(self, *command: str, stdin: str | None = None) -> str:
        with self.inside():
            return run(command, stdin)

    def ip(self, *lines: str) -> None:
        """Run commands of ip, one a line."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin="\n".join(lines))

    def has_its_addresses(self) -> None:
        """Wait for the kernel: it gives IPv6 addresses in a thread of its own, and nothing can listen before."""
        end = time.monotonic() + _PATIENCE
        while lacking := run(["ip", "-n", self.name, "-6", "-oneline", "address", "show", "tentative"]):
            if time.monotonic() > end:
                raise TruthError(f"{self.name} still has no use of its addresses after {_PATIENCE} s:\n{lacking}")
            time.sleep(0.01)

    def set(self, **settings: str) -> None:
        """Set kernel parameters of net; two underscores stand for a slash."""
        with self.inside():
            for name, value in settings.items():
                Path("/proc/sys/net", name.replace("__", "/")).write_text(value)


def _enter(descriptor: int) -> None:
    # os.setns() is as new as Python 3.12.
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: network namespaces need root")


@dataclass(frozen=True)
class Network:
    """All namespaces. pods are the local ones that answer, by the last part of their addresses."""

    node: Namespace
    lan: Namespace
    node2: Namespace
    client_pod: Namespace
    far_pod: Namespace
    pods: dict[str, Namespace]

    def addresses(self) -> list[dict[str, t.Any]]:
        """The node's, as ip prints them."""
        return t.cast("list[dict[str, t.Any]]", json.loads(self.node.run("ip", "-json", "address")))

    def routes(self, family: int) -> list[dict[str, t.Any]]:
        """The node's, as ip prints them."""
        return t.cast("list[dict[str, t.Any]]", json.loads(self.node.run("ip", "-json", f"-{family}", "route")))


@contextmanager
def network() -> Iterator[Network]:
    """Make a network, and remove it."""
    with ExitStack() as stack:

        def make(name: str, forwards: str = "0") -> Namespace:
            namespace = Namespace(f"truth-{os.getpid()}-{name}")
            run(["ip", "netns", "add", namespace.name])
            stack.callback(run, ["ip", "netns", "delete", namespace.name])
            # Without the search for double addresses they are there soon. The rest may be otherwise on this machine.
            namespace.set(
                ipv6__conf__all__accept_dad="0",
                ipv6__conf__default__accept_dad="0",
                ipv4__ip_forward=forwards,
                ipv6__conf__all__forwarding=forwards,
                ipv4__conf__all__rp_filter="0",
                ipv4__conf__default__rp_filter="0",
            )
            namespace.ip("link set lo up")
            return namespace

        made = Network(
            node=make("node", forwards="1"),
            lan=make("lan"),
            node2=make("node2", forwards="1"),
            client_pod=make("client"),
            far_pod=make("far"),
            pods={last: make(f"pod{last}") for last in LOCAL},
        )
        _connect(made)
        for namespace in (made.node, made.node2, *made.pods.values()):
            namespace.has_its_addresses()
        yield made


def _connect(net: Network) -> None:
    net.node.ip(
        "link add cni0 type bridge",
        "address add 10.42.0.1/24 dev cni0",
        "address add fd42::1/64 dev cni0",
        "link set cni0 up",
    )
    for last, pod in {**net.pods, "9": net.client_pod}.items():
        _plug_in(net.node, f"veth{last}", pod, f"10.42.0.{last}", f"fd42::{last}", ("10.42.0.1", "fd42::1"))
        # A pod may reach itself through a Service: what comes back by the cable that it came by.
        net.node.ip(f"link set veth{last} master cni0", f"link set veth{last} type bridge_slave hairpin on")
    _plug_in(net.node, "eth0", net.lan, "192.168.1.77", "fd00::77", ("192.168.1.10", "fd00::10"))
    net.node.ip(
        "address add 192.168.1.10/24 dev eth0",
        "address add fd00::10/64 dev eth0",
        "route add default via 192.168.1.77 dev eth0",
        "route add default via fd00::77 dev eth0",
    )
    net.lan.ip("address add 198.51.100.7/32 dev eth0", "address add fd01::7/128 dev eth0")
    _plug_in(net.node, "flannel.1", net.node2, "10.42.1.0", "fd42:0:0:1::", ("10.42.0.0", "fd42::"))
    net.node.ip(
        "address add 10.42.0.0/32 dev flannel.1",
        "address add fd42::/128 dev flannel.1",
        "route add 10.42.1.0/24 via 10.42.1.0 dev flannel.1 onlink",
        "route add fd42:0:0:1::/64 dev flannel.1 via fd42:0:0:1:: onlink",
    )
    net.node2.ip(
        *(f"address add 10.42.1.{last}/32 dev eth0" for last in REMOTE),
        *(f"address add fd42:0:0:1::{last}/128 dev eth0" for last in REMOTE),
    )
    _plug_in(net.node2, "veth9", net.far_pod, "10.42.1.9", "fd42:0:0:1::9", ("10.42.1.1", "fd42:0:0:1::1"))
    net.node2.ip(
        "address add 10.42.1.1/32 dev veth9",
        "address add fd42:0:0:1::1/128 dev veth9",
        "route add 10.42.1.9 dev veth9 table 100",
        "route add fd42:0:0:1::9 dev veth9 table 100",
    )
    # The answers of node2's own pods take the way by which the request came: through the node.
    for family in ("-4", "-6"):
        net.node2.run("ip", family, "rule", "add", "iif", "eth0", "table", "100")


def _plug_in(
    end: Namespace, name: str, other: Namespace, address: str, address6: str, gateways: tuple[str, str]
) -> None:
    """Lay a cable to the eth0 of a namespace, from which everything goes through the gateways."""
    end.ip(f"link add {name} type veth peer name eth0 netns {other.name}", f"link set {name} up")
    other.ip(
        f"address add {address}/32 dev eth0",
        f"address add {address6}/128 dev eth0",
        "link set eth0 up",
        f"route add default via {gateways[0]} dev eth0 onlink",
        f"route add default via {gateways[1]} dev eth0 onlink",
    )
