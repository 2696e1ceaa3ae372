# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import (
    Endpoint,
    Lack,
    NodePort,
    announced_by,
    asked_addresses,
    endpoints,
    has_address,
    lacks,
    node_ports,
    ready_endpoints,
    slices,
    workloads_behind,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

Thing = dict[str, t.Any]

NOBODY = Snapshot([])


def service(*addresses: str, annotations: dict[str, str] | None = None, **spec: object) -> Thing:
    """A load balancer of MetalLB that has these addresses."""
    ingress = {"ingress": [{"ip": address} for address in addresses]} if addresses else {}
    own = {f"metallb.io/{name.replace('_', '-')}": value for name, value in (annotations or {}).items()}
    return {
        "kind": "Service",
        "metadata": {"name": "mysite", "namespace": "default", "annotations": own},
        "spec": {"type": "LoadBalancer", "selector": {"app": "mysite"}, "ports": [{"name": "web", "port": 80}], **spec},
        "status": {"loadBalancer": ingress},
    }


def endpoint_slice(*found: Thing, of: str = "mysite", ports: tuple[str, ...] = ("web",)) -> Thing:
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{of}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": of}},
        "ports": [{"name": name, "port": 8080} for name in ports] or None,
        "endpoints": list(found) or None,
    }


def endpoint(address: str = "10.42.0.7", ready: bool | None = True, kind: str = "Pod") -> Thing:
    conditions = {} if ready is None else {"ready": ready}
    target = {"kind": kind, "name": f"mysite-{address}"}
    return {"addresses": [address], "conditions": conditions, "nodeName": "node1", "targetRef": target}


def status(node: str, name: str = "mysite", kind: str = "ServiceL2Status") -> Thing:
    return {
        "kind": kind,
        "metadata": {"name": f"l2-{node}-{name}", "namespace": "metallb-system"},
        "status": {"node": node, "serviceName": name, "serviceNamespace": "default"},
    }


OF_HOME = {"ip_allocated_from_pool": "home"}


def test_endpoints_are_what_the_slices_of_the_service_name() -> None:
    mine = endpoint_slice(endpoint(), endpoint("10.42.0.8", ready=False), endpoint("192.168.1.9", None, "Node"))
    snapshot = Snapshot([mine, endpoint_slice(endpoint("10.42.0.9"), of="other"), endpoint_slice()])
    assert slices(service(), snapshot)[0] == mine
    assert endpoints(service(), snapshot) == [
        Endpoint("10.42.0.7", 8080, "node1", "mysite-10.42.0.7", ready=True),
        Endpoint("10.42.0.8", 8080, "node1", "mysite-10.42.0.8", ready=False),
        # Who says nothing of it is ready.
        Endpoint("192.168.1.9", 8080, "node1", "", ready=True),
    ]


@pytest.mark.parametrize(
    ("spec", "found", "expected"),
    [
        ({}, [], 0),
        ({}, [endpoint_slice(endpoint(), endpoint("10.42.0.8"))], 2),
        ({}, [endpoint_slice(endpoint(), endpoint("10.42.0.8", ready=False))], 1),
        # The same pod in two slices, while it goes from one to the other.
        ({}, [endpoint_slice(endpoint()), endpoint_slice(endpoint())], 1),
        # A port that the pods do not name is in no slice.
        ({}, [endpoint_slice(endpoint(), ports=())], 0),
        ({"ports": [{"name": "web", "port": 80}, {"name": "dns", "port": 53}]}, [endpoint_slice(endpoint())], 0),
        ({"ports": [{"port": 80}]}, [endpoint_slice(endpoint(), ports=("",))], 1),
        ({"ports": None, "clusterIP": "None"}, [endpoint_slice(endpoint(), ports=())], 1),
        ({"ipFamilies": ["IPv4", "IPv6"]}, [endpoint_slice(endpoint())], 0),
        ({"ipFamilies": ["IPv4", "IPv6"]}, [endpoint_slice(endpoint()), endpoint_slice(endpoint("fd00::7"))], 1),
    ],
)
def test_endpoints_that_are_ready_at_each_port(spec: Thing, found: list[Thing], expected: int) -> None:
    assert ready_endpoints(service(**spec), Snapshot(found)) == expected


