# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel does to a packet, beside what the collection says of it."""

from __future__ import annotations

import re
import typing as t
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils import _path_explanation as explain
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_flow import base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_flow import base_chains as nft_base_chains
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Ruleset, read_ruleset
from ansible_collections.homecloud.k3s.plugins.module_utils._node_routes import read_routes
from ansible_collections.homecloud.k3s.plugins.module_utils._node_sets import read_sets
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey, Node, follow
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet
from network import Network
from proxy import NFTABLES, save
from tracing import FIRST_PORT, TABLE, Place, Tracer, tracing
from traffic import Answer, Client

# An answer takes no time here; nothing is waited for where none is to come.
_PATIENCE: t.Final = 0.8
_NO_PATIENCE: t.Final = 0.03
# With seven endpoints one of them is missed by so many requests once in 10^25 runs.
_MOST_REQUESTS: t.Final = 400
_PROBABILITY: t.Final = re.compile(r"(?:! )?--probability [\d.]+")
_TRACE: t.Final = " -j TRACE"
_LOT: t.Final = re.compile(r'{"numgen": {[^}]*"mod": (\d+)[^}]*}}')
_MODULUS: t.Final = re.compile(r'"mod": (\d+)')


@dataclass(frozen=True)
class Asker:
    """A client, and by which interface the node gets what it sends: by none, if it is the node."""

    client: Client
    interface: str


# Everyone who may ask: pods, one of which is an endpoint, someone near, someone far, and the node itself.
ASKERS: t.Final = ("pod", "endpoint", "remote pod", "lan", "outside", "node")


def askers(net: Network, family: int) -> dict[str, Asker]:
    pods, remote, lan, outside = {
        4: ("10.42.0.", "10.42.1.9", "192.168.1.77", "198.51.100.7"),
        6: ("fd42::", "fd42:0:0:1::9", "fd00::77", "fd01::7"),
    }[family]
    known = (
        Asker(Client(net.client_pod, f"{pods}9"), "cni0"),
        Asker(Client(net.pods["2"], f"{pods}2"), "cni0"),
        Asker(Client(net.far_pod, remote), "flannel.1"),
        Asker(Client(net.lan, lan), "eth0"),
        Asker(Client(net.lan, outside), "eth0"),
        Asker(Client(net.node), ""),
    )
    return dict(zip(ASKERS, known))


@dataclass(frozen=True)
class Request:
    """Who of ASKERS asks for what."""

    asker: str
    family: int
    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.asker}-{self.protocol}-{self.address}-{self.port}"


class Observer(ABC):
    """A node whose rules stay as they are."""

    def __init__(self, net: Network, variant: str, family: int, tracer: Tracer) -> None:
        self._net, self._family, self._tracer = net, family, tracer
        self._text = save(net.node, variant, family)
        self._askers = askers(net, family)

    @abstractmethod
    def follow(self, packet: Packet) -> Journey[t.Any]:
        """The way of a packet as it is explained."""

    @abstractmethod
    def _compare(self, packet: Packet, traced: list[Place], answer: Answer | None) -> None:
        """Compare the way of a packet with what is explained of those for which each lot is drawn as it was for it."""

    @abstractmethod
    def _forget_clients(self) -> None:
        """Let nobody be remembered who has affinity to an endpoint."""

    @cached_property
    def node(self) -> Node:
        local = [entry["local"] for link in self._net.addresses() for entry in link["addr_info"]]
        sets = read_sets(self._net.node.run("ipset", "save").splitlines())
        routes = read_routes(self._net.routes(self._family), self._family)
        return Node(Facts(frozenset(local), sets), tuple(routes), self.interfaces)

    @cached_property
    def interfaces(self) -> dict[str, str]:
        """The address of each interface."""
        return {
            link["ifname"]: entry["local"]
            for link in self._net.addresses()
            for entry in reversed(link["addr_info"])
            if (":" in entry["local"]) == (self._family == 6) and entry["scope"] != "link"
        }

    def check(self, request: Request) -> None:
        """Ask until all endpoints that are explained have answered, and compare the way of each packet."""
        asker = self._askers[request.asker]
        source = asker.client.source(self._family, request.address)
        packet = Packet(request.protocol, source, request.address, FIRST_PORT, request.port, asker.interface, None)
        journey = self.follow(packet)
        assert "unknown" not in explain.verdict_shares(journey)
        expected = self._answers(journey)
        reached: set[Answer] = set()
        self.traced()  # what is left of a request that failed
        for _number in range(_MOST_REQUESTS):
            self._forget_clients()
            answer = asker.client.ask(
                self._family, request.protocol, request.address, request.port, _PATIENCE if expected else _NO_PATIENCE
            )
            self._compare(packet, self.traced(), answer)
            reached |= {answer} if answer else set()
            if reached >= expected:
                break
        assert reached == expected

    def traced(self) -> list[Place]:
        """The rules that packets were as asked by, since this was last asked."""
        return self._tracer.places()

    def _answers(self, journey: Journey[t.Any]) -> set[Answer]:
        """Who answers, as it is explained, and from where the request came to it."""
        found = explain.endpoints(journey, self.interfaces)
        return {Answer(end.address, end.port or 0, end.source_seen) for end in found}


