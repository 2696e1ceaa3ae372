# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A question to one DNS server, whatever the host's own resolver says: RFC 1035, by UDP.

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

if t.TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = {"A": 1, "AAAA": 28}
_SIZES = {1: 4, 28: 16}
_STATUS = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_HEADER = struct.Struct("!6H")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_INTERNET = 1
_RECURSION_DESIRED = 0x0100
_POINTER = 0xC0
_ATTEMPTS = 3
_SECONDS = 2.0
_LARGEST = 4096
_WORKERS = 16


@dataclass(frozen=True)
class Answer:
    """What a server says of a name. Without an answer the status says why there is none."""

    status: str
    addresses: list[str]


def addresses(server: str, port: int, names: Sequence[str]) -> dict[str, Answer]:
    """Ask a server for the addresses of both families that names have, all at once: one that is silent takes long."""
    questions = list(product(names, KINDS))
    with ThreadPoolExecutor(_WORKERS) as pool:
        answers = dict(zip(questions, pool.map(lambda question: ask(server, port, *question), questions)))
    found = {name: [address for kind in KINDS for address in answers[name, kind].addresses] for name in names}
    # A name that is there is so for either family, also without an address.
    return {name: Answer(answers[name, "A"].status, sorted(found[name])) for name in names}


def ask(server: str, port: int, name: str, kind: str) -> Answer:
    """Put one question; again if nothing comes back, as a datagram may get lost."""
    status = ""
    for _attempt in range(_ATTEMPTS):
        try:
            return parse(_exchange(server, port, query(secrets.randbits(16), name, kind)))
        except OSError as error:
            status = f"no answer: {error}"
    return Answer(status, [])


def query(number: int, name: str, kind: str) -> bytes:
    """The datagram of a question."""
    try:
        labels = name.rstrip(".").encode("idna").split(b".")
    except UnicodeError as error:
        raise ValueError(f'"{name}" is no name that DNS can have: {error}') from error
    encoded = b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0"
    return _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + encoded + _QUESTION.pack(KINDS[kind], _INTERNET)


def parse(reply: bytes) -> Answer:
    """Read the datagram of an answer; addresses that a CNAME leads to count as well."""
    found = []
    try:
        _number, flags, questions, answers, _authorities, _more = _HEADER.unpack_from(reply)
        position = _HEADER.size
        for _question in range(questions):
            position = _after_name(reply, position) + _QUESTION.size
        for _answer in range(answers):
            position = _after_name(reply, position)
            kind, _class, _ttl, length = _RECORD.unpack_from(reply, position)
            position += _RECORD.size
            if _SIZES.get(kind) == length:
                found.append(str(ipaddress.ip_address(reply[position : position + length])))
            position += length
    except (IndexError, ValueError, struct.error):
        return Answer("an answer that is none of DNS", [])
    return Answer(_STATUS.get(flags & 0xF, f"status {flags & 0xF}"), found)


def _after_name(reply: bytes, position: int) -> int:
    """Where a name ends: with a pointer to an earlier one, or with the root."""
    while reply[position]:
        if reply[position] & _POINTER == _POINTER:
            return position + 2
        position += reply[position] + 1
    return position + 1


def _exchange(server: str, port: int, question: bytes) -> bytes:
    """Send a question and wait for what answers it; other datagrams are passed over."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    end = time.monotonic() + _SECONDS
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.connect((server, port))
        line.send(question)
        while True:
            line.settimeout(max(end - time.monotonic(), 0.001))
            reply = line.recv(_LARGEST)
            if reply[:2] == question[:2]:
                return reply
