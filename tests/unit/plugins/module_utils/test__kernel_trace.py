# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import struct

from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import (
    NFTABLES,
    TRACE,
    Traced,
    messages,
    packets,
    places,
    request,
)
from hypothesis import given
from hypothesis import strategies as st

MARK = "homecloud-trace-1"
NEW_RULE = 6
IP, IP6, INET = 2, 10, 1


def attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + b"\0" * (-len(content) % 4)


def message(kind: int, family: int, attributes: dict[int, bytes]) -> bytes:
    """A message of nftables, as the kernel sends it."""
    body = struct.pack(">BBH", family, 0, 0) + b"".join(attribute(*item) for item in attributes.items())
    data = struct.pack("=IHHII", 16 + len(body), NFTABLES << 8 | kind, 0, 1, 0) + body
    return data + b"\0" * (-len(data) % 4)


def rule(family: int, chain: str, handle: int) -> bytes:
    return message(NEW_RULE, family, {1: b"nat\0", 2: chain.encode() + b"\0", 3: struct.pack(">Q", handle)})


def event(number: int, table: str, chain: str, handle: int = 0, **more: bytes) -> bytes:
    """A trace of a rule, or of the end of a chain, which has no handle."""
    attributes = {1: table.encode() + b"\0", 2: chain.encode() + b"\0", 4: struct.pack(">I", 3)}
    attributes[6] = struct.pack(">I", number)
    if handle:
        attributes[3] = struct.pack(">Q", handle)
    keys = {"network": 8, "transport": 9, "arrives": 10}
    family = INET if table == MARK else IP
    return message(TRACE, family, {**attributes, **{keys[name]: content for name, content in more.items()}})


def begin(number: int, source: str, table: str = MARK, handle: int = 4) -> bytes:
    """The first message of a packet in a table, which has its headers: the very first is in ours."""
    ends = b"".join(ipaddress.ip_address(address).packed for address in (source, "10.43.0.41"))
    network = bytes([0x45, *[0] * 8, 6, 0, 0]) + ends
    transport = struct.pack(">HH", 40000, 80) + b"\0" * 16
    chain = "come" if table == MARK else "KUBE-SERVICES"
    return event(number, table, chain, handle, network=network, transport=transport, arrives=struct.pack(">I", 2))


RULES = (
    rule(IP, "PREROUTING", 7) + rule(IP, "PREROUTING", 9) + rule(IP, "KUBE-SERVICES", 12) + rule(IP6, "PREROUTING", 7)
)
KNOWN = places(messages(RULES))


def traced(*data: bytes) -> list[Traced]:
    return packets(messages(b"".join(data)), MARK, KNOWN)


def test_rules_are_known_by_their_handles() -> None:
    assert KNOWN == {
        (IP, "nat", "PREROUTING", 7): ("ip nat", "PREROUTING", 1),
        (IP, "nat", "PREROUTING", 9): ("ip nat", "PREROUTING", 2),
        (IP, "nat", "KUBE-SERVICES", 12): ("ip nat", "KUBE-SERVICES", 1),
        (IP6, "nat", "PREROUTING", 7): ("ip6 nat", "PREROUTING", 1),
    }


def test_the_way_of_a_packet() -> None:
    way = (event(1, "nat", "PREROUTING", 9), event(1, "nat", "KUBE-SERVICES", 12), event(1, "nat", "KUBE-SERVICES"))
    (packet,) = traced(begin(1, "192.168.1.77"), event(1, MARK, "come"), *way)
    assert packet == Traced(
        "tcp",
        "192.168.1.77",
        40000,
        "10.43.0.41",
        80,
        2,
        4,
        [("ip nat", "PREROUTING", 2), ("ip nat", "KUBE-SERVICES", 1)],
    )


