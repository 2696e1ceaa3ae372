# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may happen to MetalLB: it has a rival, its parts fail, it is removed and replaced.

Each test begins with what the one before has left.
"""

from __future__ import annotations

import hashlib
import json
import time
import typing as t
import urllib.request
from functools import partial

import pytest
import yaml
from homelab.settings import METALLB_OF_CONFIGMAP as OF_CONFIGMAP
from homelab.settings import METALLB_OLDER as OLDER
from homelab.watch import watch
from scenario import METALLB, PAGE, pool_of_others, refused, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scenario import Controller, Kubectl, Lab, Pool


@pytest.fixture(scope="module", autouse=True)
def left_as_found(controller: Controller) -> Iterator[None]:
    yield
    done = controller.role("metallb", metallb_take_over=True, metallb_drop_addresses=True)
    assert done.code == 0, done.end


# The load balancer of k3s


def test_a_home_with_the_load_balancer_of_k3s_is_refused(controller: Controller, lab: Lab) -> None:
    done = controller.site(k3s_config={**lab.settings.get("k3s_config", {}), "disable": ["traefik"]})
    refused(done, "servicelb_enabled")
    assert set(done.changed.values()) <= {0}, done.output


def test_the_role_does_not_start_beside_the_load_balancer_of_k3s(controller: Controller, kubectl: Kubectl) -> None:
    label = {"svccontroller.k3s.cattle.io/nodeselector": "false"}
    template = {
        "metadata": {"labels": {"app": "svclb"}},
        "spec": {"nodeSelector": {"no": "node"}, "containers": [{"name": "lb", "image": "rancher/klipper-lb:v0"}]},
    }
    daemonset = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "svclb-mysite", "namespace": "kube-system", "labels": label},
        "spec": {"selector": {"matchLabels": {"app": "svclb"}}, "template": template},
    }
    kubectl.apply(daemonset)
    try:
        refused(controller.role("metallb"), "servicelb_running", "kube-system/svclb-mysite")
    finally:
        kubectl("delete", "daemonset", "svclb-mysite", "--namespace=kube-system")


# The controller


@pytest.mark.soak
def test_a_controller_that_is_down_is_waited_for(
    controller: Controller, kubectl: Kubectl, pool: Callable[..., Pool], home_pool: Pool
) -> None:
    kubectl("delete", "pods", "--selector=component=controller", f"--namespace={METALLB}", "--force")
    done = controller.role("metallb")
    assert (done.code, done.changed) == (0, {"localhost": 0}), done.output
    kubectl("delete", "pods", "--selector=component=controller", f"--namespace={METALLB}", "--force")
    done = controller.role("metallb", metallb_pools=[home_pool, pool("more", 226, 229)])
    assert done.code == 0, done.end
    assert set(kubectl.pools()) == {"home", "more"}
    kubectl("scale", "deployment/controller", "--replicas=0", f"--namespace={METALLB}")
    wait_until(lambda: "controller" not in kubectl("get", "pods", f"--namespace={METALLB}"))
    done = controller.role("metallb", metallb_pools=[home_pool])
    assert done.code == 0, done.end
    assert set(kubectl.pools()) == {"home"}
    assert kubectl.is_complete("deployment", "controller", METALLB)


def manifest_variables(url: str) -> dict[str, t.Any]:
    """The role's variables for a manifest, as somebody sets them who trusts what is there."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        checksum = hashlib.sha256(answer.read()).hexdigest()
    return {"metallb_manifest_url": url, "metallb_manifest_checksum": f"sha256:{checksum}"}


@pytest.mark.soak
def test_a_controller_that_never_comes_is_explained(
    controller: Controller, kubectl: Kubectl, lab: Lab, mysite: str, tmp_path: Path
) -> None:
    with urllib.request.urlopen(lab.settings["metallb_manifest_url"], timeout=30) as answer:
        text = answer.read().decode()
    broken = tmp_path / "metallb.yaml"
    broken.write_text(text.replace("image: quay.io/metallb/controller:", "image: quay.io/metallb/controller:not-"))
    settings = {**manifest_variables(broken.as_uri()), "metallb_cache_dir": str(tmp_path / "cache")}
    done = controller.role("metallb", **settings, metallb_wait_timeout=20)
    assert done.code != 0
    assert "quay.io/metallb/controller:not-" in done.output, done.output
    assert "ERROR image" in done.output, done.output
    assert PAGE in lab.page(f"http://{mysite}/")
    done = controller.role("metallb")
    assert done.code == 0, done.end
    assert kubectl.is_complete("deployment", "controller", METALLB)


# Another MetalLB


