# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that the real kube-proxy wrote, and the objects that it made them of, as tests/truth/capture.py keeps them.

The node is node1 in zone1, which has the addresses of NODE.
"""

from __future__ import annotations

import gzip
import json
import typing as t
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place

Thing = dict[str, t.Any]

DATA: t.Final = Path(__file__).parents[1] / "data/iptables"
NODE: t.Final = {4: "192.168.1.10", 6: "fd00::10"}
HERE: t.Final = Place("node1", "zone1")
NEWEST: t.Final = "v1.36.2"


@dataclass(frozen=True)
class Captured:
    """Rules of a version of kube-proxy with a configuration, by a variant of iptables, for a family of addresses."""

    version: str = NEWEST
    configuration: str = "default"
    variant: str = "nft"
    family: int = 4

    def __str__(self) -> str:
        return f"{self.version}-{self.configuration}-{self.variant}-v{self.family}"

    @property
    def text(self) -> str:
        return _text(DATA / self.version / f"{self.configuration}.{self.variant}.v{self.family}.txt.gz")

    @property
    def services(self) -> list[Thing]:
        return self._objects["services"]

    @property
    def slices(self) -> list[Thing]:
        return self._objects["slices"]

    @property
    def _objects(self) -> dict[str, list[Thing]]:
        name = "many" if self.configuration == "many" else "default"
        return t.cast("dict[str, list[Thing]]", json.loads(_text(DATA / self.version / f"{name}.json.gz")))


@cache
def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def everything() -> list[Captured]:
    """All that was captured."""
    found = []
    for path in sorted(DATA.glob("*/*.txt.gz")):
        configuration, variant, family = path.name.split(".")[:3]
        found.append(Captured(path.parent.name, configuration, variant, int(family[1:])))
    return found