def test_who_else_traces_is_none_of_the_way() -> None:
    (packet,) = traced(
        begin(1, "192.168.1.77"), event(1, "homecloud-trace-2", "come", 4), event(1, "nat", "PREROUTING", 9)
    )
    assert (packet.places, packet.unknown) == ([("ip nat", "PREROUTING", 2)], [])


def test_one_that_is_sent_again_is_left_out() -> None:
    again = (begin(2, "192.168.1.77"), event(2, "nat", "PREROUTING", 9))
    (packet,) = traced(begin(1, "192.168.1.77"), event(1, "nat", "PREROUTING", 9), *again)
    assert packet.places == [("ip nat", "PREROUTING", 2)]
    # The number of a packet may be used again by that.
    again = (begin(1, "192.168.1.77"), event(1, "nat", "PREROUTING", 9))
    (packet,) = traced(begin(1, "192.168.1.77"), event(1, "nat", "PREROUTING", 9), *again)
    assert packet.places == [("ip nat", "PREROUTING", 2)]


def test_packets_at_once_are_told_apart() -> None:
    found = traced(
        begin(1, "192.168.1.77"),
        begin(2, "192.168.1.78"),
        event(2, "nat", "PREROUTING", 7),
        event(1, "nat", "PREROUTING", 9),
        begin(1, "192.168.1.79"),  # the number is used again
        event(1, "nat", "KUBE-SERVICES", 12),
        event(3, "nat", "PREROUTING", 7),  # nobody's
    )
    assert {packet.source: packet.places for packet in found} == {
        "192.168.1.77": [("ip nat", "PREROUTING", 2)],
        "192.168.1.78": [("ip nat", "PREROUTING", 1)],
        "192.168.1.79": [("ip nat", "KUBE-SERVICES", 1)],
    }


def test_a_copy_of_a_packet_goes_on_for_it() -> None:
    found = traced(
        begin(1, "192.168.1.77"),
        event(1, "nat", "PREROUTING", 9),
        begin(5, "192.168.1.77", "nat", 12),
        event(5, "nat", "PREROUTING", 7),
        begin(6, "192.168.1.78", "nat", 12),  # of nobody who is traced
    )
    assert [packet.places for packet in found] == [
        [("ip nat", "PREROUTING", 2), ("ip nat", "KUBE-SERVICES", 1), ("ip nat", "PREROUTING", 1)]
    ]


def test_rules_that_are_new_are_told() -> None:
    (packet,) = traced(begin(1, "192.168.1.77"), event(1, "nat", "KUBE-SERVICES", 99))
    assert (packet.places, packet.unknown) == ([], [("ip nat", "KUBE-SERVICES")])


def test_a_packet_of_ipv6() -> None:
    ends = ipaddress.ip_address("fd00::1").packed + ipaddress.ip_address("fd43::41").packed
    network = bytes([0x60, 0, 0, 0, 0, 0, 17, 64]) + ends
    (packet,) = traced(event(1, MARK, "go", 4, network=network, transport=struct.pack(">HH", 5, 53)))
    ends_found = (packet.source, packet.source_port, packet.destination, packet.destination_port)
    assert (packet.protocol, packet.family, packet.interface, *ends_found) == (
        "udp",
        6,
        0,
        "fd00::1",
        5,
        "fd43::41",
        53,
    )


@given(st.binary(max_size=400))
def test_whatever_comes_is_read(data: bytes) -> None:
    assert len(list(messages(data))) <= len(data) // 4
    traced(data)
    assert places(messages(RULES + data)).items() >= KNOWN.items()


def test_headers_that_are_cut_are_no_packet() -> None:
    whole = begin(1, "192.168.1.77")
    for end in range(len(whole)):
        traced(whole[:end])
    assert traced(event(1, MARK, "come", 4, network=b"\x45", transport=b"\0" * 8)) == []


def test_a_question_has_the_length_that_it_says() -> None:
    asked = request(7, 0x301)
    assert struct.unpack_from("=IH", asked) == (len(asked), NFTABLES << 8 | 7)
