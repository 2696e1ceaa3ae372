# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node that tests ask, and who watches it."""

from __future__ import annotations

import os
import shutil
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from cases import CONFIGURATIONS, NFT_CONFIGURATIONS, objects
from network import Network, TruthError, network
from programs import kube_proxy, lab_version
from proxy import NFTABLES, Proxy, write_rules
from traffic import answering
from witness import Observer, observing

# Makes a node on which kube-proxy has written its rules, with a configuration, by a variant of iptables or by nftables.
MakeNode = t.Callable[[str, str], t.ContextManager[Network]]
# Watches such a node, by a family of addresses.
Observe = t.Callable[[str, str, int], Observer]


@pytest.fixture(scope="session", name="make_node")
def make_node_fixture() -> MakeNode:
    missing = [name for name in ("ip", "ipset", "iptables-nft", "iptables-legacy", "nft") if not shutil.which(name)]
    if os.geteuid():
        pytest.exit("These tests make network namespaces: run them as root.", returncode=2)
    if missing:
        pytest.exit(f"{', '.join(missing)} missing: apt-get install iproute2 ipset iptables nftables.", returncode=2)
    try:
        command = kube_proxy(lab_version())
    except TruthError as error:
        pytest.exit(str(error), returncode=2)

    @contextmanager
    def make_node(configuration: str, variant: str) -> Iterator[Network]:
        with network() as net, answering(net):
            known = NFT_CONFIGURATIONS if variant == NFTABLES else CONFIGURATIONS
            write_rules(Proxy(command, known[configuration]), net.node, variant, objects(lab_version()))
            yield net

    return make_node


@pytest.fixture(scope="session", name="observe")
def observe_fixture(make_node: MakeNode) -> Iterator[Observe]:
    """The last node, and who watches it, are kept for those who ask for the same again."""
    node: list[tuple[str, str, Network]] = []
    observer: list[tuple[int, Observer]] = []
    with ExitStack() as nodes, ExitStack() as observers:

        def observe(configuration: str, variant: str, family: int) -> Observer:
            if not node or node[0][:2] != (configuration, variant):
                observers.close()
                observer.clear()
                nodes.close()
                node[:] = [(configuration, variant, nodes.enter_context(make_node(configuration, variant)))]
            # A trace is told to all who watch, whatever its family: let there be one.
            if not observer or observer[0][0] != family:
                observers.close()
                observer[:] = [(family, observers.enter_context(observing(node[0][2], variant, family)))]
            return observer[0][1]

        yield observe
