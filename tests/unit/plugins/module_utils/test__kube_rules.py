# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that kube-proxy should write, and those that the real one has written."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place, choose, read_endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner, predict, printed
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import (
    HERE,
    NODE,
    Captured,
    everything,
)

SHARED: t.Final = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
PODS: t.Final = {4: "-s 10.42.0.0/16", 6: "-s fd42::/56"}
# What a configuration makes different from the usual manner.
MANNERS: t.Final[dict[str, dict[str, t.Any]]] = {
    "bridge": {"pods": "-i cni0"},
    "prefix": {"pods": "-i cni+"},
    "masquerade-all": {"masquerades_all": True},
    "masquerade-all-no-pods": {"masquerades_all": True, "pods": ""},
    "no-pods": {"pods": ""},
    "no-localhost": {"counts_localhost": False},
    "many": {"is_large": True},
}


def manner(captured: Captured) -> Manner:
    family = captured.family
    # IPv6 has no node ports on the loopback interface.
    usual = Manner(family, NODE[family], PODS[family], counts_localhost=family == 4)
    return replace(usual, **MANNERS.get(captured.configuration, {}))


def predicted(captured: Captured) -> dict[tuple[str, str], list[str]]:
    lines: dict[tuple[str, str], list[str]] = {}
    for service in captured.services:
        for port in service["spec"]["ports"]:
            endpoints = read_endpoints(service, captured.slices, port.get("name") or "", captured.family)
            for place, texts in predict(service, port, choose(endpoints, HERE), manner(captured)).items():
                lines.setdefault(place, []).extend(texts)
    return lines


def written(dump: Dump) -> dict[tuple[str, str], list[str]]:
    """What kube-proxy has written for Services: the rest is the same on all nodes."""
    return {
        (table, name): [line.split(" ", 2)[2] for line in chain.lines if "/" in line and '"kubernetes ' not in line]
        if name in SHARED
        else [line.split(" ", 2)[2] for line in chain.lines]
        for table, chains in dump.tables.items()
        for name, chain in chains.items()
        if chain.lines
        and (name in SHARED or name.startswith(("KUBE-SVC", "KUBE-SVL", "KUBE-SEP", "KUBE-EXT-", "KUBE-FW")))
    }


@pytest.mark.parametrize("captured", everything(), ids=str)
def test_all_rules_for_services_are_predicted_to_the_letter(captured: Captured) -> None:
    there = written(read_dump(captured.text.splitlines()))
    should = predicted(captured)
    assert should.keys() == there.keys()
    for place, lines in should.items():
        if place[1] in SHARED:  # in which Services come in any order
            assert sorted(there[place]) == sorted(lines), place
        else:
            assert there[place] == lines, place


def test_there_are_captured_rules_of_all_kinds() -> None:
    configurations = {captured.configuration for captured in everything()}
    assert configurations > MANNERS.keys()
    assert {captured.version for captured in everything()} >= {"v1.31.4", "v1.33.4", "v1.36.2"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1.00000000000"), (2, "0.50000000000"), (3, "0.33333333349"), (5, "0.20000000019"), (7, "0.14285714272")],
)
def test_probabilities_as_they_are_printed(count: int, text: str) -> None:
    assert printed(1 / count) == text


def test_without_a_network_of_pods_nothing_is_told_of_them() -> None:
    service: dict[str, t.Any] = {
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {
            "clusterIP": "10.43.0.41",
            "externalTrafficPolicy": "Local",
            "ports": [{"port": 80, "nodePort": 30080}],
        },
    }
    metadata = {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}}
    thing = {
        "metadata": metadata,
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.42.0.2"], "nodeName": "node1"}],
    }
    choice = choose(read_endpoints(service, [thing], "", 4), Place("node1"))
    lines = predict(service, service["spec"]["ports"][0], choice, Manner(4, "192.168.1.10", ""))
    texts = [text for place in lines.values() for text in place]
    assert [text for text in texts if "pod traffic" in text or "! " in text] == []
