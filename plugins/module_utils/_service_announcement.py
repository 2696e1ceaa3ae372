# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why no node announces the address that MetalLB has given to a Service.

from __future__ import annotations

import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import condition, named
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import any_selects
from ansible_collections.homecloud.k3s.plugins.module_utils._service_metallb import (
    absent,
    is_part,
    refused,
    speakers_down,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import slices
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed
from ansible_collections.homecloud.k3s.plugins.module_utils._workload import serves

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot

_EXCLUDED: t.Final = "node.kubernetes.io/exclude-from-external-load-balancers"
_ADVERTISEMENTS: t.Final = ("L2Advertisement", "BGPAdvertisement")


def announcement_faults(service: KubernetesObject, snapshot: Snapshot) -> list[Fault]:
    case = _Case(service, snapshot)
    steps: tuple[Callable[[], Fault | None], ...] = (
        lambda: absent(service, snapshot),
        case.not_advertised,
        case.sharing,
        case.no_node,
        case.excluded,
        case.speakers,
        lambda: refused(service, snapshot, *(f"speaker-{node}" for node in case.nodes)),
        case.no_local_endpoint,
        case.no_interface,
    )
    found = (step() for step in steps)
    return [next((fault for fault in found if fault), case.unknown())]


def nodes_with_endpoint(service: KubernetesObject, snapshot: Snapshot) -> set[str]:
    """The nodes with pods that serve, as MetalLB sees it: whatever their ports, also while they end."""
    return {
        endpoint.get("nodeName") or ""
        for thing in slices(service, snapshot)
        for endpoint in thing.get("endpoints") or []
        for state in [endpoint.get("conditions") or {}]
        if state.get("ready") is not False or state.get("serving")
    }


class _Case:
    """A Service, what advertises its pool, and the nodes that this chooses."""

    def __init__(self, service: KubernetesObject, snapshot: Snapshot) -> None:
        self._service = service
        self._snapshot = snapshot
        self._address = ", ".join(metallb.addresses_of(service))
        self._pool = metallb.annotation(service, "ip-allocated-from-pool")
        self._advertisements = [thing for thing in snapshot.of_kind(*_ADVERTISEMENTS) if self._is_of_pool(thing)]
        self._chosen = [
            node
            for node in snapshot.of_kind("Node")
            if any(any_selects(_spec(thing).get("nodeSelectors") or [], labels(node)) for thing in self._for_service())
        ]
        ignored = any("--ignore-exclude-lb" in str(thing["spec"]) for thing in self._speakers("DaemonSet"))
        self._ready = [node for node in self._chosen if condition(node, "Ready")]
        self._candidates = [node for node in self._ready if ignored or _EXCLUDED not in labels(node)]

    @property
    def nodes(self) -> list[str]:
        """The nodes that may announce it."""
        return _names(self._candidates)

    def not_advertised(self) -> Fault | None:
        if not all(map(self._snapshot.tells, _ADVERTISEMENTS)) or self._for_service():
            return None
        if self._advertisements:
            return self._fault(
                "not_advertised",
                f'the advertisements of the pool "{self._pool}" are for other Services',
                f"serviceSelectors of {listed(map(named, self._advertisements))}; labels of this Service: "
                + (", ".join(f"{key}={value}" for key, value in labels(self._service).items()) or "none"),
                'Give the Service "labels" that they select, or change the advertisements.',
            )
        there = self._snapshot.of_kind(*_ADVERTISEMENTS)
        return self._fault(
            "not_advertised",
            f'nothing advertises the pool "{self._pool}"',
            f"of other pools: {listed(map(named, there))}" if there else "there is no L2Advertisement",
            f'Put the pool "{self._pool}" into metallb_pools and run the playbook homecloud.k3s.site, which makes its '
            'L2Advertisement. Or set "address_pool" to a pool that is advertised.',
        )

    def sharing(self) -> Fault | None:
        """MetalLB does not choose among advertisements for a Service that may share its address."""
        choosing = [thing for thing in self._for_service() if _spec(thing).get("serviceSelectors")]
        if not (choosing and metallb.annotation(self._service, "allow-shared-ip")):
            return None
        return self._fault(
            "not_advertised",
            "it may share its address, which MetalLB does not advertise by the labels of Services",
            f"allow_shared_ip is set, and {listed(map(named, choosing))} has serviceSelectors",
            'Leave out "allow_shared_ip", or the serviceSelectors of the advertisement.',
        )

    def no_node(self) -> Fault | None:
        if not self._snapshot.tells("Node") or not self._for_service() or self._ready:
            return None
        return self._fault(
            "no_advertising_node",
            f'no Ready node is chosen to advertise the pool "{self._pool}"',
            f"nodes that are chosen, but not Ready: {listed(_names(self._chosen))}"
            if self._chosen
            else f"no node has the labels that {listed(map(named, self._for_service()))} asks for: "
            + "; ".join(str(_spec(thing).get("nodeSelectors")) for thing in self._for_service()),
            f'Correct "node_selectors" in "advertise" of the pool "{self._pool}" of metallb_pools, label nodes so, '
            "or bring them back.",
        )

    def excluded(self) -> Fault | None:
        if not self._ready or self._candidates:
            return None
        names = _names(self._ready)
        return self._fault(
            "node_excluded",
            "all nodes that could are excluded from load balancing by a label",
            f"{_EXCLUDED} is a label of {listed(names)}",
            f'Remove it: "kubectl label node {" ".join(names)} {_EXCLUDED}-".',
        )

    def speakers(self) -> Fault | None:
        if not (self._candidates and self._snapshot.tells("Pod") and self._snapshot.tells("DaemonSet")):
            return None
        running = {pod["spec"].get("nodeName") for pod in self._speakers("Pod") if serves(pod)}
        return None if running & set(self.nodes) else speakers_down(self._service, self._snapshot, self.nodes)

    def no_local_endpoint(self) -> Fault | None:
        if self._service["spec"].get("externalTrafficPolicy") != "Local" or not self._candidates:
            return None
        there = nodes_with_endpoint(self._service, self._snapshot)
        if there & set(self.nodes):
            return None
        return self._fault(
            "no_local_endpoint",
            "with external_traffic_policy Local a node must have a ready pod of it, and none of those that advertise "
            f'the pool "{self._pool}" has one',
            f"ready pods on {listed(sorted(there - {''})) or 'no node'}; nodes that may announce: {listed(self.nodes)}",
            'Set "external_traffic_policy" to Cluster, have pods run on these nodes, or extend "node_selectors" in '
            f'"advertise" of the pool "{self._pool}" of metallb_pools.',
        )

    def no_interface(self) -> Fault | None:
        said = Events(self._snapshot.of_kind("Event")).last(self._service, "announceFailed")
        limited = [thing for thing in self._for_service() if _spec(thing).get("interfaces")]
        if not said or not limited or len(limited) < len(self._for_service()):
            return None
        names = dict.fromkeys(name for thing in limited for name in _spec(thing)["interfaces"])
        return self._fault(
            "interface_not_found",
            f"the node that should do so has none of the interfaces {listed(names)}",
            f"MetalLB says: {said}",
            f'Correct "interfaces" in "advertise" of the pool "{self._pool}" of metallb_pools: "ip link" on the node '
            "shows which there are.",
        )

    def unknown(self) -> Fault:
        return self._fault(
            "not_announced",
            "MetalLB does not say why",
            f"no ServiceL2Status names it; nodes that may announce: {listed(self.nodes) or 'unknown'}",
            "It may just need more time. If not, "
            f'"kubectl --namespace {metallb.NAMESPACE} logs daemonset/speaker" shows what MetalLB does.',
        )

    def _is_of_pool(self, advertisement: KubernetesObject) -> bool:
        spec = _spec(advertisement)
        names, selectors = spec.get("ipAddressPools") or [], spec.get("ipAddressPoolSelectors") or []
        own = [
            labels(pool) for pool in self._snapshot.of_kind("IPAddressPool") if pool["metadata"]["name"] == self._pool
        ]
        by_label = bool(selectors) and any(any_selects(selectors, its) for its in own)
        return self._pool in names or by_label or not (names or selectors)

    def _for_service(self) -> list[KubernetesObject]:
        """The advertisements of its pool that are for it."""
        own = labels(self._service)
        return [thing for thing in self._advertisements if any_selects(_spec(thing).get("serviceSelectors") or [], own)]

    def _speakers(self, kind: str) -> list[KubernetesObject]:
        return [thing for thing in self._snapshot.of_kind(kind) if is_part(thing, "speaker")]

    def _fault(self, code: str, why: str, evidence: str, advice: str) -> Fault:
        message = f"No node announces {self._address}, the address of {named(self._service)}: {why}."
        return Fault(code, "error", message, evidence, advice)


def _spec(thing: KubernetesObject) -> dict[str, t.Any]:
    return thing.get("spec") or {}


def _names(things: list[KubernetesObject]) -> list[str]:
    return [thing["metadata"]["name"] for thing in things]
