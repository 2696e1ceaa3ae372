# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What about a Service its user would call a change.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject

# What others note down on a Service beside its user.
_NOTES: t.Final = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "metallb.io/ip-allocated-from-pool",
    "metallb.universe.tf/ip-allocated-from-pool",
)
# What the API fills in, and takes away again, by the type of a Service.
_DEFAULTS: t.Final = {
    "sessionAffinity": "None",
    "internalTrafficPolicy": "Cluster",
    "externalTrafficPolicy": "Cluster",
    "allocateLoadBalancerNodePorts": True,
    "ipFamilyPolicy": "SingleStack",
}


def changes(
    before: KubernetesObject | None, after: KubernetesObject | None, wanted: KubernetesObject
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """A Service before and after it was made as WANTED, reduced to what its user has a say in. None is no Service.

    What the API fills in or draws by lot where the user leaves it open is no change, so that it is of no matter whether
    AFTER comes from a dry run. That it is gone or another one now is a change. The ports are by number and protocol,
    since their order is none.
    """
    old, new, asked = (_reduced(thing, wanted) for thing in (before, after, wanted))
    return old, _without_filled_in(new, old, asked)


def _reduced(service: KubernetesObject | None, wanted: KubernetesObject) -> dict[str, t.Any]:
    if service is None:
        return {}
    metadata, spec = service["metadata"], service.get("spec") or {}
    annotations = annotations_of_users(service)
    asked = wanted.get("spec") or {}
    settings = {
        name: value
        for name, value in spec.items()
        if name not in ("ports", "clusterIPs") and (name in asked or value != _DEFAULTS.get(name))
    }
    ports = {f"{port['port']}/{port.get('protocol', 'TCP')}": port for port in spec.get("ports") or []}
    return {"labels": metadata.get("labels") or {}, "annotations": annotations, "spec": {**settings, "ports": ports}}


def annotations_of_users(service: KubernetesObject) -> dict[str, str]:
    """The annotations of a Service without what programs note down."""
    annotations = service["metadata"].get("annotations") or {}
    return {name: text for name, text in annotations.items() if name not in _NOTES}


def _without_filled_in(
    new: Mapping[str, t.Any], old: Mapping[str, t.Any], asked: Mapping[str, t.Any]
) -> dict[str, t.Any]:
    """What is asked for, or as it was."""
    kept: dict[str, t.Any] = {}
    for name, value in new.items():
        if isinstance(value, dict):
            kept[name] = _without_filled_in(value, _part(old, name), _part(asked, name))
        elif name in asked or old.get(name) == value:
            kept[name] = value
    return kept


def _part(values: Mapping[str, t.Any], name: str) -> Mapping[str, t.Any]:
    part = values.get(name)
    return part if isinstance(part, dict) else {}
