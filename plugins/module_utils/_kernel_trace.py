# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the kernel tells of a packet that it traces, as it comes by netlink. Python 3.9,
# standard library only.

from __future__ import annotations

import ipaddress
import struct
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# From linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h.
NFTABLES: t.Final = 10
TRACE: t.Final = 17
NEW_RULE: t.Final = 6
# How the tables are called that have packets traced, by this and by whoever else traces at the time.
TRACING: t.Final = "homecloud-trace-"
_DONE: t.Final = 3
_HEAD: t.Final = 20
_OF_TRACE: t.Final = {
    "table": 1, "chain": 2, "handle": 3, "kind": 4, "id": 6, "network": 8, "transport": 9, "in": 10,
}  # fmt: skip
_A_RULE: t.Final = 3
_FAMILIES: t.Final = {1: "inet", 2: "ip", 10: "ip6"}
_PROTOCOLS: t.Final = {6: "tcp", 17: "udp", 132: "sctp"}

Attributes = dict[int, bytes]
# A rule by its table, as "ip nat", its chain, and its place there, from 1.
Place = tuple[str, str, int]
# The same by the number of its family, and by the handle that the kernel calls it by.
Handle = tuple[int, str, str, int]


@dataclass(frozen=True)
class Message:
    """A message of netlink, by its subsystem, its kind there, and the family that it is about."""

    subsystem: int
    kind: int
    family: int
    attributes: Attributes

    @property
    def is_end(self) -> bool:
        """Whether it is the end of an answer."""
        return not self.subsystem and self.kind == _DONE


@dataclass
class Traced:
    """A packet that was traced, as it was when it came, and the rules that it matched.

    interface is the index of where it arrived, 0 for what the node has sent. unknown are rules that were not there
    when the rules were read.
    """

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    interface: int
    family: int
    places: list[Place] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    @property
    def client(self) -> tuple[str, str, int]:
        return self.protocol, self.source, self.source_port

    @property
    def connection(self) -> tuple[str, str, int, str, int]:
        return (*self.client, self.destination, self.destination_port)


def messages(data: bytes) -> Iterator[Message]:
    """The messages in what was received. What is cut off is left out."""
    while len(data) >= _HEAD:
        length, kind = struct.unpack_from("=IH", data)
        if not _HEAD <= length <= len(data):
            return
        yield Message(kind >> 8, kind & 0xFF, data[16], _attributes(data[_HEAD:length]))
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Attributes:
    found: Attributes = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return found
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def places(rules: Iterable[Message]) -> dict[Handle, Place]:
    """The places of rules by what the kernel calls them."""
    count: dict[tuple[int, str, str], int] = defaultdict(int)
    found = {}
    for rule in rules:
        if (rule.subsystem, rule.kind) == (NFTABLES, NEW_RULE):
            table, chain = _text(rule.attributes.get(1, b"")), _text(rule.attributes.get(2, b""))
            count[rule.family, table, chain] += 1
            handle = (rule.family, table, chain, _number(rule.attributes.get(3, b"")))
            found[handle] = (_named(rule.family, table), chain, count[rule.family, table, chain])
    return found


def packets(events: Iterable[Message], mark: str, known: Mapping[Handle, Place]) -> list[Traced]:
    """The packets that were traced. mark is the table that has them traced, which each of them comes through first.

    One that is sent again for want of an answer is left out: the node knows its connection then.
    """
    found: list[Traced] = []
    going: dict[int, Traced] = {}
    of_client: dict[tuple[str, str, int], Traced] = {}
    connections: set[tuple[str, str, int, str, int]] = set()
    for event in events:
        if (event.subsystem, event.kind) != (NFTABLES, TRACE):
            continue
        of_event = {name: event.attributes.get(number, b"") for name, number in _OF_TRACE.items()}
        number, table, chain = _number(of_event["id"]), _text(of_event["table"]), _text(of_event["chain"])
        seen = _seen(of_event)
        if table == mark:
            if seen and seen.connection in connections:
                going.pop(number, None)
            elif seen:
                found.append(seen)
                connections.add(seen.connection)
                # Numbers are used again.
                going[number] = of_client[seen.client] = seen
            continue
        if table.startswith(TRACING):
            continue
        # A bridge sends on a copy, which has a number of its own.
        if number not in going and seen and seen.client in of_client:
            going[number] = of_client[seen.client]
        # The end of a chain is told as a rule without a handle.
        if number in going and of_event["handle"] and _number(of_event["kind"]) == _A_RULE:
            place = known.get((event.family, table, chain, _number(of_event["handle"])))
            if place:
                going[number].places.append(place)
            else:
                going[number].unknown.append((_named(event.family, table), chain))
    return found


def _seen(event: Mapping[str, bytes]) -> Traced | None:
    """A packet by its headers, of which each first message of a chain has as much as there is."""
    network, transport = event["network"], event["transport"]
    if not network or len(transport) < 4:
        return None
    is_four = network[0] >> 4 == 4
    if len(network) < (20 if is_four else 40):
        return None
    protocol = _PROTOCOLS.get(network[9] if is_four else network[6], "")
    source, destination = (network[12:16], network[16:20]) if is_four else (network[8:24], network[24:40])
    source_port, destination_port = struct.unpack_from(">HH", transport)
    ends = (str(ipaddress.ip_address(source)), source_port, str(ipaddress.ip_address(destination)), destination_port)
    return Traced(protocol, *ends, _number(event["in"]), family=4 if is_four else 6)


def request(kind: int, flags: int) -> bytes:
    """A question to nftables about all families."""
    body = struct.pack(">BBH", 0, 0, 0)
    return struct.pack("=IHHII", 16 + len(body), NFTABLES << 8 | kind, flags, 1, 0) + body


def _named(family: int, table: str) -> str:
    return f"{_FAMILIES.get(family, family)} {table}"


def _text(content: bytes) -> str:
    return content.rstrip(b"\0").decode(errors="replace")


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
