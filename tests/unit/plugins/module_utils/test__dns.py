# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._dns import KINDS, Answer, parse, query
from hypothesis import given
from hypothesis import strategies as st

NAME_ABOVE = b"\xc0\x0c"  # the name of the question, where that begins
CNAME, TXT = 5, 16


def record(kind: int, content: bytes, name: bytes = NAME_ABOVE) -> bytes:
    return name + struct.pack("!HHIH", kind, 1, 60, len(content)) + content


def reply(*records: bytes, status: int = 0, name: str = "mysite.home.example") -> bytes:
    """What a server answers to a query for a name."""
    question = query(7, name, "A")
    return question[:2] + struct.pack("!5H", 0x8180 | status, 1, len(records), 0, 0) + question[12:] + b"".join(records)


def test_a_query_to_the_letter() -> None:
    header = bytes.fromhex("0007 0100 0001 0000 0000 0000")
    assert query(7, "nas.home.", "AAAA") == header + b"\x03nas\x04home\x00" + bytes.fromhex("001c 0001")


def test_a_query_for_the_root() -> None:
    assert query(7, ".", "A")[12:] == b"\x00" + bytes.fromhex("0001 0001")


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=f'"{name}" is no name that DNS can have'):
        query(7, name, "A")


def test_addresses_of_both_families_and_those_behind_another_name() -> None:
    elsewhere = record(CNAME, b"\x03web\xc0\x13")
    four, six = record(KINDS["A"], bytes([192, 168, 1, 200])), record(KINDS["AAAA"], b"\xfd" + bytes(14) + b"\x01")
    far = record(KINDS["A"], bytes([192, 168, 1, 201]), name=b"\x03web\x04home\x00")
    text = record(TXT, b"\x03abc")
    assert parse(reply(elsewhere, four, text, six, far)) == Answer(
        "NOERROR", ["192.168.1.200", "fd00::1", "192.168.1.201"]
    )


@pytest.mark.parametrize(("status", "word"), [(0, "NOERROR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (9, "status 9")])
def test_why_there_is_no_address(status: int, word: str) -> None:
    assert parse(reply(status=status)) == Answer(word, [])


@given(st.integers(0, 12 + 25 + 16))
def test_a_reply_that_is_cut_off(end: int) -> None:
    whole = reply(record(KINDS["A"], bytes(4)))
    cut = whole[:end]
    assert parse(cut) == Answer("an answer that is none of DNS", []) or cut == whole


@given(st.binary(max_size=200))
def test_any_datagram_is_read(datagram: bytes) -> None:
    assert isinstance(parse(datagram), Answer)
