# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _kernel_watch
from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_watch import Untraceable, table_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

WEB: t.Final = Frontend("cluster_ip", "10.43.0.41", 80, "tcp", "default/web", "")
DNS: t.Final = Frontend("cluster_ip", "fd43::10", 53, "udp", "kube-system/kube-dns", "dns")


def test_the_table_traces_first_packets_of_whoever_asks() -> None:
    asked = table_of("ours", [WEB, DNS], "")
    assert asked.startswith("add table inet ours { flags owner; ")
    of_web = (
        "ip daddr 10.43.0.41 tcp dport 80 tcp flags & (fin|syn|rst|ack) == syn limit rate 50/second meta nftrace set 1;"
    )
    of_dns = "ip6 daddr fd43::10 udp dport 53 limit rate 50/second meta nftrace set 1;"
    assert asked.count(of_web) == asked.count(of_dns) == 2  # what comes, and what the node sends
    assert "\n" not in asked


def test_the_table_traces_one_source() -> None:
    assert "ip saddr 10.42.0.9 ip daddr 10.43.0.41 tcp" in table_of("ours", [WEB], "10.42.0.9")


def test_without_nft_nothing_is_traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_kernel_watch, "PATH", str(tmp_path))
    with pytest.raises(Untraceable, match="Install the package nftables"), _kernel_watch._table("ours", ""):
        pass


def test_a_table_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nft = tmp_path / "nft"
    nft.write_text('#!/bin/sh\n[ "$1" = -i ] || exit 1\nread -r line\necho "Operation not permitted" >&2\n')
    nft.chmod(0o755)
    monkeypatch.setattr(_kernel_watch, "PATH", str(tmp_path))
    monkeypatch.setattr(_kernel_watch, "_PATIENCE", 0.3)
    with pytest.raises(Untraceable, match="Operation not permitted"), _kernel_watch._table("ours", ""):
        pass
