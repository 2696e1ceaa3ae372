# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools of addresses that change while Services use them. Each test begins with what the one before has left."""

from __future__ import annotations

import time
import typing as t
from functools import partial

import pytest
from scenario import METALLB, PAGE, load_balanced, pool_of_others, refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenario import Controller, Kubectl, Lab, Pool

OURS = {"red": {}, "blue": {"colour": "blue"}, "green": {}}  # namespaces and their labels


@pytest.fixture(scope="module")
def pools(pool: Callable[..., Pool], home_pool: Pool) -> list[Pool]:
    """One for everybody, and one for each way to be choosy."""
    return [
        home_pool,
        pool("named", 226, 229, auto_assign=False),
        pool("by-namespace", 230, 231, namespaces=["red"]),
        pool("by-label-of-namespace", 232, 233, namespace_selectors=[{"matchLabels": {"colour": "blue"}}]),
        pool("by-label", 234, 235, service_selectors=[{"matchLabels": {"tier": "front"}}]),
        pool("single", 240, 240, auto_assign=False),
    ]


@pytest.fixture(scope="module", autouse=True)
def left_as_found(controller: Controller, kubectl: Kubectl) -> Iterator[None]:
    metadata = [{"name": name, "labels": labels} for name, labels in OURS.items()]
    kubectl.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": one} for one in metadata))
    yield
    kubectl("delete", "namespace", *OURS, "--wait=false")
    done = controller.role("metallb", metallb_drop_addresses=True)
    assert done.code == 0, done.end


def addresses(kubectl: Kubectl, *services: str) -> dict[str, str]:
    """The address of each Service, as "namespace/name"."""
    return {service: kubectl.address(*reversed(service.split("/"))) for service in services}


def have_pools(kubectl: Kubectl, expected: dict[str, str]) -> None:
    """Wait until MetalLB has given each Service an address of its pool."""

    def given() -> dict[str, str]:
        found = {}
        for service in kubectl.objects("services"):
            name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
            pool = service["metadata"].get("annotations", {}).get("metallb.io/ip-allocated-from-pool", "")
            found[name] = pool if service["status"]["loadBalancer"] else ""
        return found

    wait_until(lambda: expected.items() <= given().items(), within=15)


def test_a_pool_in_use_is_not_removed(controller: Controller, kubectl: Kubectl, mysite: str) -> None:
    before = kubectl.pools()
    done = controller.role("metallb", metallb_pools=[])
    refused(done, "addresses_in_use", f"default/mysite has {mysite} of the pool home")
    assert kubectl.pools() == before
    assert kubectl.address("mysite") == mysite


def test_an_address_asked_for_before_there_is_a_pool_comes_with_the_pool(
    controller: Controller, kubectl: Kubectl, lab: Lab, home_pool: Pool
) -> None:
    done = controller.role("metallb", metallb_pools=[], metallb_drop_addresses=True)
    assert done.code == 0, done.end
    assert kubectl.pools() == {}
    kubectl.apply(load_balanced("early", "green"))
    time.sleep(3)
    assert addresses(kubectl, "default/mysite", "green/early") == {"default/mysite": "", "green/early": ""}
    done = controller.role("metallb", metallb_pools=[{**home_pool, "name": "house"}])
    assert done.code == 0, done.end
    have_pools(kubectl, {"default/mysite": "house", "green/early": "house"})
    wait_until(lambda: kubectl.announcing("mysite"), within=15)
    assert PAGE in lab.page(f"http://{kubectl.address('mysite')}/")


def test_a_pool_in_use_is_not_renamed_unless_told_to(controller: Controller, kubectl: Kubectl) -> None:
    before = kubectl.pools()
    refused(controller.role("metallb"), "addresses_in_use", "default/mysite", "green/early", "of the pool house")
    assert kubectl.pools() == before
    done = controller.role("metallb", metallb_drop_addresses=True)
    assert done.code == 0, done.end
    assert set(kubectl.pools()) == {"home"}
    have_pools(kubectl, {"default/mysite": "home", "green/early": "home"})


def test_several_pools(controller: Controller, kubectl: Kubectl, pools: list[Pool]) -> None:
    done = controller.role("metallb", metallb_pools=pools)
    assert done.code == 0, done.end
    assert set(kubectl.pools()) == {pool["name"] for pool in pools}
    for options in ([], ["--check"]):
        done = controller.role("metallb", *options, metallb_pools=pools)
        assert (done.code, done.changed) == (0, {"localhost": 0}), done.output


