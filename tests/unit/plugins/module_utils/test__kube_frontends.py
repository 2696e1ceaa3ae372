# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services, and the rules that the real kube-proxy has made of them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend, named, of_object, of_rules

DATA = Path(__file__).parents[1] / "data/iptables"
NODE: t.Final = {4: "192.168.1.10", 6: "fd00::10"}


def objects(family: int) -> list[Frontend]:
    services = json.loads((DATA / f"services.v{family}.json").read_text(encoding="utf-8"))["Services"]
    return [frontend for service in services for frontend in of_object(service, family, NODE[family])]


def rules(dump: str, family: int) -> list[Frontend]:
    text = (DATA / f"{dump}.txt").read_text(encoding="utf-8")
    return of_rules(read_dump(text.splitlines()), NODE[family])


@pytest.mark.parametrize(("dump", "family"), [("v4.nft", 4), ("v4.legacy", 4), ("v6.nft", 6)])
def test_rules_and_objects_say_the_same(dump: str, family: int) -> None:
    by_rules = {(f.address, f.port, f.protocol): f for f in rules(dump, family)}
    by_objects = {(f.address, f.port, f.protocol): f for f in objects(family)}
    assert by_rules.keys() == by_objects.keys()
    for place, frontend in by_objects.items():
        seen = by_rules[place]
        assert (seen.service, seen.port_name) == (frontend.service, frontend.port_name)
        # What leads nowhere has a rule that does not say what its address is.
        assert seen.kind in (frontend.kind, "other"), place


def test_the_fronts_of_a_service() -> None:
    assert named(objects(4), "default/lbl") == [
        Frontend("cluster_ip", "10.43.0.52", 80, "tcp", "default/lbl", "http"),
        Frontend("load_balancer", "192.168.1.50", 80, "tcp", "default/lbl", "http"),
        Frontend("node_port", "192.168.1.10", 30083, "tcp", "default/lbl", "http"),
    ]
    assert named(objects(4), "default/nosuch") == []


@pytest.mark.parametrize("port", ["http", "80"])
def test_a_port_is_named_by_its_name_or_number(port: str) -> None:
    ports = [
        {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080},
        {"name": "tls", "port": 443, "protocol": "TCP", "nodePort": 30443},
    ]
    metadata = {"namespace": "default", "name": "two"}
    service = {"metadata": metadata, "spec": {"clusterIP": "10.43.0.9", "ports": ports}}
    found = named(of_object(service, 4, NODE[4]), "default/two", port)
    assert [(frontend.kind, frontend.port) for frontend in found] == [("cluster_ip", 80), ("node_port", 30080)]


def test_a_headless_service_has_no_front() -> None:
    spec = {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]}
    assert of_object({"metadata": {"namespace": "a", "name": "b"}, "spec": spec}, 4, NODE[4]) == []


def test_addresses_that_a_proxy_answers_for_are_left_out() -> None:
    status = {"loadBalancer": {"ingress": [{"ip": "192.168.1.5", "ipMode": "Proxy"}, {"hostname": "lb.example.org"}]}}
    spec = {"clusterIP": "10.43.0.9", "ports": [{"port": 80}]}
    service = {"metadata": {"namespace": "a", "name": "b"}, "spec": spec, "status": status}
    assert [frontend.kind for frontend in of_object(service, 4, NODE[4])] == ["cluster_ip"]
