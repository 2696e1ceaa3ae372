# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab: its name, its addresses, its machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homelab.settings import (
    ACME_HOST,
    INTERNET_ADDRESS,
    OUTSIDE_ADDRESS,
    PUBLIC_ADDRESS,
    TSIG_ALGORITHM,
    TSIG_KEY,
)


@dataclass(frozen=True)
class Host:
    """A machine, with its address in each network that it is connected with: first the one it is known by."""

    name: str
    role: str
    addresses: Mapping[str, str]
    container: str

    @property
    def address(self) -> str:
        return next(iter(self.addresses.values()))

    @property
    def is_node(self) -> bool:
        return self.role in ("server", "agent")


@dataclass(frozen=True)
class Lab:
    """A home network; everything about it follows from these five."""

    name: str
    network: str  # the first three numbers of its /24, such as 192.168.100
    node_count: int
    state: Path
    server_count: int = 1

    def at(self, number: int) -> str:
        return f"{self.network}.{number}"

    @property
    def controller(self) -> str:
        return self.at(2)

    @property
    def gateway(self) -> str:
        return self.at(1)

    @property
    def mirror_url(self) -> str:
        return f"http://{self.at(3)}"

    @property
    def pool(self) -> str:
        return f"{self.sites}-{self.at(225)}"

    @property
    def sites(self) -> str:
        """Where the router forwards what comes from the internet for web sites."""
        return self.at(200)

    @property
    def nodes(self) -> list[Host]:
        """The servers, and after them the agents."""
        roles = ["server"] * self.server_count + ["agent"] * (self.node_count - self.server_count)
        return [
            self._host(f"{role}{roles[: index + 1].count(role)}", role, lan=self.at(101 + index))
            for index, role in enumerate(roles)
        ]

    @property
    def hosts(self) -> list[Host]:
        return [
            self._host("router", "router", lan=self.gateway, internet=PUBLIC_ADDRESS),
            self._host("mirror", "mirror", lan=self.at(3)),
            self._host("client", "client", lan=self.at(50)),
            self._host("internet", "internet", internet=INTERNET_ADDRESS),
            self._host("outside", "client", internet=OUTSIDE_ADDRESS),
            *self.nodes,
        ]

    def _host(self, name: str, role: str, **addresses: str) -> Host:
        return Host(name, role, addresses, f"homecloud-{self.name}-{name}")

    @property
    def inventory(self) -> Path:
        return self.state / "inventory"

    @property
    def ssh_key(self) -> Path:
        return self.state / "ssh_key"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def tsig_secret(self) -> Path:
        return self.state / "tsig_secret"

    @property
    def acme_ca(self) -> Path:
        return self.state / "acme_ca.pem"

    def save(self) -> None:
        document = {
            "name": self.name,
            "subnet": f"{self.network}.0/24",
            "controller": self.controller,
            "mirror_url": self.mirror_url,
            "pool": self.pool,
            "internet": {
                "public_address": PUBLIC_ADDRESS,
                "nameserver": INTERNET_ADDRESS,
                "tsig_key": TSIG_KEY,
                "tsig_algorithm": TSIG_ALGORITHM,
                "acme_directory": f"https://{ACME_HOST}:14000/dir",
                "acme_roots": f"https://{ACME_HOST}:15000/roots/0",
            },
            "hosts": {
                host.name: {"role": host.role, "address": host.address, "container": host.container}
                for host in self.hosts
            },
            "paths": {
                "inventory": str(self.inventory),
                "ssh_key": str(self.ssh_key),
                "known_hosts": str(self.known_hosts),
                "kubeconfig": str(self.kubeconfig),
                "tsig_secret": str(self.tsig_secret),
                "acme_ca": str(self.acme_ca),
            },
        }
        (self.state / "lab.json").write_text(json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, state: Path) -> Lab | None:
        """The lab whose state this directory holds, if there is one."""
        try:
            document = json.loads((state / "lab.json").read_text())
        except FileNotFoundError:
            return None
        roles = [host["role"] for host in document["hosts"].values()]
        servers, agents = roles.count("server"), roles.count("agent")
        return cls(document["name"], document["subnet"].removesuffix(".0/24"), servers + agents, state, servers)
