# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done to the MetalLB of a cluster, and what speaks against it.

Private to the collection. A pool is a dictionary as metallb_pools has it, a reading is what homecloud.k3s.metallb_info
returns.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import NAMESPACE, Pool, pool_of

Reading = Mapping[str, t.Any]


@dataclass(frozen=True)
class Wish:
    """What a user wants of MetalLB. Without present there shall be none."""

    present: bool
    pools: list[Pool]
    take_over: bool
    drop_addresses: bool


def metallb_plan(
    reading: Reading, pools: Iterable[Mapping[str, t.Any]], state: str, take_over: bool, drop_addresses: bool
) -> dict[str, t.Any]:
    """The plan: its faults, what is to change in words, the objects of pools to remove, and those to apply in order."""
    present = state == "present"
    wish = Wish(present, [Pool.wanted(pool) for pool in pools] if present else [], take_over, drop_addresses)
    faults = [
        *_competitors(reading, wish),
        *_other_installations(reading, wish),
        *_lost_addresses(reading, wish),
        *_pools_of_others(reading, wish),
    ]
    removed = [pool_of(pool) for pool in reading["pools"] if _is_removed(pool, wish)]
    changed = _in_order(reading, wish)
    return {
        "faults": [asdict(fault) for fault in faults],
        "differences": list(_differences(reading, removed, changed)) if present else [],
        "remove": [thing for pool in removed for thing in pool.objects],
        "apply": [thing for pool in changed for thing in pool.objects],
    }


def _differences(reading: Reading, removed: Iterable[Pool], changed: Iterable[Pool]) -> Iterator[str]:
    yield from (f"{name} is not as in the manifest" for name in reading["differences"])
    yield from (f"{thing['kind']} {thing['metadata']['name']} is of another version" for thing in reading["surplus"])
    if not reading["ready"]:
        yield "MetalLB is not ready"
    yield from (f'the pool "{pool.name}" is not in metallb_pools' for pool in removed)
    yield from (f'the pool "{pool.name}" is not as in metallb_pools' for pool in changed)
    for part in reading["configuration"]:
        if part["result"] != "Valid":
            yield f"{part['component']} has not accepted its configuration"


def _error(code: str, message: str, evidence: str, advice: str) -> Fault:
    return Fault(code, "error", message, evidence, advice)


def _competitors(reading: Reading, wish: Wish) -> Iterator[Fault]:
    if reading["servicelb"] and wish.present:
        yield _error(
            "servicelb_running",
            "The service load balancer of k3s runs. Beside MetalLB each would overwrite the other's addresses.",
            f"DaemonSets {', '.join(reading['servicelb'])}",
            'Put "servicelb" into "disable" of k3s_config for every server and run site.yml again.',
        )
    if reading["elsewhere"]:
        yield _error(
            "another_metallb",
            "There is a MetalLB that was not installed from its manifest.",
            f"DaemonSets {', '.join(reading['elsewhere'])}",
            "Remove it by what it was installed with, such as helm uninstall. Services keep their addresses if "
            "metallb_pools has them when the collection's MetalLB comes.",
        )


def _other_installations(reading: Reading, wish: Wish) -> Iterator[Fault]:
    controller, old = reading["controller"], reading["old_configuration"]
    if not controller or wish.take_over:
        return
    if old:
        not_converted = f"; of no use here: {', '.join(old['not_converted'])}" if old["not_converted"] else ""
        yield _error(
            "metallb_of_configmap",
            f"There is MetalLB {controller['version']}, which takes its pools from a ConfigMap. Newer ones do not.",
            f"the ConfigMap {NAMESPACE}/config, converted: metallb_pools: {json.dumps(old['pools'])}{not_converted}",
            "Put these pools into metallb_pools, and set metallb_take_over to true for one run: it replaces MetalLB. "
            "The addresses stay; nobody answers for them until the new MetalLB is up.",
        )
    elif not controller["ours"]:
        yield _error(
            "metallb_of_others",
            f"There is MetalLB {controller['version'] or 'of unknown version'}, which the collection did not install.",
            f"the Deployment {NAMESPACE}/controller",
            "Set metallb_take_over to true for one run to have the collection keep it from now on.",
        )


