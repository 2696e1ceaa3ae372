# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""By which way a node comes into the cluster: it founds it, or it joins at one of the servers.

Private to the collection. Facts on C(cluster-init) and C(server) are from https://docs.k3s.io/datastore/ha-embedded.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

API_PORT = 6443
_KEYS = ("cluster-init", "server")

Readings = Mapping[str, Mapping[str, t.Any]]


@dataclass(frozen=True)
class Join:
    """What of the configuration says how a node comes into the cluster, and the server to ask about it."""

    config: dict[str, str | bool]
    by: str


@dataclass(frozen=True)
class Cluster:
    """The servers of the inventory with their addresses, in its order, and what was read of all hosts."""

    readings: Readings
    servers: Mapping[str, str]
    endpoint: str

    def datastore(self, host: str) -> str:
        reading = self.readings.get(host)
        return str(reading["k3s"]["datastore"]) if reading else ""

    def runs(self, host: str) -> bool:
        reading = self.readings.get(host)
        return reading is not None and any(unit["active"] == "active" for unit in reading["units"].values())

    def on_disk(self, host: str) -> Mapping[str, t.Any]:
        reading = self.readings.get(host)
        return reading["k3s"]["config"] if reading else {}

    @property
    def has_own_address(self) -> bool:
        """Whether the address of the API is of no server."""
        return self.endpoint not in {*self.servers, *self.servers.values()}

    def url(self, server: str) -> str:
        """Where to join: at the address of the API, unless that is the one of a server, for which SERVER stands in."""
        host = self.endpoint if self.has_own_address else self.servers[server] or server
        return f"https://{f'[{host}]' if ':' in host else host}:{API_PORT}"

    def leads_here(self, url: object) -> bool:
        """Whether a node may go on with this address: it is of a server, or of the API."""
        known = {name.lower() for name in (self.endpoint, *self.servers, *self.servers.values())}
        return urlsplit(str(url)).hostname in known  # that is in lower case


def k3s_join(readings: Readings, host: str, servers: Mapping[str, str], endpoint: str) -> dict[str, t.Any]:
    """How HOST comes into the cluster.

    READINGS are of homecloud.k3s.k3s_info by host, SERVERS the addresses of the servers by their names, ENDPOINT is the
    address of the API. The answer has the keys of Join. What a node that is in the cluster was told stays as long as it
    leads to the cluster: no server is restarted because another one is down.
    """
    cluster = Cluster(readings, servers, endpoint)
    return asdict(_server(cluster, host) if host in servers else _agent(cluster, host))


def _agent(cluster: Cluster, host: str) -> Join:
    by = _asked(cluster, list(cluster.servers))
    known = cluster.on_disk(host).get("server")
    # An agent that runs knows all servers, so another one's address is as good; that of all is better.
    if cluster.runs(host) and not cluster.has_own_address and known and cluster.leads_here(known):
        return Join({"server": str(known)}, by)
    return Join({"server": cluster.url(by)}, by)


def _server(cluster: Cluster, host: str) -> Join:
    others = [name for name in cluster.servers if name != host]
    datastore = cluster.datastore(host)
    if datastore == "etcd":
        return Join(_kept(cluster, host, others), _asked(cluster, list(cluster.servers)))
    if datastore == "sqlite":
        # k3s takes the data of SQLite along into etcd.
        return Join({"cluster-init": True} if others else {}, host)
    members = [name for name in others if cluster.datastore(name)]
    if members:
        by = _asked(cluster, members)
        return Join({"server": cluster.url(by)}, by)
    first = next(iter(cluster.servers))
    if host != first:
        return Join({"server": cluster.url(first)}, first)
    return Join({"cluster-init": True} if others else {}, host)


def _kept(cluster: Cluster, host: str, others: list[str]) -> dict[str, str | bool]:
    """What a member of etcd was told. k3s reads it only where the data of etcd are gone."""
    told = {key: value for key, value in cluster.on_disk(host).items() if key in _KEYS}
    if "server" in told and others and not cluster.leads_here(told["server"]):
        return {"server": cluster.url(_asked(cluster, others))}
    return told


def _asked(cluster: Cluster, servers: list[str]) -> str:
    """The first of these servers that runs, or else the first."""
    return next((name for name in servers if cluster.runs(name)), servers[0])
