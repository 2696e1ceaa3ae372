# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab: its name, its addresses, its machines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from homelab.settings import NODE_NAMES


@dataclass(frozen=True)
class Host:
    """A machine on the LAN."""

    name: str
    role: str
    address: str
    container: str

    @property
    def is_node(self) -> bool:
        return self.role in ("server", "agent")


@dataclass(frozen=True)
class Lab:
    """A home network; everything about it follows from these four."""

    name: str
    network: str  # the first three numbers of its /24, such as 192.168.100
    node_count: int
    state: Path

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
        return f"{self.at(200)}-{self.at(225)}"

    @property
    def nodes(self) -> list[Host]:
        return [self._host(name, name.rstrip("123"), 101 + index) for index, name in enumerate(self._node_names)]

    @property
    def hosts(self) -> list[Host]:
        helpers = [self._host("router", "router", 1), self._host("mirror", "mirror", 3)]
        return [*helpers, self._host("client", "client", 50), *self.nodes]

    @property
    def _node_names(self) -> tuple[str, ...]:
        return NODE_NAMES[: self.node_count]

    def _host(self, name: str, role: str, number: int) -> Host:
        return Host(name, role, self.at(number), f"homecloud-{self.name}-{name}")

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

    def save(self) -> None:
        document = {
            "name": self.name,
            "subnet": f"{self.network}.0/24",
            "controller": self.controller,
            "mirror_url": self.mirror_url,
            "pool": self.pool,
            "hosts": {
                host.name: {"role": host.role, "address": host.address, "container": host.container}
                for host in self.hosts
            },
            "paths": {
                "inventory": str(self.inventory),
                "ssh_key": str(self.ssh_key),
                "known_hosts": str(self.known_hosts),
                "kubeconfig": str(self.kubeconfig),
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
        nodes = [host for host in document["hosts"].values() if host["role"] in ("server", "agent")]
        return cls(document["name"], document["subnet"].removesuffix(".0/24"), len(nodes), state)