def test_every_service_gets_an_address_of_the_right_pool(kubectl: Kubectl, lab: Lab) -> None:
    kubectl.apply(
        load_balanced("for-red", "red"),
        load_balanced("for-blue", "blue"),
        load_balanced("for-front", "green", labels={"tier": "front"}),
        load_balanced("for-anybody", "green"),
        load_balanced("by-name", "green", annotations={"metallb.io/address-pool": "named"}),
        load_balanced("by-address", "green", annotations={"metallb.io/loadBalancerIPs": lab.at(229)}),
    )
    expected = {
        "red/for-red": "by-namespace",
        "blue/for-blue": "by-label-of-namespace",
        "green/for-front": "by-label",
        "green/for-anybody": "home",
        "green/by-name": "named",
        "green/by-address": "named",
    }
    have_pools(kubectl, expected)
    assert kubectl.address("by-address", "green") == lab.at(229)


def test_a_pool_does_not_shrink_below_what_is_in_use(
    controller: Controller, kubectl: Kubectl, lab: Lab, pool: Callable[..., Pool], pools: list[Pool]
) -> None:
    before = kubectl.pools()
    smaller = [pool("named", 226, 228, auto_assign=False) if one["name"] == "named" else one for one in pools]
    done = controller.role("metallb", metallb_pools=smaller)
    refused(done, "addresses_in_use", f"green/by-address has {lab.at(229)} of the pool named")
    assert kubectl.pools() == before
    kubectl("delete", "service", "by-address", "--namespace=green")
    done = controller.role("metallb", metallb_pools=smaller)
    assert done.code == 0, done.end
    assert lab.at(228) in str(kubectl.pools()["named"])


def test_an_exhausted_pool_is_named(
    controller: Controller, kubectl: Kubectl, lab: Lab, home_pool: Pool, pools: list[Pool]
) -> None:
    common = {"image": "docker.io/library/nginx:1.22", "namespace": "green", "pool": "single"}
    services = [{**common, "name": name} for name in ("one", "two")]
    publish = partial(controller.role, "web_service", metallb_pools=pools, web_service_wait_timeout=20)
    done = publish(web_service_services=services[:1])
    assert done.code == 0, done.end
    done = publish(web_service_services=services)
    assert done.code != 0
    assert addresses(kubectl, "green/one", "green/two") == {"green/one": lab.at(240), "green/two": ""}
    said = [event["message"] for event in kubectl.objects("events", "--field-selector=reason=AllocationFailed")]
    assert [message for message in said if "green/two" in message], said
    assert "green/two" in done.output, done.output
    assert "no available IPs" in done.output, done.output


def test_pools_out_of_use_are_removed_and_those_of_others_stay(
    controller: Controller, kubectl: Kubectl, lab: Lab, home_pool: Pool
) -> None:
    for namespace in OURS:
        kubectl("delete", "services", "--all", f"--namespace={namespace}")
    kubectl.apply(pool_of_others(lab))
    done = controller.role("metallb", metallb_pools=[home_pool])
    assert done.code == 0, done.end
    assert set(kubectl.pools()) == {"home", "of-others"}
    before = kubectl.pools()
    overlapping = {**home_pool, "addresses": [*home_pool["addresses"], f"{lab.at(246)}-{lab.at(247)}"]}
    refused(controller.role("metallb", metallb_pools=[overlapping]), "pool_of_others", '"of-others"')
    assert kubectl.pools() == before
    kubectl("delete", "ipaddresspool", "of-others", f"--namespace={METALLB}")


WRONG: dict[str, tuple[str, dict[str, t.Any]]] = {
    "no address": ("invalid_pool", {"metallb_pools": [{"name": "home", "addresses": ["192.168.1.200-"]}]}),
    "one address twice": (
        "pools_overlap",
        {"metallb_pools": [{"name": "a", "addresses": ["10.0.0.8/30"]}, {"name": "b", "addresses": ["10.0.0.9/32"]}]},
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_pools_are_refused(controller: Controller, kubectl: Kubectl, what: str) -> None:
    code, variables = WRONG[what]
    before = kubectl.pools()
    refused(controller.role("metallb", **variables), code)
    assert kubectl.pools() == before
