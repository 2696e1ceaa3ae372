# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why a Service has not the load balancer address that it asks for.

from __future__ import annotations

import typing as t
from contextlib import suppress
from itertools import chain

from ansible_collections.homecloud.k3s.plugins.module_utils import _metallb as metallb
from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import named
from ansible_collections.homecloud.k3s.plugins.module_utils._events import Events
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool, annotation
from ansible_collections.homecloud.k3s.plugins.module_utils._selector import any_selects
from ansible_collections.homecloud.k3s.plugins.module_utils._service_metallb import load_balancer_faults
from ansible_collections.homecloud.k3s.plugins.module_utils._service_pool import FAMILIES, capacity, holds
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import asked_addresses
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import labels, place
from ansible_collections.homecloud.k3s.plugins.module_utils._text import listed

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject
    from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot


def address_faults(service: KubernetesObject, snapshot: Snapshot) -> list[Fault]:
    faults = load_balancer_faults(service, snapshot)
    if not faults and snapshot.tells("IPAddressPool"):
        faults = list(_Request(service, snapshot).faults())[:1]
    return faults or [_no_address(service, snapshot)]


class _Request:
    """What a Service asks MetalLB for, and what there is to give."""

    def __init__(self, service: KubernetesObject, snapshot: Snapshot) -> None:
        self._service = service
        self._snapshot = snapshot
        self._name = named(service)
        self._pools = [Pool.read(thing, None) for thing in snapshot.of_kind("IPAddressPool")]
        self._pool = annotation(service, "address-pool")
        self._addresses: list[Range] = []
        # MetalLB says itself, in an event, that an address is none.
        with suppress(ValueError):
            self._addresses = [Range.address(text) for text in asked_addresses(service)]

    def faults(self) -> Iterator[Fault]:
        """What is wrong with it, the cause before what follows from it."""
        if not self._pools:
            yield self._fault(
                "no_pool",
                f"MetalLB has no addresses to give to {self._name}: there is no pool.",
                f"no IPAddressPool in the namespace {metallb.NAMESPACE}",
                "Add a pool of free addresses of the LAN to metallb_pools, and run the playbook homecloud.k3s.site.",
            )
            return
        if self._pool and self._pool not in [pool.name for pool in self._pools]:
            yield self._fault(
                "unknown_pool",
                f'{self._name} asks for an address of the pool "{self._pool}", which is not there.',
                self._there(),
                'Set "address_pool" to one of these, or add it to metallb_pools.',
            )
            return
        if self._addresses:
            yield from self._faults_of_addresses()
        else:
            yield from self._faults_of_pools(self._candidates())

    def _candidates(self) -> list[Pool]:
        """The pools that MetalLB takes addresses from for it."""
        return [pool for pool in self._pools if (pool.name == self._pool if self._pool else pool.auto_assign)]

    def _faults_of_addresses(self) -> Iterator[Fault]:
        """What speaks against addresses that it names."""
        asked = ", ".join(address.text for address in self._addresses)
        wanted = self._service["spec"].get("ipFamilies") or []
        families = {FAMILIES[address.family] for address in self._addresses}
        if wanted and families != set(wanted):
            yield self._fault(
                "no_address_family",
                f"{self._name} is of {' and '.join(wanted)}, and asks for {asked}.",
                f"spec.ipFamilies: {', '.join(wanted)}",
                'Set "load_balancer_ips" to one address for each family in "ip_families", or change these.',
            )
            return
        holding = [pool for pool in self._pools if all(holds(pool, address) for address in self._addresses)]
        if not holding:
            yield self._fault(
                "address_outside_pools",
                f"{self._name} asks for {asked}, which {'is' if len(self._addresses) == 1 else 'are'} in no pool.",
                self._there(),
                'Set "load_balancer_ips" to an address of a pool, or put it into addresses of a pool of metallb_pools.',
            )
            return
        if self._pool not in ("", *(pool.name for pool in holding)):
            yield self._fault(
                "address_not_in_pool",
                f'{self._name} asks for {asked} of the pool "{self._pool}", but it is in the pool "{holding[0].name}".',
                self._there(),
                f'Set "address_pool" to {holding[0].name} or leave it out, or set "load_balancer_ips" to an address of '
                f"{self._pool}.",
            )
            return
        yield from self._not_allowed(holding)
        yield from filter(None, (self._taken(address, other) for address, other in self._holders()))

    def _faults_of_pools(self, candidates: list[Pool]) -> Iterator[Fault]:
        """What speaks against each of the pools."""
        if not candidates:
            yield self._fault(
                "no_auto_assign_pool",
                f"{self._name} names no pool, and no pool gives addresses to those that name none.",
                f"all have auto_assign: false; {self._there()}",
                'Set "address_pool" to a pool, or auto_assign of a pool in metallb_pools to true.',
            )
            return
        yield from self._not_allowed(candidates)
        allowed = [pool for pool in candidates if not self._refuses(pool)]
        fitting = [pool for pool in allowed if self._suffice(capacity(pool))]
        if allowed and not fitting:
            yield self._fault(
                "no_address_family",
                f"{self._name} needs addresses of {self._families()}, and {self._called(allowed)} cannot give such.",
                self._there(),
                'Set "ip_families" to what the pools have, or add addresses of that family to metallb_pools.',
            )
        if fitting and not any(self._suffice(self._free(pool)) for pool in fitting):
            yield self._exhausted(fitting)

    def _exhausted(self, pools: list[Pool]) -> Fault:
        used = list(chain.from_iterable(self._used(pool) for pool in pools))
        size = sum(sum(capacity(pool).values()) for pool in pools)
        others = [pool for pool in self._pools if pool not in pools and not self._refuses(pool)]
        free = [pool.name for pool in others if self._suffice(self._free(pool))]
        return self._fault(
            "pool_exhausted",
            f"There is no free address for {self._name} in {self._called(pools)}.",
            f"{len({address for address, _holder in used})} of {size} addresses are given: "
            + listed(f"{address} to {'/'.join(place(holder))}" for address, holder in used),
            "Add addresses to it in metallb_pools, or remove Services of the type LoadBalancer."
            + (f' Or set "address_pool" to another that has some: {", ".join(free)}.' if free else ""),
        )

    def _not_allowed(self, pools: list[Pool]) -> Iterator[Fault]:
        refusals = [self._refuses(pool) for pool in pools]
        if all(refusals):
            yield self._fault(
                "pool_not_allowed",
                f"{self._name} may not have an address of {self._called(pools)}.",
                "; ".join(refusals),
                "Extend namespaces, namespace_selectors or service_selectors of the pool in metallb_pools, "
                'or set "address_pool" to another.',
            )

    def _refuses(self, pool: Pool) -> str:
        """Whom a pool is for, if the Service is not of these."""
        namespace = self._service["metadata"]["namespace"]
        chosen = [
            place(thing)[1]
            for thing in self._snapshot.of_kind("Namespace")
            if pool.namespace_selectors and any_selects(pool.namespace_selectors, labels(thing))
        ]
        allowed = [*pool.namespaces, *chosen]
        limited = pool.namespaces or (pool.namespace_selectors and self._snapshot.tells("Namespace"))
        if limited and namespace not in allowed:
            return f"{pool.name} is for Services in {', '.join(allowed) or 'namespaces that are not there'}"
        if not any_selects(pool.service_selectors, labels(self._service)):
            own = ", ".join(f"{key}={value}" for key, value in labels(self._service).items()) or "none"
            return f"{pool.name} is for Services with other labels ({pool.service_selectors}); this one's: {own}"
        return ""

    def _holders(self) -> Iterator[tuple[Range, KubernetesObject]]:
        """The other Services that have addresses which it names."""
        for address, holder in self._given():
            if any(asked.holds(address) for asked in self._addresses):
                yield address, holder

    def _taken(self, address: Range, other: KubernetesObject) -> Fault | None:
        mine, others = (annotation(thing, "allow-shared-ip") for thing in (self._service, other))
        if not (mine or others):
            return self._fault(
                "address_taken",
                f"{self._name} asks for {address.text}, which {named(other)} has.",
                f"status.loadBalancer of {named(other)}",
                'Set "load_balancer_ips" to another address, or give both the same "allow_shared_ip": '
                "then they share it, if their ports differ.",
            )
        refusal = _no_sharing(self._service, other)
        if not refusal:
            return None
        why, cure = refusal
        return self._fault(
            "sharing_refused", f"{self._name} cannot share {address.text} with {named(other)}.", why, cure
        )

    def _given(self) -> Iterator[tuple[Range, KubernetesObject]]:
        """The addresses of other Services."""
        for other in self._snapshot.of_kind("Service"):
            if place(other) != place(self._service) and other["spec"].get("type") == "LoadBalancer":
                yield from ((Range.address(text), other) for text in metallb.addresses_of(other))

    def _used(self, pool: Pool) -> list[tuple[str, KubernetesObject]]:
        return [(address.text, holder) for address, holder in self._given() if holds(pool, address)]

    def _free(self, pool: Pool) -> dict[str, int]:
        """How many addresses of each family a pool has left."""
        used = {address for address, _holder in self._given() if holds(pool, address)}
        return {
            family: size - sum(FAMILIES[address.family] == family for address in used)
            for family, size in capacity(pool).items()
        }

    def _suffice(self, counts: dict[str, int]) -> bool:
        """Whether so many addresses of each family are enough for it."""
        wanted = self._service["spec"].get("ipFamilies") or ["IPv4"]
        enough = [counts.get(family, 0) > 0 for family in wanted]
        return any(enough) if self._service["spec"].get("ipFamilyPolicy") == "PreferDualStack" else all(enough)

    def _families(self) -> str:
        return " and ".join(self._service["spec"].get("ipFamilies") or ["IPv4"])

    @staticmethod
    def _called(pools: list[Pool]) -> str:
        return ("the pool " if len(pools) == 1 else "the pools ") + ", ".join(pool.name for pool in pools)

    def _there(self) -> str:
        return "pools: " + listed((f"{pool.name} ({', '.join(pool.addresses)})" for pool in self._pools), "; ")

    def _fault(self, code: str, message: str, evidence: str, advice: str) -> Fault:
        said = _said(self._service, self._snapshot)
        seen = "; ".join([evidence, *([f"MetalLB says: {said}"] if said else [])])
        return Fault(code, "error", message, seen, advice)


