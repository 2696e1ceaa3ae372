# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What preflight checks: the hosts of an inventory, what it says of them, and what was read on them.

Private to the collection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import sys
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import Config, Kind, merge_config, words

Settings = Mapping[str, t.Any]

CLUSTER_NETWORKS: t.Final = {"cluster-cidr": "10.42.0.0/16", "service-cidr": "10.43.0.0/16"}
"""The networks inside a cluster by their keys, with the defaults of k3s."""


# What of a reading of homecloud.k3s.k3s_info is looked at here.
class Os(t.TypedDict):
    id: str
    id_like: list[str]
    version_id: str
    pretty_name: str


class Memory(t.TypedDict):
    total_mib: int


class Disk(t.TypedDict):
    path: str
    free_mib: int


class Boot(t.TypedDict):
    file: str | None
    kernel_words: list[str]


class Cgroup(t.TypedDict):
    version: int
    memory: bool
    evidence: str


class Clock(t.TypedDict):
    epoch: float
    synchronized: bool
    service: str


class Socket(t.TypedDict):
    protocol: str
    address: str
    port: int
    process: str


class Opening(t.TypedDict):
    protocol: str
    ports: list[int]
    source: str


class Firewall(t.TypedDict):
    kind: str
    evidence: str
    opens: list[Opening]


class Interface(t.TypedDict):
    name: str
    kind: str
    addresses: list[str]


class Route(t.TypedDict):
    interface: str
    gateway: str
    address: str


class Token(t.TypedDict):
    present: bool
    sha256: str


class UnitFile(t.TypedDict):
    path: str
    flags: dict[str, t.Any]
    environment_files: list[str]
    foreign: bool


class K3s(t.TypedDict):
    installed: bool
    version: str
    kind: str
    config: dict[str, t.Any]
    dropins: list[str]
    unit: UnitFile
    problems: list[str]
    token: Token
    ca_sha256: str
    datastore: str


class Unit(t.TypedDict):
    active: str


class Reading(t.TypedDict):
    hostname: str
    machine_id: str
    python: str
    architecture: str
    os: Os
    memory: Memory
    disk: Disk
    boot: Boot
    cgroup: Cgroup
    time: Clock
    ports: list[Socket]
    firewall: list[Firewall]
    interfaces: list[Interface]
    default_route: Route | None
    resolves: dict[str, list[str]]
    k3s: K3s
    units: dict[str, Unit]


_LINK_LOCAL = Range.network("fe80::/10")


def networks(texts: Iterable[str]) -> list[Range]:
    """The networks of these texts, without those that are none."""
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(Range.network(text))
    return found


@dataclass(frozen=True, order=True)
class Version:
    """A release of k3s; a candidate comes before its release."""

    numbers: tuple[int, int, int]
    candidate: int
    build: int

    @classmethod
    def parse(cls, text: object) -> Version | None:
        match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)(?:-rc(\d+))?\+k3s(\d+)", str(text))
        if not match:
            return None
        major, minor, patch, candidate, build = match.groups()
        return cls((int(major), int(minor), int(patch)), int(candidate or sys.maxsize), int(build))


@dataclass(frozen=True)
class Host:
    """A host of the inventory, with its settings, the defaults of the roles for them, and what was read on it.

    variables are the names of all that the inventory says of it, unreadable says why a setting has no value.
    """

    name: str
    kind: Kind
    given: Settings = field(default_factory=dict)
    defaults: Settings = field(default_factory=dict)
    reading: Reading | None = None
    variables: Collection[str] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def setting(self, name: str) -> object:
        return self.given.get(name, self.defaults.get(name))

    @property
    def k3s_config(self) -> Config:
        """The user's configuration, empty where it is none."""
        config = self.setting("k3s_config")
        return {str(key): value for key, value in config.items()} if isinstance(config, Mapping) else {}

    @cached_property
    def config(self) -> Config:
        """What the user's configuration comes to on this host."""
        return merge_config({}, self.k3s_config, self.kind)

    @property
    def node_name(self) -> str:
        return str(self.config.get("node-name", self.name.lower()))

    @property
    def version(self) -> Version | None:
        return Version.parse(self.setting("k3s_version"))