class IptablesObserver(Observer):
    @cached_property
    def dump(self) -> Dump:
        return read_dump(self._text.splitlines())

    def follow(self, packet: Packet) -> Journey[t.Any]:
        return follow(base_chains(self.dump), packet, self.node)

    def _compare(self, packet: Packet, traced: list[Place], answer: Answer | None) -> None:
        journey = follow(base_chains(self._with_lots(traced)), packet, self.node)
        steps = [f"{step.table} {_PROBABILITY.sub('', step.rule)}" for step in explain.steps(journey)]
        assert self._texts(traced) == [text for text in steps if not text.endswith(_TRACE)]
        assert self._answers(journey) == ({answer} if answer else set())

    def _texts(self, places: list[Place]) -> list[str]:
        """Rules without what was drawn by lot, and without those that trace: one variant traces them too, one does not.

        There are some, or nothing was traced.
        """
        assert places
        texts = []
        for table, chain, number in places:
            lines = self.dump.tables[table][chain].lines
            # The legacy variant tells the end of a chain as one more rule.
            if number <= len(lines) and not lines[number - 1].endswith(_TRACE):
                texts.append(f"{table} {_PROBABILITY.sub('', lines[number - 1])}")
        return texts

    def _with_lots(self, traced: list[Place]) -> Dump:
        """The rules, if those that match by lot are sure to match, or not to, as they were seen to."""
        hit = set(traced)
        tables = {
            table: {
                name: replace(
                    chain,
                    lines=[
                        _PROBABILITY.sub(f"--probability {int((table, name, number) in hit)}", line)
                        for number, line in enumerate(chain.lines, 1)
                    ],
                )
                for name, chain in chains.items()
            }
            for table, chains in self.dump.tables.items()
        }
        return Dump(tables)

    def _forget_clients(self) -> None:
        with self._net.node.inside():
            for path in Path("/proc/thread-self/net/xt_recent").glob("*"):
                path.write_text("/")


class NftObserver(Observer):
    """One of the mode nftables. A trace tells rules, and not which element of a map it was."""

    @cached_property
    def ruleset(self) -> Ruleset:
        return read_ruleset(self._text)

    def follow(self, packet: Packet) -> Journey[t.Any]:
        return follow(nft_base_chains(self.ruleset, self._family), packet, self.node)

    def _compare(self, packet: Packet, traced: list[Place], answer: Answer | None) -> None:
        assert traced
        found = [place for place in traced if place[0] != TABLE]
        ways = [follow(nft_base_chains(ruleset, self._family), packet, self.node) for ruleset in self._drawn]
        assert (found, {answer} if answer else set()) in [(_places(way), self._answers(way)) for way in ways]

    @cached_property
    def _drawn(self) -> list[Ruleset]:
        """The rules for each lot that may be drawn, as if it always was."""
        most = max(map(int, _MODULUS.findall(self._text)))
        return [read_ruleset(_always_drawn(number, self._text)) for number in range(most)]

    def _forget_clients(self) -> None:
        names = [
            f"{' '.join(key)} {name}"
            for key, table in self.ruleset.items()
            for name, elements in table.sets.items()
            if elements.is_updated
        ]
        self._net.node.run("nft", "--file", "-", stdin="".join(f"flush set {name}\n" for name in names))


def _always_drawn(number: int, text: str) -> str:
    """Rules with the same number, or what remains of it, instead of all that are drawn by lot."""
    return _LOT.sub(lambda lot: str(number % int(lot[1])), text)


def _places(journey: Journey[t.Any]) -> list[Place]:
    hits = [hit.rule for stage in journey.stages for hit in stage.outcome.hits]
    found = [(rule.table.partition(" ")[2], rule.chain, rule.number) for rule in hits]
    return [place for place in found if place[0] != TABLE]


@contextmanager
def observing(net: Network, variant: str, family: int) -> Iterator[Observer]:
    with tracing(net.node, variant, family) as tracer:
        kind = NftObserver if variant == NFTABLES else IptablesObserver
        yield kind(net, variant, family, tracer)
