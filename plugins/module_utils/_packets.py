# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Packets, and which part of all of them each is. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

RuleT = t.TypeVar("RuleT")


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection, as it is at one point of its way.

    An interface is empty where there is none, as that of arrival for what the node sends itself, and None where it is
    not known. states are those of its connection, as --ctstate names them. The source of what is masqueraded is empty
    if it is not known which of the node's addresses it is.
    """

    protocol: str
    source: str
    destination: str
    source_port: int | None = None
    destination_port: int | None = None
    in_interface: str | None = None
    out_interface: str | None = None
    mark: int = 0
    states: frozenset[str] = frozenset({"NEW"})
    masqueraded: bool = False

    def sent_to(self, address: str | None, port: int | None) -> Packet:
        """The packet with another destination. What is not given stays."""
        ends = (address or self.destination, port or self.destination_port)
        return replace(self, destination=ends[0], destination_port=ends[1], states=self.states | {"DNAT"})

    def sent_from(self, address: str | None, port: int | None) -> Packet:
        """The same with another source."""
        ends = (address or self.source, port or self.source_port)
        return replace(self, source=ends[0], source_port=ends[1], states=self.states | {"SNAT"})

    def hidden(self) -> Packet:
        """The packet with an address of the node as its source."""
        return replace(self, masqueraded=True, states=self.states | {"SNAT"})


@dataclass(frozen=True)
class Facts:
    """What of a node rules ask for. Without the content of a set it is not known who is in it.

    knows_all is whether these are all addresses of the node. If not, any destination may be another of them. drawn is
    the number that rules of nftables draw by lot, or the remainder of it; None if any may be.
    """

    local_addresses: frozenset[str]
    sets: Mapping[str, Collection[str]] = field(default_factory=dict)
    knows_all: bool = True
    drawn: int | None = None


# How likely it is that a packet is as asked: 0 is no, 1 is yes. None is not known, and not the same as any of these.
Likelihood = t.Optional[float]
YES: t.Final = 1.0
NO: t.Final = 0.0


@dataclass(frozen=True)
class Share:
    """Which part of all packets it is, at least and at most: it may not be known whether a rule matches."""

    least: float
    most: float

    def __add__(self, other: Share) -> Share:
        return Share(self.least + other.least, min(self.most + other.most, 1.0))

    def split(self, likelihood: float | None) -> tuple[Share, Share]:
        """The part of it that is as likely, and the rest."""
        if likelihood is None:
            open_ended = Share(0.0, self.most)
            return open_ended, open_ended
        return self._times(likelihood), self._times(1 - likelihood)

    def _times(self, factor: float) -> Share:
        return Share(self.least * factor, self.most * factor)


ALL: t.Final = Share(1.0, 1.0)


Packets = dict[Packet, Share]


def add(packets: Packets, packet: Packet, share: Share) -> None:
    packets[packet] = packets[packet] + share if packet in packets else share


def merge(packets: Packets, others: Packets) -> None:
    for packet, share in others.items():
        add(packets, packet, share)


def part(packets: Packets, likelihood: Callable[[Packet], Likelihood]) -> tuple[Packets, Packets]:
    """The packets that are as asked, and the others. Of what may be either way there is some in both."""
    matched: Packets = {}
    rest: Packets = {}
    for packet, share in packets.items():
        yes, no = share.split(likelihood(packet))
        if yes.most > 0:
            matched[packet] = yes
        if no.most > 0:
            rest[packet] = no
    return matched, rest


def open_ended(packets: Packets) -> Packets:
    """Packets of which it is not known whether there are any."""
    return {packet: Share(0.0, share.most) for packet, share in packets.items()}


def total(shares: Iterable[Share]) -> Share:
    found = Share(0.0, 0.0)
    for share in shares:
        found = found + share
    return found


# What stops packets, besides a DROP or a REJECT: the policy of a chain of which no rule has said what becomes of them.
POLICY: t.Final = "policy"


@dataclass(frozen=True)
class Hit(t.Generic[RuleT]):
    """A rule that matches packets, and which part of all.

    element is that of a map which they matched by, if any, and stops what stops them here, DROP or REJECT, if they are.
    """

    rule: RuleT
    share: Share
    element: str = ""
    stops: str = ""


@dataclass
class Outcome(t.Generic[RuleT]):
    """What becomes of packets in a table: those that go on, those that do not and by what, and the rules that match.

    What stops them is DROP, REJECT, POLICY or "unknown".
    """

    passed: Packets = field(default_factory=dict)
    stopped: dict[str, Packets] = field(default_factory=dict)
    hits: list[Hit[RuleT]] = field(default_factory=list)
    unknown: list[RuleT] = field(default_factory=list)
