# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import asdict
from itertools import accumulate

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool
from ansible_collections.homecloud.k3s.plugins.plugin_utils._metallb_plan import metallb_plan
from hypothesis import given
from hypothesis import strategies as st

HOME = {"name": "home", "addresses": ["192.168.1.200-192.168.1.225"]}
Json = dict[str, t.Any]


def have(*pools: t.Mapping[str, t.Any], ours: bool = True) -> list[Json]:
    """Pools as a reading has them."""
    return [{**asdict(Pool.wanted(pool)), "ours": ours} for pool in pools]


def service(address: str, pool: str = "home", namespace: str = "default", name: str = "mysite") -> Json:
    return {"namespace": namespace, "name": name, "addresses": [address], "pool": pool, "announced_by": ["node2"]}


def reading(**other: object) -> Json:
    """A cluster whose MetalLB is as it should be, with the pool HOME, but for what is OTHER."""
    return {
        "controller": {"version": "v0.16.2", "ours": True, "wanted": 1, "ready": 1},
        "ready": True,
        "pools": have(HOME),
        "services": [service("192.168.1.200")],
        "configuration": [{"component": "controller", "result": "Valid", "error": ""}],
        "old_configuration": None,
        "servicelb": [],
        "elsewhere": [],
        "differences": [],
        "surplus": [],
        **other,
    }


NOTHING = reading(controller=None, ready=False, pools=[], services=[], configuration=[])


def plan(
    seen: Json, *pools: t.Mapping[str, t.Any], state: str = "present", take_over: bool = False, drop: bool = False
) -> Json:
    return metallb_plan(seen, pools, state, take_over, drop)


def fault(made: Json) -> Json:
    (only,) = made["faults"]
    return t.cast("Json", only)


def codes(made: Json) -> list[str]:
    return [item["code"] for item in made["faults"]]


def named(things: list[Json]) -> list[str]:
    return [f"{thing['kind']} {thing['metadata']['name']}" for thing in things]


def test_a_cluster_as_it_should_be_has_nothing_to_do() -> None:
    assert plan(reading(), HOME) == {"faults": [], "differences": [], "remove": [], "apply": []}


def test_a_cluster_without_metallb_gets_it_with_its_pool() -> None:
    made = plan(NOTHING, HOME)
    assert made["faults"] == made["remove"] == []
    assert named(made["apply"]) == ["IPAddressPool home", "L2Advertisement home"]
    assert made["differences"] == ["MetalLB is not ready", 'the pool "home" is not as in metallb_pools']


def test_every_kind_of_difference_is_named() -> None:
    seen = reading(
        differences=["Role metallb-system/controller"],
        surplus=[{"kind": "Service", "metadata": {"name": "webhook-service"}}],
        configuration=[{"component": "speaker-node1", "result": "Unknown", "error": ""}],
        services=[],
    )
    assert plan(seen, {**HOME, "auto_assign": False})["differences"] == [
        "Role metallb-system/controller is not as in the manifest",
        "Service webhook-service is of another version",
        'the pool "home" is not as in metallb_pools',
        "speaker-node1 has not accepted its configuration",
    ]


def test_a_pool_that_nobody_announces_is_announced() -> None:
    (pool,) = have(HOME)
    assert named(plan(reading(pools=[{**pool, "advertise": None}]), HOME)["apply"])[1] == "L2Advertisement home"


def test_the_load_balancer_of_k3s_is_in_the_way() -> None:
    assert fault(plan(reading(servicelb=["kube-system/svclb-mysite-1"]), HOME))["code"] == "servicelb_running"
    assert not plan(reading(servicelb=["kube-system/svclb-mysite-1"], services=[]), state="absent")["faults"]


def test_a_metallb_of_a_chart_is_in_the_way() -> None:
    found = fault(plan({**NOTHING, "elsewhere": ["metallb/metallb-speaker"]}, HOME, take_over=True))
    assert (found["code"], found["evidence"]) == ("another_metallb", "DaemonSets metallb/metallb-speaker")


OTHERS = {"controller": {"version": "v0.15.3", "ours": False, "wanted": 1, "ready": 1}, "pools": have(HOME, ours=False)}


def test_a_metallb_of_others_is_taken_over_only_when_told() -> None:
    assert codes(plan(reading(**OTHERS), HOME)) == ["metallb_of_others"]
    taken = plan(reading(**OTHERS), HOME, take_over=True)
    assert taken["faults"] == []
    assert named(taken["apply"]) == ["IPAddressPool home", "L2Advertisement home"]


OLD = reading(
    controller={"version": "v0.9.3", "ours": False, "wanted": 1, "ready": 1},
    pools=[],
    services=[service("192.168.1.240", pool="")],
    old_configuration={
        "pools": [{"name": "default", "addresses": ["192.168.1.240-192.168.1.250"]}],
        "not_converted": ["peers"],
    },
)


def test_a_metallb_of_a_configmap_shows_its_pools_converted() -> None:
    found = fault(plan(OLD, {"name": "default", "addresses": ["192.168.1.240-192.168.1.250"]}))
    assert found["code"] == "metallb_of_configmap"
    assert 'metallb_pools: [{"name": "default", "addresses": ["192.168.1.240-192.168.1.250"]}]' in found["evidence"]
    assert "peers" in found["evidence"]