def _lost_addresses(reading: Reading, wish: Wish) -> Iterator[Fault]:
    """Services whose addresses MetalLB would take away, as their pool would not have them any more."""
    if wish.drop_addresses:
        return
    old = reading["old_configuration"]
    before = [Pool.wanted(pool) for pool in old["pools"]] if old else [pool_of(pool) for pool in reading["pools"]]
    after = [*wish.pools, *(pool_of(pool) for pool in reading["pools"] if _stays_as_it_is(pool, wish))]
    lost = [
        f"{service['namespace']}/{service['name']} has {address} of the pool {held.name}"
        for service in reading["services"]
        for address in service["addresses"]
        for held in before
        if _holds(held, address)
        # MetalLB takes an address away also if another pool of the same run gets it.
        if not any(_gives(pool, address, service) for pool in after if old or pool.name == held.name)
    ]
    if lost:
        yield _error(
            "addresses_in_use",
            "Services would lose their addresses."
            if wish.present
            else "Services would lose their addresses with MetalLB.",
            "; ".join(lost),
            "Keep the pool and its addresses until they have others, which they get when another pool has free ones "
            "and the Service names it. Or set metallb_drop_addresses to true: then they lose them now, and get any "
            "that are free.",
        )


def _pools_of_others(reading: Reading, wish: Wish) -> Iterator[Fault]:
    wanted = {pool.name: pool for pool in wish.pools}
    for other in (pool_of(pool) for pool in reading["pools"] if not pool["ours"] and not wish.take_over):
        same = wanted.get(other.name)
        if same and same != other:
            yield _error(
                "pool_of_others",
                f'The pool "{other.name}" is there already, and not as metallb_pools has it. Others have made it.',
                f"addresses: {', '.join(other.addresses)}",
                "Set metallb_take_over to true for one run to have it changed, or give yours another name.",
            )
        overlapping = [p.name for p in wish.pools if p.name != other.name and _overlap(p, other)]
        if overlapping:
            yield _error(
                "pool_of_others",
                f'The pool "{other.name}", made by others, has addresses of "{overlapping[0]}" of metallb_pools.',
                f"addresses: {', '.join(other.addresses)}",
                f"Remove it by kubectl --namespace {NAMESPACE} delete ipaddresspool {other.name}, "
                "or choose other addresses.",
            )


def _in_order(reading: Reading, wish: Wish) -> list[Pool]:
    """The pools to change, each after those that give addresses to it: MetalLB refuses overlapping ones."""
    current = {pool["name"]: pool_of(pool) for pool in reading["pools"] if not _is_removed(pool, wish)}
    to_take_over = [pool["name"] for pool in reading["pools"] if wish.take_over and not pool["ours"]]
    waiting = [pool for pool in wish.pools if pool != current.get(pool.name) or pool.name in to_take_over]
    ordered: list[Pool] = []
    while waiting:
        free = [p for p in waiting if not any(_overlap(p, o) for name, o in current.items() if name != p.name)]
        # Two that would swap addresses wait for each other for ever. MetalLB says so.
        step = free or waiting
        ordered += step
        current |= {pool.name: pool for pool in step}
        waiting = [pool for pool in waiting if pool not in step]
    return ordered


def _is_removed(pool: Mapping[str, t.Any], wish: Wish) -> bool:
    """Pools of others stay, as long as there is a MetalLB."""
    return not wish.present or (pool["ours"] and pool["name"] not in [wanted.name for wanted in wish.pools])


def _stays_as_it_is(pool: Mapping[str, t.Any], wish: Wish) -> bool:
    """Whether it is there afterwards, and not by metallb_pools. Without MetalLB no pool is."""
    return wish.present and not pool["ours"] and pool["name"] not in [wanted.name for wanted in wish.pools]


def _ranges(pool: Pool) -> list[Range]:
    return [Range.pool(text) for text in pool.addresses]


def _holds(pool: Pool, address: str) -> bool:
    return any(part.holds(Range.address(address)) for part in _ranges(pool))


def _gives(pool: Pool, address: str, service: Mapping[str, t.Any]) -> bool:
    """Whether a Service may have this address of the pool, as far as can be told without labels."""
    elsewhere = pool.namespaces and not pool.namespace_selectors and service["namespace"] not in pool.namespaces
    return _holds(pool, address) and not elsewhere


def _overlap(one: Pool, other: Pool) -> bool:
    return any(a.overlaps(b) for a in _ranges(one) for b in _ranges(other))