def left_of_metallb(kubectl: Kubectl) -> list[str]:
    """All that is named after MetalLB and is not in a namespace, and the Services' addresses."""
    kinds = "namespaces,customresourcedefinitions,clusterroles,clusterrolebindings,validatingwebhookconfigurations"
    names = [thing["metadata"]["name"] for thing in kubectl.objects(kinds)]
    addresses = [str(service["status"]["loadBalancer"]) for service in kubectl.objects("services")]
    return [name for name in names if "metallb" in name] + [address for address in addresses if address != "{}"]


def test_metallb_in_use_is_not_removed_unless_told_to(
    controller: Controller, kubectl: Kubectl, lab: Lab, mysite: str
) -> None:
    # Its addresses are not to be used meanwhile, and it goes with its kind.
    kubectl.apply(pool_of_others(lab))
    before = left_of_metallb(kubectl)
    refused(controller.role("metallb", metallb_state="absent"), "addresses_in_use", f"default/mysite has {mysite}")
    assert left_of_metallb(kubectl) == before
    done = controller.role("metallb", metallb_state="absent", metallb_drop_addresses=True)
    assert done.code == 0, done.end
    assert left_of_metallb(kubectl) == []
    done = controller.role("metallb", metallb_state="absent")
    assert (done.code, done.changed) == (0, {"localhost": 0}), done.output


@pytest.fixture(scope="module")
def older(lab: Lab) -> dict[str, t.Any]:
    """A MetalLB of the past that runs: its images are on the nodes when the fixture is ready."""
    place = f"{lab.facts['mirror_url']}/metallb/{OLDER}"
    for node in lab.nodes:
        lab.sh(node, f"curl --fail --silent {place}/images.tar | k3s ctr --namespace k8s.io images import -")
    return {"metallb_version": OLDER, **manifest_variables(f"{place}/metallb-native.yaml")}


@pytest.mark.soak
def test_a_metallb_of_the_configmap_era_is_replaced_when_told_to(
    controller: Controller, kubectl: Kubectl, lab: Lab, older: dict[str, t.Any], home_pool: Pool
) -> None:
    place = f"{lab.facts['mirror_url']}/metallb/{OF_CONFIGMAP}"
    for name in ("namespace", "metallb"):
        with urllib.request.urlopen(f"{place}/{name}.yaml", timeout=30) as answer:
            objects = [thing for thing in yaml.safe_load_all(answer) if thing["kind"] != "PodSecurityPolicy"]
        kubectl.apply(*[{**one, "metadata": {"namespace": METALLB, **one["metadata"]}} for one in objects])
    old_pool = {"name": "default", "protocol": "layer2", "addresses": home_pool["addresses"]}
    metadata = {"name": "config", "namespace": METALLB}
    data = {"config": yaml.safe_dump({"address-pools": [old_pool]})}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    # Its images are not to be had, so it gives no address itself.
    status = {"status": {"loadBalancer": {"ingress": [{"ip": lab.at(210)}]}}}
    kubectl("patch", "service", "mysite", "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
    replace = partial(controller.role, "metallb", **older)
    converted = json.dumps([{"name": "default", "addresses": home_pool["addresses"]}])
    refused(replace(), "metallb_of_configmap", OF_CONFIGMAP, f"metallb_pools: {converted}")
    refused(replace(metallb_take_over=True, metallb_pools=[]), "addresses_in_use", "default/mysite")
    images = [thing["spec"]["template"]["spec"]["containers"][0]["image"] for thing in kubectl.objects("daemonsets")]
    assert f"quay.io/metallb/speaker:{OF_CONFIGMAP}" in images
    done = replace(metallb_take_over=True)
    assert done.code == 0, done.end
    assert kubectl.address("mysite") == lab.at(210)
    with watch(lab.name, lab.at(210)) as client:
        assert PAGE in str(client.answer(True, 0, within=30).page)
    left = [thing["metadata"]["name"] for thing in kubectl.objects("roles,rolebindings,configmaps")]
    assert not {"config", "config-watcher"} & set(left)


@pytest.mark.soak
def test_a_newer_version_keeps_addresses_and_pages(
    controller: Controller, kubectl: Kubectl, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    address = lab.at(210)
    with watch(lab.name, address) as client:
        begin = client.answer(True, 0, within=10).asked
        done = controller.role("metallb")
        # The speakers are ready by now, but an address may still move.
        client.answer(True, time.time() + 10, within=30)
        record_property("seconds without the page when MetalLB is replaced", round(client.gap(begin), 1))
    assert done.code == 0, done.end
    assert kubectl.address("mysite") == address
    images = {
        container["image"]
        for pod in kubectl.objects("pods", "--selector=app=metallb")
        for container in pod["spec"]["containers"]
    }
    assert not [image for image in images if image.endswith(OLDER)]
    done = controller.role("metallb")
    assert (done.code, done.changed) == (0, {"localhost": 0}), done.output
