# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules that kube-proxy should write, and those that the real one has written."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Dump, read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place, choose, read_endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner, predict, printed

DATA = Path(__file__).parents[1] / "data/iptables"
SHARED: t.Final = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
MANNERS: t.Final = {
    4: Manner(4, "192.168.1.10", "-s 10.42.0.0/16", counts_localhost=True),
    6: Manner(6, "fd00::10", "-s fd42::/56"),
}


def predicted(family: int) -> dict[tuple[str, str], list[str]]:
    things = json.loads((DATA / f"services.v{family}.json").read_text(encoding="utf-8"))
    lines: dict[tuple[str, str], list[str]] = {}
    for service in things["Services"]:
        for port in service["spec"]["ports"]:
            endpoints = read_endpoints(service, things["Slices"], port.get("name") or "", family)
            choice = choose(endpoints, Place("node1"))
            for place, texts in predict(service, port, choice, MANNERS[family]).items():
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


@pytest.mark.parametrize(("name", "family"), [("v4.nft", 4), ("v4.legacy", 4), ("v6.nft", 6)])
def test_all_rules_for_services_are_predicted_to_the_letter(name: str, family: int) -> None:
    there = written(read_dump((DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()))
    should = predicted(family)
    assert should.keys() == there.keys()
    for place, lines in should.items():
        if place[1] in SHARED:  # in which Services come in any order
            assert sorted(there[place]) == sorted(lines), place
        else:
            assert there[place] == lines, place


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
