# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Endpoint, Place, choose
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_ports import BaseManner, ServicePort, chosen

Thing = dict[str, t.Any]
PORT: t.Final = {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}
HERE: t.Final = Place("node1")
PODS: t.Final = [
    Endpoint("10.42.0.2", 8080, "node1", ready=True, serving=True, terminating=False),
    Endpoint("10.42.1.2", 8080, "node2", ready=True, serving=True, terminating=False),
]


def service(name: str = "web", namespace: str = "default", **spec: object) -> Thing:
    metadata = {"namespace": namespace, "name": name}
    return {"metadata": metadata, "spec": {"clusterIPs": ["10.43.0.10"], "ports": [PORT], **spec}}


def port_of(thing: Thing, address: str = "192.168.1.10") -> ServicePort[BaseManner]:
    return ServicePort.of(thing, PORT, choose(PODS, HERE), BaseManner(4, address, ""))


@pytest.mark.parametrize(
    ("policies", "cluster", "local"),
    [
        ({}, 2, 0),
        # What is for a node port may still go to pods of all nodes.
        ({"internalTrafficPolicy": "Local"}, 2, 1),
        ({"externalTrafficPolicy": "Local"}, 2, 1),
        ({"internalTrafficPolicy": "Local", "ports": [{**PORT, "nodePort": None}]}, 0, 1),
        # Without anything from outside its policy says nothing.
        ({"externalTrafficPolicy": "Local", "ports": [{**PORT, "nodePort": None}]}, 2, 0),
    ],
)
def test_policies_decide_which_endpoints_are_used(policies: Thing, cluster: int, local: int) -> None:
    thing = service(**policies)
    own: ServicePort[BaseManner] = ServicePort.of(
        thing, thing["spec"]["ports"][0], choose(PODS, HERE), BaseManner(4, "192.168.1.10", "")
    )
    assert (len(own.cluster), len(own.local)) == (cluster, local)


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}, 60),
    ],
)
def test_affinity_has_a_time(spec: Thing, seconds: int) -> None:
    assert port_of(service(**spec)).affinity == seconds


def test_sources_are_those_of_the_family() -> None:
    own = port_of(service(loadBalancerSourceRanges=[" 192.168.1.7/24", "fd00::/64"]))
    assert list(map(str, own.sources)) == ["192.168.1.0/24"]
    assert own.is_for_node
    assert not port_of(service(loadBalancerSourceRanges=["192.168.1.0/24"]), "10.0.0.1").is_for_node


def test_a_service_of_others_is_not_reached_here() -> None:
    assert port_of(service(type="ExternalName")).fronts == []


def test_slices_are_those_of_a_service_of_the_same_namespace() -> None:
    def slice_of(name: str, namespace: str, address: str) -> Thing:
        labels = {"kubernetes.io/service-name": name}
        endpoints = [{"addresses": [address], "conditions": {"ready": True}}]
        metadata = {"namespace": namespace, "labels": labels}
        return {
            "metadata": metadata,
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 80}],
            "endpoints": endpoints,
        }

    slices = [
        slice_of("web", "default", "10.42.0.2"),
        slice_of("web", "shop", "10.42.0.3"),
        slice_of("x", "shop", "10.42.0.4"),
    ]
    found = chosen([service(), service(namespace="shop"), service("none")], slices, HERE, 4)
    addresses = [[endpoint.address for endpoint in choice.cluster] for _service, _port, choice in found]
    assert addresses == [["10.42.0.2"], ["10.42.0.3"], []]
