# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of the rules that it asks about a packet: its TRACE, as numbers of rules.

Read from the kernel itself, and not from what xtables-monitor prints, which has no legacy variant and comes late.
"""

from __future__ import annotations

import re
import socket
import struct
import typing as t
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from network import Namespace
from proxy import NFTABLES, restore

# A rule by its table, its chain, and its place there, from 1.
Place = tuple[str, str, int]

# The connections that are traced begin at these ports, which the kernel gives to nobody by itself. Of each only the
# first packet is.
FIRST_PORT: t.Final = 10000
LAST_PORT: t.Final = 29999

# The table whose rules have packets traced.
TABLE: t.Final = "tracing"

_NETFILTER: t.Final = 12  # the protocol of netlink
_NFTABLES, _ULOG = 10, 4  # subsystems
_NFT_GETRULE: t.Final = 7
_GROUP_OF_TRACES: t.Final = 9
_OF_BOTH_FAMILIES: t.Final = 1  # a family of tables, "inet"
_RULE: t.Final = 3  # a type of trace, beside policies and returns at the end of a chain
_REQUEST, _ACK, _DUMP = 1, 4, 0x300


def rules() -> str:
    """Rules that have the first packets of connections traced."""
    ports = f"--sport {FIRST_PORT}:{LAST_PORT}"
    matches = [f"-p tcp -m tcp {ports} --tcp-flags FIN,SYN,RST,ACK SYN"]
    matches += [f"-p {protocol} -m {protocol} {ports}" for protocol in ("udp", "sctp")]
    lines = [f"-I {chain} {match} -j TRACE" for chain in ("PREROUTING", "OUTPUT") for match in matches]
    return "\n".join(["*raw", *lines, "COMMIT", ""])


def nft_rules(family: int) -> str:
    """The same as rules of nftables, in a table of their own."""
    ports = f"th sport {FIRST_PORT}-{LAST_PORT}"
    matches = [f"tcp flags & (fin | syn | rst | ack) == syn {ports}", f"meta l4proto {{ udp, sctp }} {ports}"]
    lines = [f"{match} meta nftrace set 1" for match in matches]
    hooks = ("prerouting", "output")
    chains = [f"chain {hook} {{ type filter hook {hook} priority -300;\n" + "\n".join([*lines, "}"]) for hook in hooks]
    return "\n".join([f"table {'ip' if family == 4 else 'ip6'} {TABLE} {{", *chains, "}"])


class Tracer(t.Protocol):
    def places(self) -> list[Place]:
        """The rules that packets were found to be as asked by, since the last call."""


@contextmanager
def tracing(namespace: Namespace, variant: str, family: int) -> Iterator[Tracer]:
    """Trace connections in a namespace, whose rules do not change meanwhile."""
    if variant == NFTABLES:
        namespace.run("nft", "--file", "-", stdin=nft_rules(family))
    else:
        restore(namespace, variant, family, rules())
    with namespace.inside():
        channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    with channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        channel.bind((0, 0))
        yield _OfLegacy(channel, namespace, family) if variant == "legacy" else _OfNft(channel, family)


class _OfNft:
    """nftables tells traces to everyone who listens, with a handle for each rule."""

    def __init__(self, channel: socket.socket, family: int) -> None:
        self._channel = channel
        self._places: dict[tuple[str, str, int], Place] = {}
        protocol = socket.AF_INET if family == 4 else socket.AF_INET6
        count: dict[tuple[str, str], int] = defaultdict(int)
        for tables in (_OF_BOTH_FAMILIES, protocol):
            self._channel.send(_message(_NFTABLES, _NFT_GETRULE, _REQUEST | _DUMP, tables))
            for attributes in _received(self._channel, _NFTABLES):
                table, chain = _text(attributes[1]), _text(attributes[2])
                count[table, chain] += 1
                self._places[table, chain, int.from_bytes(attributes[3], "big")] = (table, chain, count[table, chain])
        # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
        self._channel.setsockopt(270, 1, _GROUP_OF_TRACES)

    def places(self) -> list[Place]:
        found = _received(self._channel, _NFTABLES, wait=False)
        return [
            self._places[_text(attributes[1]), _text(attributes[2]), int.from_bytes(attributes[3], "big")]
            for attributes in found
            # The end of a chain is told as a rule without a handle.
            if int.from_bytes(attributes[4], "big") == _RULE and 3 in attributes
        ]


class _OfLegacy:
    """The log tells traces to the one that it is told to, with the number of each rule."""

    # The last rule of a chain, where it asks for nothing, is taken for the end of the chain.
    _PREFIX: t.Final = re.compile(r"TRACE: (\w+):(.+):(?:rule|return|policy):(\d+) ?$")

    def __init__(self, channel: socket.socket, namespace: Namespace, family: int) -> None:
        self._channel = channel
        protocol = socket.AF_INET if family == 4 else socket.AF_INET6
        namespace.set(**{f"netfilter__nf_log__{int(protocol)}": "nfnetlink_log"})
        # Take part in group 0, want no packet, and each line at once.
        for kind, content in ((1, b"\1"), (2, struct.pack(">IBx", 0, 1)), (5, struct.pack(">I", 1))):
            self._channel.send(_message(_ULOG, 1, _REQUEST | _ACK, protocol, _attribute(kind, content)))
            list(_received(self._channel, _ULOG))

    def places(self) -> list[Place]:
        found = (self._PREFIX.match(_text(attributes[10])) for attributes in _received(self._channel, _ULOG, False))
        return [(match[1], match[2], int(match[3])) for match in found if match]


def _message(subsystem: int, kind: int, flags: int, protocol: int, content: bytes = b"") -> bytes:
    body = struct.pack(">BBH", protocol, 0, 0) + content
    return struct.pack("=IHHII", 16 + len(body), subsystem << 8 | kind, flags, 1, 0) + body


def _attribute(kind: int, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return struct.pack("=HH", 4 + len(content), kind) + content + padding


def _received(channel: socket.socket, subsystem: int, wait: bool = True) -> Iterator[dict[int, bytes]]:
    """The attributes of what has come; with wait of all until an answer has come to its end."""
    while True:
        try:
            data = channel.recv(1 << 20, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind >> 8 == subsystem:
                yield _attributes(data[20:length])
            elif struct.unpack_from("=i", data, 16)[0]:
                raise OSError(-struct.unpack_from("=i", data, 16)[0], "the kernel refuses to tell of its rules")
            elif wait:
                return
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode()
