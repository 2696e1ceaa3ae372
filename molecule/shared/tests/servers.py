# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers of a cluster, seen from outside of Ansible."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from scenario import Kubectl, Lab

SERVERS = ("server1", "server2", "server3")
CONFIG = "/etc/rancher/k3s/config.yaml"
VIP = 100  # the last number of the address of the API


def voters(kubectl: Kubectl) -> set[str]:
    """The nodes that say that they vote in etcd; none if the API does not answer."""
    try:
        nodes = kubectl.objects("nodes")
    except subprocess.CalledProcessError:
        return set()
    return {node["metadata"]["name"] for node in nodes if is_true(node, "EtcdIsVoter") and is_true(node, "Ready")}


def is_true(node: dict[str, t.Any], kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in node["status"]["conditions"])


def started(lab: Lab, node: str) -> str:
    """When k3s has started there, by the clock of its kernel."""
    return lab.on(node, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "k3s")


def holder(lab: Lab) -> str:
    """The server that has the address of the API."""
    (server,) = [name for name in SERVERS if f" {lab.at(VIP)}/" in lab.on(name, "ip", "-oneline", "-4", "address")]
    return server


@dataclass
class Writer:
    """A client of the API that notes each write, and goes on where one fails."""

    kubectl: Kubectl
    name: str
    written: list[int] = field(default_factory=list)
    """The numbers that the API said are stored."""
    longest: float = 0
    """The most seconds between two of them."""
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _write(self) -> None:
        last, number = time.monotonic(), 0
        while not self._done.is_set():
            number += 1
            if self._stores(number):
                self.written.append(number)
                now = time.monotonic()
                last, self.longest = now, max(self.longest, now - last)

    def _stores(self, number: int) -> bool:
        patch = json.dumps({"data": {str(number): "written"}})
        try:
            self.kubectl("patch", "configmap", self.name, "--type=merge", f"--patch={patch}")
        except subprocess.SubprocessError:
            return False
        return True
