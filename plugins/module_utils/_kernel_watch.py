# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Having the kernel trace packets for a while. Python 3.9, standard library only.

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
import typing as t
from contextlib import contextmanager
from shutil import which

from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import (
    TRACING,
    Message,
    messages,
    packets,
    places,
    request,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import PATH

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Traced
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

_NETFILTER: t.Final = 12  # the protocol of netlink
_GROUP_OF_TRACES: t.Final = 9
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_GET_RULES, _REQUEST_DUMP = 7, 0x301
_ROOM: t.Final = 1 << 22  # bytes of traces that wait to be read
_PATIENCE: t.Final = 5  # seconds until the table is there
# Of a busy front end so many packets a second say enough.
_RATE: t.Final = "limit rate 50/second"
_FIRST: t.Final = {"tcp": "tcp flags & (fin|syn|rst|ack) == syn"}


class Untraceable(Exception):
    """Packets cannot be traced here."""


def table_of(name: str, fronts: Sequence[Frontend], source: str) -> str:
    """A table that has the first packets to front ends traced, those of a source or of anybody.

    It belongs to the process that makes it, and goes with it, however that ends.
    """
    rules = "".join(f" {_packets(front, source)} {_RATE} meta nftrace set 1;" for front in fronts)
    # What the node sends itself comes back by its loopback interface, and is traced already.
    chains = f'chain come {{ type filter hook prerouting priority -350; iifname "lo" accept;{rules} }}; '
    chains += f"chain go {{ type filter hook output priority -350;{rules} }};"
    return f"add table inet {name} {{ flags owner; {chains} }}"


def _packets(front: Frontend, source: str) -> str:
    family = "ip6" if ":" in front.address else "ip"
    sender = f"{family} saddr {source} " if source else ""
    port = f"{front.protocol} dport {front.port} {_FIRST.get(front.protocol, '')}".rstrip()
    return f"{sender}{family} daddr {front.address} {port}"


def watch(fronts: Sequence[Frontend], source: str, seconds: int) -> tuple[list[Traced], bool]:
    """The packets to front ends that come by within some seconds, and whether these are all. Raises Untraceable."""
    name = f"{TRACING}{os.getpid()}"
    events: list[Message] = []
    with _listening() as (channel, rules), _table(name, table_of(name, fronts, source)):
        is_all = _listen(channel, events, time.monotonic() + seconds)
    return packets(events, name, places(rules)), is_all


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, list[Message]]]:
    """A socket that traces come to, and the rules as they are before."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        channel.bind((0, 0))
        channel.send(request(_GET_RULES, _REQUEST_DUMP))
        rules: list[Message] = []
        while not rules or not rules[-1].is_end:
            rules += messages(channel.recv(1 << 20))
        channel.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP_OF_TRACES)
        yield channel, rules


@contextmanager
def _table(name: str, definition: str) -> Iterator[None]:
    nft = which("nft", path=PATH)
    if not nft:
        raise Untraceable("There is no program nft on this node, which tracing needs. Install the package nftables.")
    # It keeps running, and the table with it, until its input ends: also if this process is killed.
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        [nft, "-i"],
        env={"PATH": PATH, "LC_ALL": "C"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        asked = t.cast("t.IO[str]", process.stdin)
        asked.write(f"{definition}\n")
        asked.flush()
        try:
            _wait(nft, name, process)
            yield
        finally:
            process.kill()


def _wait(nft: str, name: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if subprocess.run(  # pylint: disable=ansible-bad-function
            [nft, "list", "table", "inet", name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode == 0:  # fmt: skip
            return
        time.sleep(0.02)
    process.kill()
    complaint = t.cast("t.IO[str]", process.stderr).read().strip()
    raise Untraceable(f"nft cannot make a table for tracing: {complaint or 'it does not say why'}. Run it as root.")


def _listen(channel: socket.socket, events: list[Message], end: float) -> bool:
    """Gather what comes until then. Returns whether nothing was lost."""
    is_all = True
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return is_all
        channel.settimeout(left)
        try:
            events += messages(channel.recv(1 << 20))
        except socket.timeout:
            return is_all
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            is_all = False
