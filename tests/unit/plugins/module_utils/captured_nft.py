# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that the real kube-proxy wrote in the mode nftables, as tests/truth/capture.py keeps them."""

from __future__ import annotations

import gzip
import typing as t
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import read_ruleset

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_ruleset import Ruleset

DATA: t.Final = Path(__file__).parents[1] / "data/nft"
NEWEST: t.Final = "v1.36.2"


@dataclass(frozen=True)
class CapturedNft:
    """Rules of a version of kube-proxy with a configuration, for both families of addresses."""

    version: str = NEWEST
    configuration: str = "default"

    def __str__(self) -> str:
        return f"{self.version}-{self.configuration}"

    @property
    def json(self) -> str:
        return _text(DATA / self.version / f"{self.configuration}.json.gz")

    @property
    def text(self) -> str:
        """The same rules as nft prints them without JSON."""
        return _text(DATA / self.version / f"{self.configuration}.txt.gz")

    @property
    def ruleset(self) -> Ruleset:
        return _ruleset(self)


@cache
def _ruleset(captured: CapturedNft) -> Ruleset:
    return read_ruleset(captured.json)


@cache
def _text(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def all_captured_nft() -> list[CapturedNft]:
    paths = sorted(DATA.glob("*/*.json.gz"))
    return [CapturedNft(path.parent.name, path.name.partition(".")[0]) for path in paths]
