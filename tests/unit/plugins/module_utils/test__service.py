# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import Refused
from ansible_collections.homecloud.k3s.plugins.module_utils._service import OPTIONS, desired, refuse_contradiction


def task(**options: object) -> dict[str, t.Any]:
    return {**dict.fromkeys(OPTIONS), "name": "web", "namespace": "rooms", "type": "ClusterIP", **options}


def port(**options: object) -> dict[str, t.Any]:
    return {"name": None, "target_port": None, "node_port": None, "protocol": "TCP", "app_protocol": None, **options}


def test_what_a_task_leaves_out_is_left_out() -> None:
    metadata = {"name": "web", "namespace": "rooms"}
    assert desired(task()) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"type": "ClusterIP"},
    }


def test_every_option_has_its_field() -> None:
    service = desired(
        task(
            type="LoadBalancer",
            ports=[port(name="web", port=80, target_port="http", node_port=30080, app_protocol="http")],
            selector={"app": "web"},
            labels={"tier": "front"},
            annotations={"note": "mine"},
            cluster_ip="10.43.0.7",
            ip_families=["IPv4", "IPv6"],
            ip_family_policy="PreferDualStack",
            external_ips=["192.168.1.9"],
            external_name="example.org",
            external_traffic_policy="Local",
            internal_traffic_policy="Local",
            traffic_distribution="PreferSameNode",
            health_check_node_port=30999,
            session_affinity="ClientIP",
            session_affinity_timeout=60,
            publish_not_ready_addresses=False,
            load_balancer_class="metallb.io/metallb",
            load_balancer_source_ranges=["192.168.1.0/24"],
            allocate_load_balancer_node_ports=False,
            load_balancer_ips=["192.168.1.200", "fd00::200"],
            address_pool="home",
            allow_shared_ip="key",
        )
    )
    assert service["metadata"] == {
        "name": "web",
        "namespace": "rooms",
        "labels": {"tier": "front"},
        "annotations": {
            "note": "mine",
            "metallb.io/loadBalancerIPs": "192.168.1.200,fd00::200",
            "metallb.io/address-pool": "home",
            "metallb.io/allow-shared-ip": "key",
        },
    }
    assert service["spec"] == {
        "type": "LoadBalancer",
        "ports": [
            {
                "name": "web",
                "port": 80,
                "targetPort": "http",
                "nodePort": 30080,
                "protocol": "TCP",
                "appProtocol": "http",
            }
        ],
        "selector": {"app": "web"},
        "clusterIP": "10.43.0.7",
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "PreferDualStack",
        "externalIPs": ["192.168.1.9"],
        "externalName": "example.org",
        "externalTrafficPolicy": "Local",
        "internalTrafficPolicy": "Local",
        "trafficDistribution": "PreferSameNode",
        "healthCheckNodePort": 30999,
        "sessionAffinity": "ClientIP",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
        "publishNotReadyAddresses": False,
        "loadBalancerClass": "metallb.io/metallb",
        "loadBalancerSourceRanges": ["192.168.1.0/24"],
        "allocateLoadBalancerNodePorts": False,
    }


@pytest.mark.parametrize(("given", "sent"), [("8080", 8080), ("http", "http")])
def test_a_target_port_is_a_number_or_a_name(given: str, sent: object) -> None:
    (sent_port,) = desired(task(ports=[port(port=80, target_port=given)]))["spec"]["ports"]
    assert sent_port["targetPort"] == sent


def test_labels_are_text_as_yaml_wrote_them() -> None:
    service = desired(task(labels={"version": 2, "public": True}, selector={"release": 1.5}))
    assert service["metadata"]["labels"] == {"version": "2", "public": "true"}
    assert service["spec"]["selector"] == {"release": "1.5"}


def test_an_annotation_that_an_option_contradicts_is_found() -> None:
    annotations = {"metallb.io/address-pool": "spare", "metallb.io/loadBalancerIPs": "192.168.1.200"}
    with pytest.raises(Refused) as refused:
        refuse_contradiction(task(annotations=annotations, address_pool="home", load_balancer_ips=["192.168.1.200"]))
    assert "address_pool" in refused.value.fault.message
    refuse_contradiction(task(annotations=annotations, address_pool="spare"))