def _no_sharing(service: KubernetesObject, other: KubernetesObject) -> tuple[str, str] | None:
    """Why two Services, of which one at least may share its address, cannot share one, and the cure."""
    mine, others = (annotation(thing, "allow-shared-ip") for thing in (service, other))
    if not others:
        return f'{named(other)} has no "allow_shared_ip"', f'Give it "allow_shared_ip: {mine}" too, or ask for another.'
    if mine != others:
        return (
            f'"allow_shared_ip" is {mine or "not set"} here, and {others} there',
            f'Set "allow_shared_ip" to {others}, or "load_balancer_ips" to another address.',
        )
    ports = sorted(_ports(service) & _ports(other))
    if ports:
        return (
            f"both have the port {', '.join(ports)}",
            'Change the "ports" of one of them, or set "load_balancer_ips" to another address.',
        )
    if _backend(service) != _backend(other):
        return (
            "one of them at least has external_traffic_policy Local, and they do not select the same pods",
            'Set "external_traffic_policy" of both to Cluster, or "load_balancer_ips" to another address.',
        )
    return None


def _ports(service: KubernetesObject) -> set[str]:
    return {f"{port.get('protocol', 'TCP')}/{port['port']}" for port in service["spec"].get("ports") or []}


def _backend(service: KubernetesObject) -> object:
    """What Services that share an address must have in common."""
    return service["spec"].get("externalTrafficPolicy") == "Local" and service["spec"].get("selector")


def _said(service: KubernetesObject, snapshot: Snapshot) -> str:
    """What MetalLB has said of a Service last."""
    return Events(snapshot.of_kind("Event")).last(service, "AllocationFailed", "LoadBalancerFailed")


def _no_address(service: KubernetesObject, snapshot: Snapshot) -> Fault:
    namespace, name = place(service)
    given = ", ".join(metallb.addresses_of(service))
    asked = ", ".join(filter(None, [*asked_addresses(service), annotation(service, "address-pool")]))
    said = _said(service, snapshot)
    return Fault(
        "no_address",
        "error",
        f"{named(service)} has no load balancer address{f' of {asked}' if asked else ''}.",
        "; ".join(
            [
                f"it has {given}" if given else "status.loadBalancer is empty",
                f"MetalLB says: {said}" if said else "MetalLB has said nothing of it",
            ]
        ),
        'Correct what it says, "address_pool" or "load_balancer_ips".'
        if said
        else f'It may just need more time. If not, "kubectl --namespace {namespace} describe service {name}" shows '
        f'what happened, and "kubectl --namespace {metallb.NAMESPACE} logs deployment/controller" what MetalLB does.',
    )
