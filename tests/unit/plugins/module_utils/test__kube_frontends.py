# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services, and the rules that the real kube-proxy has made of them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import (
    Frontend,
    is_proxied,
    named,
    of_object,
    of_rules,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import NODE, Captured, everything


def objects(captured: Captured) -> list[Frontend]:
    return [front for one in captured.services for front in of_object(one, captured.family, NODE[captured.family])]


def rules(captured: Captured, only: str = "") -> list[Frontend]:
    return of_rules(read_dump(captured.text.splitlines()), NODE[captured.family], only)


@pytest.mark.parametrize("captured", everything(), ids=str)
def test_rules_and_objects_say_the_same(captured: Captured) -> None:
    by_rules = {(f.address, f.port, f.protocol): f for f in rules(captured)}
    by_objects = {(f.address, f.port, f.protocol): f for f in objects(captured)}
    assert by_rules.keys() == by_objects.keys()
    for place, frontend in by_objects.items():
        seen = by_rules[place]
        assert (seen.service, seen.port_name) == (frontend.service, frontend.port_name)
        # What leads nowhere has a rule that does not say what its address is.
        assert seen.kind in (frontend.kind, "other"), place


def test_of_one_service_only_its_rules_are_read() -> None:
    everywhere = rules(Captured())
    for name in sorted({front.service for front in everywhere}):
        assert rules(Captured(), name) == [front for front in everywhere if front.service == name]
    dump = read_dump(Captured().text.splitlines())
    assert of_rules(dump, NODE[4], "default/w") == []


@pytest.mark.parametrize(
    "rule",
    [
        '! -d 10.43.0.10/32 -p tcp -m comment --comment "a/b:c cluster IP" -m tcp --dport 80',
        '-d nonsense -p tcp -m comment --comment "a/b:c cluster IP" -m tcp --dport 80',
        '-p tcp -m comment --comment "a/b:c cluster IP" -m tcp --dport 80',
        '-d 10.43.0.10/32 -m comment --comment "a/b:c cluster IP" --dport 80',
        '-d 10.43.0.10/32 -p tcp -m comment --comment "a/b:c cluster IP" -m tcp --dport \u00b2',
    ],
)
def test_a_rule_that_is_for_no_address_and_port_is_no_front(rule: str) -> None:
    dump = read_dump(["*nat", ":KUBE-SERVICES - [0:0]", f"-A KUBE-SERVICES {rule} -j KUBE-SVC-X", "COMMIT"])
    assert of_rules(dump, NODE[4]) == []


def test_the_fronts_of_a_service() -> None:
    assert named(objects(Captured()), "default/balancer") == [
        Frontend("cluster_ip", "10.43.0.48", 80, "tcp", "default/balancer", "http"),
        Frontend("load_balancer", "192.168.1.50", 80, "tcp", "default/balancer", "http"),
        Frontend("node_port", "192.168.1.10", 30112, "tcp", "default/balancer", "http"),
    ]
    assert named(objects(Captured()), "default/nosuch") == []


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


@pytest.mark.parametrize(
    ("spec", "labels", "families"),
    [
        ({"clusterIP": "10.43.0.9"}, {}, [4]),
        ({"clusterIP": "fd43::9", "clusterIPs": ["fd43::9", "10.43.0.9"]}, {"app": "web"}, [4, 6]),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, {}, []),
        ({"type": "ExternalName", "externalName": "example.org"}, {}, []),
        ({"clusterIP": "10.43.0.9"}, {"service.kubernetes.io/service-proxy-name": "other"}, []),
        ({"clusterIP": "10.43.0.9"}, {"service.kubernetes.io/headless": ""}, []),
    ],
)
def test_which_services_kube_proxy_cares_for(
    spec: dict[str, t.Any], labels: dict[str, str], families: list[int]
) -> None:
    service = {"metadata": {"namespace": "a", "name": "b", "labels": labels}, "spec": spec}
    assert [family for family in (4, 6) if is_proxied(service, family)] == families


def test_a_service_has_no_node_port_by_a_family_that_it_does_not_use() -> None:
    spec = {"type": "NodePort", "clusterIP": "10.43.0.9", "ports": [{"port": 80, "nodePort": 30080}]}
    service = {"metadata": {"namespace": "a", "name": "b"}, "spec": spec}
    assert [front.kind for front in of_object(service, 4, NODE[4])] == ["cluster_ip", "node_port"]
    assert of_object(service, 6, NODE[6]) == []
