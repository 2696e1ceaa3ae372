# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The connections that a node keeps track of. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIELD: t.Final = re.compile(r"\b(src|dst|sport|dport)=(\S+)")
_PROTOCOLS: t.Final = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class Connection:
    """A connection as it was begun, and who answers it. is_open is whether packets may still come by it."""

    protocol: str
    source: str
    destination: str
    port: int
    answers_from: str
    answers_port: int
    is_open: bool
    line: str


def read_connections(lines: Iterable[str]) -> Iterator[Connection]:
    """The connections that "conntrack -L" prints, or /proc/net/nf_conntrack. What is none of them is left out."""
    for line in lines:
        protocol = next((word for word in line.split()[:4] if word in _PROTOCOLS), "")
        fields = _FIELD.findall(line)
        if protocol and [name for name, _value in fields] == ["src", "dst", "sport", "dport"] * 2:
            try:
                yield _connection(protocol, [value for _name, value in fields], line.strip())
            except ValueError:  # names in place of numbers
                continue


def _connection(protocol: str, values: list[str], line: str) -> Connection:
    """A connection by the values of its fields. Raises ValueError."""
    source, destination, _source_port, port, answers_from, _to, answers_port, _to_port = values
    return Connection(
        protocol=protocol,
        source=_plain(source),
        destination=_plain(destination),
        port=int(port),
        answers_from=_plain(answers_from),
        answers_port=int(answers_port),
        # Nothing tells when one of UDP has ended.
        is_open=protocol != "tcp" or "ESTABLISHED" in line,
        line=line,
    )


def _plain(address: str) -> str:
    """An address as the rules have it: the kernel writes those of IPv6 out."""
    return str(ipaddress.ip_address(address))
