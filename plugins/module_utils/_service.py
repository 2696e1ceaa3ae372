# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The Service that a task asks for.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import Refused

if t.TYPE_CHECKING:
    from collections.abc import Mapping

FIELD_MANAGER: t.Final = "homecloud.k3s"

_PORT_OPTIONS: t.Final = {
    "name": {"type": "str"},
    "port": {"type": "int", "required": True},
    "target_port": {"type": "str"},
    "node_port": {"type": "int"},
    "protocol": {"type": "str", "choices": ["TCP", "UDP", "SCTP"], "default": "TCP"},
    "app_protocol": {"type": "str"},
}

OPTIONS: t.Final = {
    "type": {
        "type": "str",
        "choices": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        "default": "ClusterIP",
    },
    "ports": {"type": "list", "elements": "dict", "options": _PORT_OPTIONS},
    "selector": {"type": "dict"},
    "labels": {"type": "dict"},
    "annotations": {"type": "dict"},
    "cluster_ip": {"type": "str"},
    "ip_families": {"type": "list", "elements": "str", "choices": ["IPv4", "IPv6"]},
    "ip_family_policy": {"type": "str", "choices": ["SingleStack", "PreferDualStack", "RequireDualStack"]},
    "external_ips": {"type": "list", "elements": "str"},
    "external_name": {"type": "str"},
    "external_traffic_policy": {"type": "str", "choices": ["Cluster", "Local"]},
    "internal_traffic_policy": {"type": "str", "choices": ["Cluster", "Local"]},
    "traffic_distribution": {"type": "str"},
    "health_check_node_port": {"type": "int"},
    "session_affinity": {"type": "str", "choices": ["None", "ClientIP"]},
    "session_affinity_timeout": {"type": "int"},
    "publish_not_ready_addresses": {"type": "bool"},
    "load_balancer_class": {"type": "str"},
    "load_balancer_source_ranges": {"type": "list", "elements": "str"},
    "allocate_load_balancer_node_ports": {"type": "bool"},
    "load_balancer_ips": {"type": "list", "elements": "str"},
    "address_pool": {"type": "str"},
    "allow_shared_ip": {"type": "str"},
}

# What the specification of a Service calls an option.
_FIELDS: t.Final = {
    "type": "type",
    "cluster_ip": "clusterIP",
    "ip_families": "ipFamilies",
    "ip_family_policy": "ipFamilyPolicy",
    "external_ips": "externalIPs",
    "external_name": "externalName",
    "external_traffic_policy": "externalTrafficPolicy",
    "internal_traffic_policy": "internalTrafficPolicy",
    "traffic_distribution": "trafficDistribution",
    "health_check_node_port": "healthCheckNodePort",
    "session_affinity": "sessionAffinity",
    "publish_not_ready_addresses": "publishNotReadyAddresses",
    "load_balancer_class": "loadBalancerClass",
    "load_balancer_source_ranges": "loadBalancerSourceRanges",
    "allocate_load_balancer_node_ports": "allocateLoadBalancerNodePorts",
}
_PORT_FIELDS: t.Final = {
    "name": "name",
    "port": "port",
    "node_port": "nodePort",
    "protocol": "protocol",
    "app_protocol": "appProtocol",
}
# The options that are annotations of MetalLB beneath.
_ANNOTATIONS: t.Final = {
    "load_balancer_ips": "metallb.io/loadBalancerIPs",
    "address_pool": "metallb.io/address-pool",
    "allow_shared_ip": "metallb.io/allow-shared-ip",
}


def identity(params: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The Service of a name in a namespace, without anything else."""
    metadata = {"name": params["name"], "namespace": params["namespace"]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata}


def desired(params: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The Service that the options of a task describe: what they leave out is left out."""
    spec = {
        **_named(params, _FIELDS),
        **_given("ports", params["ports"] and [_port(port) for port in params["ports"]]),
        **_given("selector", params["selector"] and _strings(params["selector"])),
        **_given(
            "sessionAffinityConfig",
            params["session_affinity_timeout"] and {"clientIP": {"timeoutSeconds": params["session_affinity_timeout"]}},
        ),
    }
    metadata = {
        **_given("labels", _strings(params["labels"] or {})),
        **_given("annotations", _strings({**(params["annotations"] or {}), **_annotations(params)})),
    }
    service = identity(params)
    return {**service, "metadata": {**service["metadata"], **metadata}, "spec": spec}


def refuse_contradiction(params: Mapping[str, t.Any]) -> None:
    """Raise Refused where an annotation has one value by its own option, and another one by the option annotations."""
    annotations, own = _strings(params["annotations"] or {}), _annotations(params)
    for option, name in _ANNOTATIONS.items():
        if name in own and annotations.get(name, own[name]) != own[name]:
            raise Refused(
                Fault(
                    "said_twice",
                    "error",
                    f"The task says twice, and differently, what {option} is.",
                    f"{option}: {own[name]}; annotations: {name}: {annotations[name]}",
                    f"Leave {name} out of annotations.",
                )
            )


def _annotations(params: Mapping[str, t.Any]) -> dict[str, str]:
    addresses = ",".join(params["load_balancer_ips"] or [])
    return _named({**params, "load_balancer_ips": addresses}, _ANNOTATIONS)


def _port(port: Mapping[str, t.Any]) -> dict[str, t.Any]:
    target = port["target_port"]
    target_port = int(target) if target and target.isdigit() else target
    return {**_named(port, _PORT_FIELDS), **_given("targetPort", target_port)}


def _named(options: Mapping[str, t.Any], names: Mapping[str, str]) -> dict[str, t.Any]:
    """The options that are given, under their names in the API."""
    return {name: options[option] for option, name in names.items() if options[option] not in (None, "", [])}


def _given(name: str, value: object) -> dict[str, t.Any]:
    return {name: value} if value else {}


def _strings(values: Mapping[str, t.Any]) -> dict[str, str]:
    """The values as the API takes them: YAML makes a number of 2, and a truth value of true."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
