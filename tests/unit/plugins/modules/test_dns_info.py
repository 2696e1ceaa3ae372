# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import typing as t
from dataclasses import dataclass, field

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils import _dns
from ansible_collections.homecloud.k3s.plugins.modules import dns_info as MODULE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Run

RETURNED = yaml.safe_load(MODULE.RETURN)
NXDOMAIN = 3


@dataclass
class Server:
    """A DNS server on loopback with these records. Of all datagrams it drops the first ones."""

    records: dict[tuple[str, str], list[str]]
    drops: int = 0
    line: socket.socket = field(default_factory=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    @property
    def port(self) -> int:
        return t.cast("int", self.line.getsockname()[1])

    def serve(self) -> None:
        while True:
            question, client = self.line.recvfrom(512)
            if not question:
                return
            self.drops -= 1
            if self.drops < 0:
                self.line.sendto(bytes([question[0] ^ 1]) + question[1:], client)  # somebody else's answer
                self.line.sendto(self.answer(question), client)

    def answer(self, question: bytes) -> bytes:
        labels, rest = [], question[12:]
        while rest[0]:
            labels.append(rest[1 : 1 + rest[0]].decode())
            rest = rest[1 + rest[0] :]
        name, number = ".".join(labels), struct.unpack("!H", rest[1:3])[0]
        kind = {number: kind for kind, number in _dns.KINDS.items()}[number]
        found = [ipaddress.ip_address(address).packed for address in self.records.get((name, kind), [])]
        known = any(record == name for record, _kind in self.records)
        header = question[:2] + struct.pack("!5H", 0x8180 | (0 if known else NXDOMAIN), 1, len(found), 0, 0)
        answers = [b"\xc0\x0c" + struct.pack("!HHIH", number, 1, 60, len(address)) + address for address in found]
        return header + question[12:] + b"".join(answers)


@pytest.fixture(name="server")
def server_fixture() -> Iterator[Server]:
    server = Server(
        {
            ("mysite.home.example", "A"): ["192.168.1.201", "192.168.1.200"],
            ("nas.home.example", "A"): ["192.168.1.10"],
            ("nas.home.example", "AAAA"): ["fd00::10"],
        }
    )
    server.line.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.line.sendto(b"", server.line.getsockname())
    thread.join()
    server.line.close()


def test_the_result_is_as_documented(run: Run, server: Server, shape: t.Callable[[object], object]) -> None:
    names = ["mysite.home.example", "nosuch.home.example"]
    result = run(server="127.0.0.1", port=server.port, names=names)
    assert result["changed"] is False
    assert shape(result["answers"]) == shape(RETURNED["answers"]["sample"])


def test_what_the_server_says(run: Run, server: Server) -> None:
    names = ["mysite.home.example", "nas.home.example.", "nosuch.home.example"]
    assert run(server="127.0.0.1", port=server.port, names=names)["answers"] == {
        "mysite.home.example": {"status": "NOERROR", "addresses": ["192.168.1.200", "192.168.1.201"]},
        "nas.home.example.": {"status": "NOERROR", "addresses": ["192.168.1.10", "fd00::10"]},
        "nosuch.home.example": {"status": "NXDOMAIN", "addresses": []},
    }


def test_a_datagram_that_is_lost(run: Run, server: Server) -> None:
    server.drops = 2
    answers = run(server="127.0.0.1", port=server.port, names=["nas.home.example"])["answers"]
    assert answers["nas.home.example"]["addresses"] == ["192.168.1.10", "fd00::10"]


def test_a_server_that_is_silent(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dns, "_SECONDS", 0.05)
    server.drops = 1000
    answers = run(server="127.0.0.1", port=server.port, names=["nas.home.example"])["answers"]
    assert answers == {"nas.home.example": {"status": "no answer: timed out", "addresses": []}}


def test_nobody_is_there(run: Run, server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
    answers = run(server="127.0.0.1", port=port, names=["nas.home.example"])["answers"]
    assert answers["nas.home.example"]["status"].startswith("no answer: ")
    assert answers["nas.home.example"]["addresses"] == []


def test_a_name_that_cannot_be(run: Run, server: Server) -> None:
    result = run(server="127.0.0.1", port=server.port, names=["nas..example"])
    assert result["failed"]
    assert '"nas..example" is no name' in result["msg"]