def test_node_ports_are_those_that_were_given() -> None:
    ports = [{"name": "web", "port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    assert node_ports(service(ports=ports)) == [NodePort("web", 80, "TCP", 30080)]


def test_workloads_behind_make_pods_that_it_selects() -> None:
    def workload(kind: str, labels: dict[str, str]) -> Thing:
        return {
            "kind": kind,
            "metadata": {"name": "mysite", "namespace": "default"},
            "spec": {"template": {"metadata": {"labels": labels}}},
        }

    mine = [workload(kind, {"app": "mysite", "tier": "front"}) for kind in ("Deployment", "DaemonSet")]
    snapshot = Snapshot([*mine, workload("Deployment", {"app": "other"})])
    assert workloads_behind(service(), snapshot) == mine
    assert workloads_behind(service(selector=None), snapshot) == []


def test_it_is_announced_by_whom_metallb_names() -> None:
    statuses = [status("node2"), status("node1"), status("node1", kind="ServiceBGPStatus"), status("node3", "other")]
    assert announced_by(service(annotations=OF_HOME), Snapshot(statuses)) == ["node1", "node2"]
    # The address is not of MetalLB: the statuses are of another time.
    assert announced_by(service(), Snapshot(statuses)) == []


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (service("192.168.1.200"), True),
        (service(), False),
        (service("192.168.1.200", annotations={"loadBalancerIPs": "192.168.1.200"}), True),
        (service("192.168.1.200", annotations={"loadBalancerIPs": "192.168.1.210"}), False),
        (service("192.168.1.200", "fd00::1", annotations={"loadBalancerIPs": "192.168.1.200, fd00::1"}), True),
        (service("192.168.1.200", annotations={"loadBalancerIPs": "192.168.1.200,fd00::1"}), False),
        (service("192.168.1.200", loadBalancerIP="192.168.1.210"), False),
        (service("192.168.1.200", annotations={"address_pool": "home", **OF_HOME}), True),
        (service("192.168.1.200", annotations={"address_pool": "guests", **OF_HOME}), False),
        # Another load balancer does not say of which pool it is.
        (service("192.168.1.200", annotations={"address_pool": "guests"}), True),
        (service(type="ClusterIP"), True),
    ],
)
def test_an_address_is_the_one_that_was_asked_for(thing: Thing, expected: bool) -> None:
    assert has_address(thing) is expected


def test_addresses_may_be_asked_for_in_two_ways() -> None:
    assert asked_addresses(service(loadBalancerIP="192.168.1.210")) == ["192.168.1.210"]
    assert asked_addresses(service(annotations={"loadBalancerIPs": "192.168.1.210, fd00::1"})) == [
        "192.168.1.210",
        "fd00::1",
    ]
    assert asked_addresses(service()) == []


READY = endpoint_slice(endpoint())


@pytest.mark.parametrize(
    ("thing", "others", "expected"),
    [
        (service(), [], [Lack.ENDPOINTS, Lack.ADDRESS]),
        (service(), [READY], [Lack.ADDRESS]),
        (service("192.168.1.200"), [READY], []),
        (service("192.168.1.200", annotations=OF_HOME), [READY], [Lack.ANNOUNCEMENT]),
        (service("192.168.1.200", annotations=OF_HOME), [READY, status("node1")], []),
        (service(type="ClusterIP"), [READY], []),
        (service("192.168.1.200", type="NodePort"), [READY], [Lack.RELEASE]),
        (service(type="ExternalName", externalName="example.org"), [], []),
    ],
)
def test_what_a_service_lacks(thing: Thing, others: list[Thing], expected: list[Lack]) -> None:
    assert lacks(thing, Snapshot(others)) == expected


def test_as_many_endpoints_as_asked() -> None:
    assert lacks(service("192.168.1.200"), Snapshot([READY]), 2) == [Lack.ENDPOINTS]
    assert lacks(service("192.168.1.200", annotations=OF_HOME), NOBODY, 0) == []


def test_who_announces_it_is_not_always_known() -> None:
    untold = Snapshot([READY], untold=["ServiceL2Status"])
    assert lacks(service("192.168.1.200", annotations=OF_HOME), untold) == []
