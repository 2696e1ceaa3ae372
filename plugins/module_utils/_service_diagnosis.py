# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why a Service does not serve, and what to do about it.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._service_address import address_faults
from ansible_collections.homecloud.k3s.plugins.module_utils._service_announcement import (
    announcement_faults,
    nodes_with_endpoint,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._service_endpoints import endpoint_faults
from ansible_collections.homecloud.k3s.plugins.module_utils._service_metallb import release_fault
from ansible_collections.homecloud.k3s.plugins.module_utils._service_reading import STATUSES
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import Lack, lacks

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

# What a diagnosis looks at: kind, version of the API, and the namespace; without one all namespaces.
SOURCES: t.Final = (
    ("Service", "v1", ""),
    ("EndpointSlice", "discovery.k8s.io/v1", ""),
    ("Pod", "v1", ""),
    ("Node", "v1", ""),
    ("Namespace", "v1", ""),
    ("Event", "v1", ""),
    ("Deployment", "apps/v1", ""),
    ("DaemonSet", "apps/v1", ""),
    ("IPAddressPool", metallb.API, metallb.NAMESPACE),
    ("L2Advertisement", metallb.API, metallb.NAMESPACE),
    ("BGPAdvertisement", metallb.API, metallb.NAMESPACE),
    *STATUSES,
    ("ConfigurationState", metallb.API, metallb.NAMESPACE),
)


def diagnose(service: KubernetesObject, snapshot: Snapshot, wanted_endpoints: int = 1) -> list[Fault]:
    """Why a Service lacks what lacks() says. What only follows from another fault is left out."""
    lacking = lacks(service, snapshot, wanted_endpoints)
    faults: list[Fault] = []
    if Lack.ENDPOINTS in lacking:
        faults += endpoint_faults(service, snapshot, wanted_endpoints)
    if Lack.ADDRESS in lacking:
        faults += address_faults(service, snapshot)
    # Without an endpoint MetalLB announces nothing, and without the address that was asked for it is no matter.
    follows = Lack.ADDRESS in lacking or (faults and not nodes_with_endpoint(service, snapshot))
    if Lack.ANNOUNCEMENT in lacking and not follows:
        faults += announcement_faults(service, snapshot)
    if Lack.RELEASE in lacking:
        faults.append(release_fault(service, snapshot))
    return faults
