# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the rules of kube-proxy say, by the mode that it is in. Python 3.9, standard library
# only.

from __future__ import annotations

import re
import typing as t
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils import (
    _kube_drift,
    _kube_frontends,
    _nft_checks,
    _nft_drift,
    _nft_frontends,
    _rule_checks,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_manner import manner_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Table
    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

    Objects = Sequence[Mapping[str, t.Any]]
    End = tuple[str, t.Optional[int]]

_TO: t.Final = re.compile(r"--to-destination (\S+)")


@dataclass(frozen=True)
class Proxier(ABC):
    """The rules of kube-proxy for a family of addresses, on a node that is reached by an address."""

    family: int
    node_address: str
    # Whether ports of the node are served at 127.0.0.1.
    serves_loopback: t.ClassVar[bool] = True

    @property
    @abstractmethod
    def pods(self) -> str:
        """How packets of pods are told, as an option of iptables, as "-s 10.42.0.0/16"; empty if they are not."""

    @abstractmethod
    def frontends(self, only: str = "") -> list[Frontend]:
        """Where Services are reached; or one, namespace/name."""

    @abstractmethod
    def endpoints(self) -> set[End]:
        """Where packets to Services are sent."""

    @abstractmethod
    def drift(self, place: Place, services: Objects | None, slices: Objects | None, only: str) -> list[Drift]:
        """How the rules differ from those that kube-proxy would write."""

    @abstractmethod
    def findings(self, services: Iterable[str] | None) -> Iterator[Finding]:
        """What the rules say of services, namespace/name, or of all."""


@dataclass(frozen=True)
class IptablesProxier(Proxier):
    dump: Dump

    @cached_property
    def pods(self) -> str:
        return manner_of(self.dump, self.family, self.node_address).pods

    def frontends(self, only: str = "") -> list[Frontend]:
        return _kube_frontends.of_rules(self.dump, self.node_address, only)

    def endpoints(self) -> set[End]:
        # The last rule of the chain of an endpoint names it.
        chains = (chain for name, chain in self.dump.tables.get("nat", {}).items() if name.startswith("KUBE-SEP-"))
        named = (_TO.search(line) for chain in chains for line in chain.lines[-1:])
        return {_end(match[1]) for match in named if match}

    def drift(self, place: Place, services: Objects | None, slices: Objects | None, only: str) -> list[Drift]:
        return _kube_drift.drift(self.dump, self.family, self.node_address, place, services, slices, only)

    def findings(self, services: Iterable[str] | None) -> Iterator[Finding]:
        yield from _rule_checks.of_services(self.dump, services)
        yield from _rule_checks.of_masquerading(self.dump, self.pods)


def _end(text: str) -> End:
    address, _colon, port = text.rpartition(":")
    return address.strip("[]"), int(port) if port.isdigit() else None


@dataclass(frozen=True)
class NftablesProxier(Proxier):
    table: Table
    serves_loopback: t.ClassVar[bool] = False

    @cached_property
    def pods(self) -> str:
        return _nft_frontends.pods_of(self.table, self.family, self.node_address)

    def frontends(self, only: str = "") -> list[Frontend]:
        return _nft_frontends.of_table(self.table, self.node_address, only)

    def endpoints(self) -> set[End]:
        return _nft_frontends.endpoints_of(self.table)

    def drift(self, place: Place, services: Objects | None, slices: Objects | None, only: str) -> list[Drift]:
        return _nft_drift.drift(self.table, self.family, self.node_address, place, services, slices, only)

    def findings(self, services: Iterable[str] | None) -> Iterator[Finding]:
        yield from _nft_checks.services_without(self.table, services)
        yield from _nft_checks.of_masquerading(self.table)