def is_endpoint(value: object) -> bool:
    """Whether it is the address or the name of a host, and nothing more."""
    text = str(value)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # A name of digits and dots only is an address with a mistake in it.
        return bool(re.fullmatch(r"[-\w]+(\.[-\w]+)*\.?", text, re.ASCII) and re.search("[A-Za-z]", text))
    return True


_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_VALUE = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"


def is_kubernetes_name(name: str) -> bool:
    """Whether it is a subdomain by RFC 1123."""
    return len(name) <= 253 and bool(re.fullmatch(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*", name))


def is_dns_label(name: str) -> bool:
    """Whether it is a label by RFC 1123, as names of namespaces are."""
    return len(name) <= 63 and bool(re.fullmatch(_DNS_LABEL, name))


def is_text(value: object) -> bool:
    """Whether it is a text that needs no quotes to be taken for one, or a whole number."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def label_problem(key: object, value: object) -> str:
    """What is wrong with a label, empty if nothing is."""
    prefix, slash, name = str(key).rpartition("/")
    if not is_text(value):
        return f"{key}: its value is not a text; put it in quotes"
    if (slash and not is_kubernetes_name(prefix)) or len(name) > 63 or not re.fullmatch(_LABEL_VALUE, name):
        return f"{key}: no key that a label can have"
    if value != "" and (len(str(value)) > 63 or not re.fullmatch(_LABEL_VALUE, str(value))):
        return f"{key}: {value}: no value that a label can have"
    return ""


def address_of(host: Host, reading: Reading) -> str:
    """The address that the node is known by in the cluster, empty where it has none."""
    route = reading["default_route"]
    return next(iter(words(host.config.get("node-ip", route["address"] if route else ""))), "")


def lans_of(reading: Reading) -> list[Range]:
    """The networks of the interface with the default route."""
    route = reading["default_route"]
    addresses = [a for i in reading["interfaces"] if route and i["name"] == route["interface"] for a in i["addresses"]]
    return [network for network in networks(addresses) if not _LINK_LOCAL.holds(network)]


@dataclass(frozen=True)
class Finding:
    """A fault as its check finds it; the code and the severity are the check's."""

    message: str
    evidence: str
    advice: str
    host: str = ""


@dataclass(frozen=True)
class Home:
    """Everything that preflight knows: the hosts, among them the controller, the groups, and when it was read.
    started and finished are the controller's time before the first reading and after the last.
    """

    hosts: Sequence[Host]
    groups: Mapping[str, Sequence[str]]
    controller: Host
    started: float
    finished: float

    @property
    def read(self) -> Iterator[tuple[Host, Reading]]:
        """The hosts that were read."""
        return ((host, host.reading) for host in self.hosts if host.reading)

    @property
    def servers(self) -> list[Host]:
        return [host for host in self.hosts if host.kind == "server"]

    @property
    def servers_read(self) -> Iterator[tuple[Host, Reading]]:
        return ((host, reading) for host, reading in self.read if host.kind == "server")

    @property
    def has_etcd(self) -> bool:
        """Whether the servers keep the cluster's data in etcd, now or after this run."""
        several = len(self.servers) > 1 and not self.has_other_datastore
        return several or any(host.config.get("cluster-init") for host in self.servers)

    @property
    def has_other_datastore(self) -> bool:
        """Whether the cluster's data are in a database that the collection does not know."""
        return "datastore-endpoint" in self.cluster_config

    @property
    def has_metallb(self) -> bool:
        return self.controller.setting("metallb_state") != "absent"

    @property
    def cluster_config(self) -> Config:
        """What the user's configuration comes to on the server: agents take these from it."""
        return next((host.config for host in self.servers), {})

    def networks(self, key: str) -> list[Range]:
        """The networks that a key of the configuration comes to."""
        return networks(words(self.cluster_config.get(key, CLUSTER_NETWORKS[key])))
