# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a packet as it is explained, and as the kernel traces it: rule by rule, up to the pod that answers."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import of_object
from cases import CONFIGURATIONS, NFT_CONFIGURATIONS, objects
from network import NODE_ADDRESS
from nodes import Observe
from programs import lab_version
from proxy import NFTABLES, VARIANTS
from witness import ASKERS, Request

# What is asked for, and by whom, where the configuration is not the usual one.
SOME: t.Final = (
    "web", "kubernetes", "inside", "node-port", "outside", "outside-none", "balancer-local", "ranges",
)  # fmt: skip
SOME_ASKERS: t.Final = ("pod", "remote pod", "lan", "node")
# The loopback interface, whose node ports kube-proxy serves for the node by IPv4.
LOOPBACK: t.Final = {4: "127.0.0.1", 6: "::1"}
# What is asked for and no front end: other addresses of the node, other ports, addresses that nobody has.
OTHERS: t.Final = {
    4: (("10.42.0.1", 30106), ("10.43.0.10", 81), ("10.43.0.250", 80), ("192.168.1.55", 81), ("192.168.1.10", 30999)),
    6: (("fd42::1", 30106), ("fd43::10", 81), ("fd43::250", 80), ("fd00::55", 81), ("fd00::10", 30999)),
}


def requests() -> Iterator[object]:
    """Everything that is asked for: of whom, with what configuration, and by whom."""
    nodes = [("default", variant) for variant in (*VARIANTS, NFTABLES)]
    nodes += [(configuration, "nft") for configuration in CONFIGURATIONS if configuration != "default"]
    nodes += [(configuration, NFTABLES) for configuration in NFT_CONFIGURATIONS if configuration != "default"]
    for node in nodes:
        for family, own in NODE_ADDRESS.items():
            fronts = [
                (front.service, front.protocol, front.address, front.port)
                for service in objects(lab_version())["services"]
                for front in of_object(service, family, own)
                # Nobody here speaks SCTP.
                if front.protocol != "sctp" and (node[0] == "default" or front.service.partition("/")[2] in SOME)
            ]
            fronts += [("no Service", "tcp", address, port) for address, port in OTHERS[family]]
            asked = [(front, asker) for front in fronts for asker in (ASKERS if node[0] == "default" else SOME_ASKERS)]
            asked += [(("loopback", "tcp", LOOPBACK[family], port), "node") for port in (30106, 30108)]
            for (name, protocol, address, port), asker in asked:
                request = Request(asker, family, protocol, address, port)
                yield pytest.param(node, request, id=f"{'-'.join(node)}-{name}-{request}")


@pytest.mark.parametrize(("node", "asked"), list(requests()))
def test_the_kernel_does_what_is_explained(observe: Observe, node: tuple[str, str], asked: Request) -> None:
    observe(*node, asked.family).check(asked)