def test_a_metallb_of_a_configmap_is_replaced_under_any_name_that_keeps_the_addresses() -> None:
    assert plan(OLD, {"name": "lan", "addresses": ["192.168.1.240/28"]}, take_over=True)["faults"] == []
    assert codes(plan(OLD, HOME, take_over=True)) == ["addresses_in_use"]
    assert codes(plan(OLD, HOME)) == ["metallb_of_configmap", "addresses_in_use"]


def test_a_pool_in_use_is_not_removed_shrunk_renamed_or_closed() -> None:
    for pools in (
        [],
        [{**HOME, "addresses": ["192.168.1.201-192.168.1.225"]}],
        [{**HOME, "name": "house"}],
        [{**HOME, "namespaces": ["web"]}],
    ):
        found = fault(plan(reading(), *pools))
        assert found["code"] == "addresses_in_use"
        assert found["evidence"] == "default/mysite has 192.168.1.200 of the pool home"
        assert plan(reading(), *pools, drop=True)["faults"] == []


def test_metallb_in_use_is_not_removed() -> None:
    for ours in (True, False):
        seen = reading(pools=have(HOME, ours=ours))
        assert codes(plan(seen, state="absent")) == ["addresses_in_use"]
        assert plan({**seen, "services": []}, state="absent") == {
            "faults": [],
            "differences": [],
            "remove": Pool.wanted(HOME).objects,
            "apply": [],
        }


def test_a_pool_may_lose_what_nobody_has() -> None:
    smaller = {**HOME, "addresses": ["192.168.1.200/32"], "namespaces": ["default"]}
    made = plan(reading(), smaller)
    assert (made["faults"], named(made["apply"])) == ([], ["IPAddressPool home", "L2Advertisement home"])
    elsewhere = {**HOME, "namespaces": ["web"], "namespace_selectors": [{"matchLabels": {"zone": "dmz"}}]}
    assert plan(reading(), elsewhere)["faults"] == []


def test_addresses_of_another_load_balancer_are_no_loss() -> None:
    assert plan({**NOTHING, "services": [service("192.168.1.101", pool="")]}, HOME)["faults"] == []


def test_pools_of_others_stay() -> None:
    other = {"name": "other", "addresses": ["192.168.1.230/31"]}
    seen = reading(pools=have(HOME) + have(other, ours=False), services=[service("192.168.1.230", pool="other")])
    assert plan(seen, HOME)["differences"] == []
    assert codes(plan(seen, {**HOME, "addresses": ["192.168.1.192/26"]})) == ["pool_of_others"]
    assert codes(plan(seen, HOME, {**other, "auto_assign": False})) == ["pool_of_others"]
    assert plan(seen, HOME, other)["apply"] == []
    assert plan(seen, HOME, {**other, "auto_assign": False}, take_over=True)["faults"] == []


def test_the_pool_that_gives_addresses_comes_before_the_one_that_gets_them() -> None:
    seen = reading(pools=have(HOME, {"name": "web", "addresses": ["192.168.1.230/31"]}), services=[])
    grown = {"name": "web", "addresses": ["192.168.1.220-192.168.1.231"]}
    shrunk = {**HOME, "addresses": ["192.168.1.200-192.168.1.219"]}
    for pools in ([grown, shrunk], [shrunk, grown]):
        assert named(plan(seen, *pools)["apply"])[::2] == ["IPAddressPool home", "IPAddressPool web"]
    assert plan(seen, {"name": "all", "addresses": ["192.168.1.0/24"]})["remove"][0]["metadata"]["name"] == "home"


def test_pools_that_swap_addresses_are_left_to_metallb_to_refuse() -> None:
    one, two = {"name": "one", "addresses": ["10.0.0.0/31"]}, {"name": "two", "addresses": ["10.0.0.2/31"]}
    swapped = [{**one, "addresses": two["addresses"]}, {**two, "addresses": one["addresses"]}]
    assert len(plan(reading(pools=have(one, two), services=[]), *swapped)["apply"]) == 4


def split(ends: list[int]) -> list[Json]:
    """Pools that share the addresses from 10.0.0.0 to the last of ENDS among them, each up to one of these."""
    sizes = list(accumulate(ends))
    return [
        {"name": f"pool{number}", "addresses": [f"10.0.0.{first}-10.0.0.{last - 1}"]}
        for number, (first, last) in enumerate(zip([0, *sizes], sizes))
    ]


@given(*[st.lists(st.integers(1, 20), min_size=1, max_size=6) for side in ("before", "after")])
def test_no_step_of_a_change_makes_pools_overlap(before: list[int], after: list[int]) -> None:
    current = {pool["name"]: pool for pool in split(before)}
    made = plan(reading(pools=have(*current.values()), services=[]), *split(after))
    for thing in made["remove"]:
        current.pop(thing["metadata"]["name"], None)
    for thing in made["apply"][::2]:
        name, addresses = thing["metadata"]["name"], thing["spec"]["addresses"]
        others = [pool["addresses"][0] for other, pool in current.items() if other != name]
        assert not any(Range.pool(addresses[0]).overlaps(Range.pool(other)) for other in others)
        current[name] = {"name": name, "addresses": addresses}
    assert current == {pool["name"]: pool for pool in split(after)}
