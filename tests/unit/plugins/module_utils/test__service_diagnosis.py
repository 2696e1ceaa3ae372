# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why Services do not serve, by what the API of a cluster says when it is so."""

from __future__ import annotations

import functools
import typing as t
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._service_diagnosis import SOURCES, diagnose
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import lacks
from ansible_collections.homecloud.k3s.plugins.module_utils._snapshot import Snapshot
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

Thing = dict[str, t.Any]

DATA = Path(__file__).parents[1] / "data/services"
CAPTURES = sorted(path.stem for path in DATA.glob("*.yaml"))
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
METALLB = (
    "Deployment",
    "DaemonSet",
    "Pod",
    "ConfigurationState",
    "IPAddressPool",
    "L2Advertisement",
    "ServiceL2Status",
)


@functools.cache
def read(capture: str) -> list[Thing]:
    items: list[Thing] = yaml.load((DATA / f"{capture}.yaml").read_bytes(), yaml.CSafeLoader)["items"]
    return items


class Scene:
    """A captured cluster, to be changed a little, and one Service in it."""

    def __init__(self, service: str, capture: str = "troubles") -> None:
        self.things = deepcopy(read(capture))
        self.service = self.one("Service", service)

    def all(self, *kinds: str) -> list[Thing]:
        return [thing for thing in self.things if thing["kind"] in kinds]

    def one(self, kind: str, name: str) -> Thing:
        (found,) = (thing for thing in self.all(kind) if thing["metadata"]["name"] == name)
        return found

    def pods(self, app: str) -> list[Thing]:
        return [pod for pod in self.all("Pod") if pod["metadata"]["labels"].get("app") == app]

    def drop(self, *kinds: str, namespace: str = "", name: str = "") -> None:
        self.things = [
            thing
            for thing in self.things
            if thing["kind"] not in kinds
            or (namespace and thing["metadata"].get("namespace") != namespace)
            or (name and thing["metadata"]["name"] != name)
        ]

    def annotate(self, **annotations: str) -> None:
        own = self.service["metadata"].setdefault("annotations", {})
        own.update({f"metallb.io/{name.replace('_', '-')}": value for name, value in annotations.items()})

    def diagnose(self, wanted: int = 1, untold: t.Collection[str] = ()) -> list[Fault]:
        return diagnose(self.service, Snapshot(self.things, untold), wanted)

    def fault(self, wanted: int = 1, untold: t.Collection[str] = ()) -> Fault:
        """The only one."""
        (fault,) = self.diagnose(wanted, untold)
        return fault

    def code(self, wanted: int = 1, untold: t.Collection[str] = ()) -> str:
        return self.fault(wanted, untold).code


# The capture, the Service, the code, and words of the evidence and of the advice.
CAPTURED: t.Final = [
    ("troubles", "typo", "no_pod_selected", "app=web, tier=front: app is web instead of webb", '"selector"'),
    (
        "troubles",
        "api",
        "no_pod_selected",
        "in the namespace backend with these labels: pod api-",
        '"namespace" to backend',
    ),
    (
        "troubles",
        "scaled",
        "no_pod_selected",
        "Deployment shop/scaled makes such pods, but has 0",
        "scale deployment scaled",
    ),
    ("troubles", "refused", "pods_refused", "exceeded quota: none", "A quota"),
    (
        "troubles",
        "image",
        "image_not_pulled",
        'Failed to pull image "docker.io/library/nginx:nosuch"',
        "Correct the name",
    ),
    ("troubles", "crash", "container_not_created", 'exec: "sh": executable file not found', "describe pod crash-"),
    ("troubles", "probe", "probe_failing", "Readiness probe failed: dial tcp 10.42.1.5:8081", "logs probe-"),
    ("troubles", "huge", "unschedulable", "3 Insufficient memory", '"resources"'),
    ("troubles", "port", "unknown_target_port", "with the ports http (80/TCP)", '"target_port"'),
    ("troubles", "external", "no_endpoint_slices", "kubernetes.io/service-name: external", '"selector"'),
    ("absent", "loop", "crash_loop", "last words: 2026/11/22", "logs --previous loop-"),
    ("absent", "secret", "container_not_created", 'secret "nosuch" not found', "Correct what it refers to"),
    ("node-down", "local", "node_not_ready", "pods on it: pinned-", "kubectl describe node agent2"),
    ("troubles", "unknown-pool", "unknown_pool", 'unknown pool "gusts"', '"address_pool"'),
    ("troubles", "outside", "address_outside_pools", "guests (10.9.0.6-10.9.0.9)", '"load_balancer_ips"'),
    ("troubles", "elsewhere", "address_not_in_pool", "guests (10.9.0.6-10.9.0.9)", '"address_pool" to guests'),
    ("troubles", "not-allowed", "pool_not_allowed", "guests is for Services in backend", "namespaces"),
    ("troubles", "taken", "address_taken", "Service shop/holder", '"allow_shared_ip"'),
    ("troubles", "exhausted", "pool_exhausted", "1 of 1 addresses are given: 10.9.0.1 to shop/holder", ": home."),
    ("troubles", "family", "no_address_family", "does not match the ipFamily", '"load_balancer_ips"'),
    ("troubles", "class", "unserved_class", "Services without a class", '"load_balancer_class"'),
    (
        "class",
        "late",
        "unserved_class",
        "--lb-class=example.org/metallb",
        '"load_balancer_class" to "example.org/',
    ),
    ("troubles", "other-key", "sharing_refused", '"allow_shared_ip" is dns here, and web there', "to web"),
    ("troubles", "same-port", "sharing_refused", "both have the port TCP/80", '"ports"'),
    ("no-pool", "late2", "no_pool", "no IPAddressPool", "metallb_pools"),
    ("no-auto-assign", "late2", "no_auto_assign_pool", "auto_assign: false", '"address_pool"'),
    ("controller-scaled", "late2", "metallb_down", "it is to have no pods", "scale deployment controller"),
    ("controller-image", "late2", "metallb_down", "metallb/controller:nosuch", "homecloud.k3s.site"),
    ("refused", "late3", "configuration_refused", 'CIDR "10.9.0.2/31" in pool "doubled"', "metallb_pools"),
    (
        "servicelb",
        "late3",
        "servicelb_competing",
        "DaemonSet kube-system/svclb-late3-",
        '"disable" of k3s_config',
    ),
    (
        "servicelb",
        "other-key",
        "servicelb_competing",
        "kube-system/svclb-other-key-",
        '"disable" of k3s_config',
    ),
    ("absent", "late2", "servicelb_down", "didn't have free ports", '"ports"'),
    ("troubles", "quiet", "not_advertised", "L2Advertisement metallb-system/first", "metallb_pools"),
    ("troubles", "nowhere", "no_advertising_node", "'kubernetes.io/hostname': 'nas'", '"node_selectors"'),
    ("troubles", "odd", "interface_not_found", 'assigned node "agent1"', '"interfaces"'),
    ("troubles", "local", "no_local_endpoint", "ready pods on agent2; nodes that may announce: agent1", "Cluster"),
    ("excluded", "web", "node_excluded", "agent1, agent2, server1", f"{EXCLUDED}-"),
    ("speakers", "web", "speaker_down", "disk=ssd", "agent1, agent2, server1"),
]


@pytest.mark.parametrize(("capture", "name", "code", "evidence", "advice"), CAPTURED)
def test_what_was_captured_is_explained_by_one_fault(
    capture: str, name: str, code: str, evidence: str, advice: str
) -> None:
    scene = Scene(name, capture)
    fault = scene.fault()
    assert (fault.code, fault.severity) == (code, "error")
    assert f"Service {scene.service['metadata']['namespace']}/{name}" in fault.message
    assert evidence in fault.evidence
    assert advice in fault.advice


@pytest.mark.parametrize(
    ("capture", "name"),
    [
        ("troubles", "web"),
        ("troubles", "holder"),
        ("troubles", "sharer"),
        ("node-down", "web"),
        # The API itself takes the address from what is no load balancer any more.
        ("controller-scaled", "web"),
    ],
)
def test_what_serves_has_no_fault(capture: str, name: str) -> None:
    assert Scene(name, capture).diagnose() == []


def test_sources_are_the_kinds_of_what_was_captured() -> None:
    captured = {(thing["kind"], thing["apiVersion"]) for capture in CAPTURES for thing in read(capture)}
    asked = {(kind, api_version) for kind, api_version, _namespace in SOURCES}
    assert captured <= asked
    assert {kind for kind, _api_version in asked - captured} == {"BGPAdvertisement", "ServiceBGPStatus"}


# --- endpoints


def test_without_any_pod_in_the_namespace_it_says_so() -> None:
    scene = Scene("typo")
    scene.drop("Pod")
    assert "no pod in the namespace" in scene.fault().evidence


def test_the_nearest_pod_has_most_of_the_labels() -> None:
    scene = Scene("typo")
    scene.service["spec"]["selector"] = {"tier": "front", "app": "probe", "zone": "a"}
    scene.pods("probe")[0]["metadata"]["labels"]["tier"] = "front"
    assert "with app=probe, tier=front: zone is not among its labels" in scene.fault().evidence


def test_labels_that_fit_count_more_than_those_that_look_alike() -> None:
    scene = Scene("typo")
    scene.service["spec"]["selector"] = {"app": "web", "tier": "frontend"}
    scene.pods("web")[0]["metadata"]["labels"]["tier"] = "x"
    scene.pods("probe")[0]["metadata"]["labels"] = {"app": "webb", "tier": "frontends"}
    assert "with app=web, tier=" in scene.fault().evidence


def test_pods_that_have_ended_are_none() -> None:
    scene = Scene("port")
    scene.service["spec"]["ports"][0]["targetPort"] = "http"
    scene.drop("Deployment")
    for endpoint_slice in scene.all("EndpointSlice"):
        endpoint_slice["endpoints"] = None
    for pod in scene.pods("web"):
        pod["status"]["phase"] = "Succeeded"
    fault = scene.fault()
    assert (fault.code, fault.evidence.partition(": ")[0]) == (
        "no_pod_selected",
        "pods web-64d67bb5fb-gh2kw, web-64d67bb5fb-h4v99 with these labels",
    )


def test_a_workload_whose_pods_are_on_their_way_is_named() -> None:
    scene = Scene("huge")
    scene.drop("Pod")
    assert "Deployment shop/huge makes such pods, but has none now" in scene.fault().evidence


def test_that_pods_are_not_shown_is_no_proof_that_there_are_none() -> None:
    scene = Scene("typo")
    scene.drop("Pod")
    assert scene.code(untold=["Pod"]) == "endpoints_not_ready"


def test_fewer_pods_than_asked() -> None:
    fault = Scene("web").fault(wanted=3)
    assert fault.code == "too_few_endpoints"
    assert "shall have 3 endpoints, but selects only 2 pods" in fault.message
    assert "Deployment shop/web has 2 replicas" in fault.evidence


def test_pods_that_do_not_serve_are_a_better_reason_than_that_they_are_few() -> None:
    assert Scene("probe").code(wanted=2) == "probe_failing"


def test_enough_serving_pods_leave_the_others_out() -> None:
    scene = Scene("port")
    broken = deepcopy(scene.pods("probe")[0])
    broken["metadata"]["labels"]["app"] = "web"
    scene.things.append(broken)
    assert scene.code(wanted=2) == "unknown_target_port"
    assert [fault.code for fault in scene.diagnose(wanted=3)] == ["unknown_target_port", "probe_failing"]


def test_a_port_may_be_missing_in_some_pods_only() -> None:
    scene = Scene("web")
    pod = scene.pods("web")[0]
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, "protocol": "TCP"}]
    (endpoint_slice,) = (
        thing
        for thing in scene.all("EndpointSlice")
        if thing["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    )
    endpoint_slice["endpoints"] = [
        e for e in endpoint_slice["endpoints"] if e["targetRef"]["name"] != pod["metadata"]["name"]
    ]
    assert scene.diagnose(wanted=1) == []
    fault = scene.fault(wanted=2)
    assert fault.code == "unknown_target_port"
    assert "some of them have none" in fault.message
    assert f"pod {pod['metadata']['name']} with the ports 8080/TCP without a name" in fault.evidence


def test_a_port_of_the_same_name_but_another_protocol_does_not_count() -> None:
    scene = Scene("port")
    scene.service["spec"]["ports"][0]["targetPort"] = "http"
    scene.service["spec"]["ports"][0]["protocol"] = "UDP"
    assert 'to the port "http" (UDP)' in scene.fault().message


def test_a_pod_that_says_nothing_may_need_more_time() -> None:
    scene = Scene("probe")
    scene.drop("Event")
    fault = scene.fault()
    assert fault.code == "endpoints_not_ready"
    assert "containers with unready status: [web]" in fault.evidence


def test_slices_that_lag_behind() -> None:
    scene = Scene("web")
    for endpoint_slice in scene.all("EndpointSlice"):
        endpoint_slice["endpoints"] = None
    fault = scene.fault()
    assert (fault.code, fault.evidence) == ("endpoints_not_ready", "its EndpointSlices have 0")


def test_slices_of_others_that_are_not_ready() -> None:
    scene = Scene("image")
    del scene.service["spec"]["selector"]
    assert scene.code() == "endpoints_not_ready"


# --- address


def pending(*, metallb: bool = True) -> Scene:
    """A Service that waits for an address of any pool."""
    scene = Scene("web")
    del scene.service["metadata"]["annotations"]
    scene.service["status"] = {"loadBalancer": {}}
    if not metallb:
        scene.drop(*METALLB, namespace="metallb-system")
    return scene


def pool(scene: Scene, **spec: object) -> None:
    scene.one("IPAddressPool", "home")["spec"].update(spec)


def test_an_address_that_is_on_its_way() -> None:
    scene = pending()
    scene.drop("Event")
    fault = scene.fault()
    assert fault.code == "no_address"
    assert "MetalLB has said nothing of it" in fault.evidence
    assert "logs deployment/controller" in fault.advice


def test_what_metallb_says_is_the_last_resort() -> None:
    scene = Scene("taken")
    scene.annotate(loadBalancerIPs="10.9.0.300")
    fault = scene.fault()
    assert fault.code == "no_address"
    assert "MetalLB says: Failed to allocate IP" in fault.evidence


def test_metallb_may_be_absent() -> None:
    scene = pending(metallb=False)
    assert scene.code() == "metallb_absent"
    assert scene.code(untold=["Deployment", "IPAddressPool"]) == "no_address"
    # Then only the Deployments of one namespace may have been shown.
    assert scene.code(untold=["Namespace", "IPAddressPool"]) == "no_address"
    scene.service["spec"]["loadBalancerClass"] = "example.org/other"
    assert scene.fault().evidence == "there is no MetalLB either"


def test_metallb_of_a_chart_is_metallb_too() -> None:
    scene = pending()
    controller = scene.one("Deployment", "controller")
    names = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": "controller"}
    controller["metadata"].update(name="metallb-controller", namespace="metallb", labels=names)
    scene.drop("Event")
    assert scene.code() == "no_address"
    controller["status"]["availableReplicas"] = 0
    assert "Deployment metallb/metallb-controller: 0 of 1 pods serve" in scene.fault().evidence


def test_pools_that_are_not_shown_prove_nothing() -> None:
    scene = Scene("late2", "no-pool")
    assert scene.code(untold=["IPAddressPool"]) == "no_address"


@pytest.mark.parametrize(
    ("allocation", "seen"),
    [
        ({"namespaces": ["backend"]}, "home is for Services in backend"),
        ({"namespaceSelectors": [{"matchLabels": {"kubernetes.io/metadata.name": "backend"}}]}, "in backend"),
        ({"namespaceSelectors": [{"matchLabels": {"team": "a"}}]}, "in namespaces that are not there"),
        ({"serviceSelectors": [{"matchLabels": {"public": "yes"}}]}, "this one's: none"),
        ({"namespaces": ["shop"], "serviceSelectors": [{"matchLabels": {"public": "yes"}}]}, "this one's: none"),
    ],
)
def test_a_pool_for_others(allocation: Thing, seen: str) -> None:
    scene = pending()
    pool(scene, serviceAllocation=allocation)
    fault = scene.fault()
    assert fault.code == "pool_not_allowed"
    assert seen in fault.evidence


@pytest.mark.parametrize(
    "allocation",
    [
        {"priority": 1},
        {"namespaces": ["shop"]},
        {"namespaces": ["backend"], "namespaceSelectors": [{"matchLabels": {"kubernetes.io/metadata.name": "shop"}}]},
        {"serviceSelectors": [{"matchExpressions": [{"key": "secret", "operator": "DoesNotExist"}]}]},
    ],
)
def test_a_pool_that_is_for_it_is_not_the_fault(allocation: Thing) -> None:
    scene = pending()
    pool(scene, serviceAllocation=allocation)
    assert scene.code() == "no_address"


def test_an_address_of_a_pool_for_others() -> None:
    scene = Scene("outside")
    scene.annotate(loadBalancerIPs="10.9.0.7")
    assert scene.code() == "pool_not_allowed"


def test_addresses_that_a_pool_does_not_give() -> None:
    scene = Scene("outside")
    scene.annotate(loadBalancerIPs="192.168.101.255")
    pool(scene, addresses=["192.168.101.200-192.168.101.255"])
    assert scene.code() == "no_address"
    pool(scene, avoidBuggyIPs=True)
    assert scene.code() == "address_outside_pools"


def test_an_exhausted_pool_names_the_first_few() -> None:
    scene = pending()
    pool(scene, addresses=["192.168.101.200-192.168.101.205"])
    for number in range(200, 206):
        scene.things.append(
            {
                "kind": "Service",
                "metadata": {"namespace": "games", "name": f"game{number}"},
                "spec": {"type": "LoadBalancer"},
                "status": {"loadBalancer": {"ingress": [{"ip": f"192.168.101.{number}"}]}},
            }
        )
    fault = scene.fault()
    assert fault.code == "pool_exhausted"
    assert (
        "6 of 6 addresses are given: 192.168.101.200 to games/game200, 192.168.101.201 to games/game201, "
        "192.168.101.202 to games/game202, 3 more" in fault.evidence
    )
    scene.things.pop()
    assert scene.code() == "no_address"


def test_addresses_that_are_avoided_are_not_free() -> None:
    scene = pending()
    pool(scene, addresses=["192.168.101.255-192.168.102.0"], avoidBuggyIPs=True)
    assert scene.code() == "no_address_family"
    pool(scene, addresses=["192.168.100.0/23"])
    assert scene.code() == "no_address"


@pytest.mark.parametrize(
    ("families", "policy", "addresses", "code"),
    [
        (["IPv6"], "SingleStack", ["192.168.101.200-192.168.101.225"], "no_address_family"),
        (["IPv4", "IPv6"], "RequireDualStack", ["192.168.101.200-192.168.101.225"], "no_address_family"),
        (["IPv4", "IPv6"], "PreferDualStack", ["192.168.101.200-192.168.101.225"], "no_address"),
        (["IPv4", "IPv6"], "RequireDualStack", ["192.168.101.200-192.168.101.225", "fd00::/64"], "no_address"),
    ],
)
def test_families_of_addresses(families: list[str], policy: str, addresses: list[str], code: str) -> None:
    scene = pending()
    scene.service["spec"].update(ipFamilies=families, ipFamilyPolicy=policy)
    pool(scene, addresses=addresses)
    # The pods of the captured cluster have addresses of one family only.
    assert code in [fault.code for fault in scene.diagnose()]


@pytest.mark.parametrize(
    ("holder", "asking", "code", "advice"),
    [
        ({}, {}, "address_taken", "allow_shared_ip"),
        ({"key": "a"}, {}, "sharing_refused", '"allow_shared_ip" to a'),
        ({}, {"key": "a"}, "sharing_refused", '"allow_shared_ip: a"'),
        ({"key": "a"}, {"key": "b", "port": 81}, "sharing_refused", '"allow_shared_ip" to a'),
        ({"key": "a"}, {"key": "a"}, "sharing_refused", '"ports"'),
        ({"key": "a"}, {"key": "a", "port": 81, "policy": "Local"}, "sharing_refused", "external_traffic_policy"),
        ({"key": "a", "policy": "Local"}, {"key": "a", "port": 81, "policy": "Local"}, "no_address", ""),
        ({"key": "a"}, {"key": "a", "port": 81}, "no_address", ""),
    ],
)
def test_who_may_share_an_address(holder: Thing, asking: Thing, code: str, advice: str) -> None:
    scene = Scene("taken")
    for service, wish in ((scene.one("Service", "holder"), holder), (scene.service, asking)):
        service["spec"]["externalTrafficPolicy"] = wish.get("policy", "Cluster")
        service["spec"]["ports"][0]["port"] = wish.get("port", 80)
        if "key" in wish:
            service["metadata"]["annotations"]["metallb.io/allow-shared-ip"] = wish["key"]
    fault = scene.fault()
    assert fault.code == code
    assert advice in fault.advice


def test_text_of_users_with_braces_is_no_format() -> None:
    scene = Scene("unknown-pool")
    scene.annotate(address_pool="{pool}")
    assert '"{pool}"' in scene.fault().message


def test_its_own_address_is_not_taken() -> None:
    scene = Scene("web")
    scene.annotate(loadBalancerIPs="192.168.101.201,192.168.101.210")
    assert scene.code() == "no_address"


def test_a_speaker_gives_no_addresses() -> None:
    scene = pending()
    scene.one("ConfigurationState", "speaker-agent1")["status"] = {"result": "Invalid", "errorSummary": "overlaps"}
    assert scene.code() == "no_address"


# --- announcement


def unannounced(name: str = "web") -> Scene:
    scene = Scene(name)
    scene.drop("ServiceL2Status")
    return scene


def test_nobody_says_why() -> None:
    fault = unannounced().fault()
    assert fault.code == "not_announced"
    assert "nodes that may announce: agent1, agent2, server1" in fault.evidence
    assert unannounced().diagnose(untold=["ServiceL2Status"]) == []


def test_without_an_endpoint_the_announcement_is_no_fault_of_its_own() -> None:
    scene = unannounced()
    scene.service["spec"]["selector"] = {"app": "webb"}
    for endpoint_slice in scene.all("EndpointSlice"):
        endpoint_slice["endpoints"] = None
    assert scene.code() == "no_pod_selected"


def test_too_few_endpoints_do_not_hinder_the_announcement() -> None:
    assert [fault.code for fault in unannounced().diagnose(wanted=3)] == ["too_few_endpoints", "not_announced"]


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({}, "not_announced"),
        ({"ipAddressPools": ["quiet"]}, "not_announced"),
        ({"ipAddressPools": ["tiny"]}, "not_advertised"),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"use": "test"}}]}, "not_announced"),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"use": "home"}}]}, "not_advertised"),
        ({"serviceSelectors": [{"matchLabels": {"public": "yes"}}]}, "not_advertised"),
        ({"nodeSelectors": [{"matchLabels": {"kubernetes.io/hostname": "agent1"}}]}, "not_announced"),
        ({"interfaces": ["eth9"]}, "not_announced"),
    ],
)
@pytest.mark.parametrize("kind", ["L2Advertisement", "BGPAdvertisement"])
def test_which_advertisement_is_of_a_pool(kind: str, spec: Thing, code: str) -> None:
    scene = Scene("quiet")
    scene.one("IPAddressPool", "quiet")["metadata"]["labels"] = {"use": "test"}
    scene.drop("L2Advertisement")
    scene.things.append({"kind": kind, "metadata": {"name": "test", "namespace": "metallb-system"}, "spec": spec})
    assert scene.code() == code
    assert scene.code(untold=[kind]) in ("not_announced", code)


def test_advertisements_that_are_not_shown_prove_nothing() -> None:
    assert Scene("quiet").code(untold=["BGPAdvertisement"]) == "not_announced"


def test_no_advertisement_at_all() -> None:
    scene = Scene("quiet")
    scene.drop("L2Advertisement")
    assert scene.fault().evidence == "there is no L2Advertisement"


def test_advertisements_for_other_services() -> None:
    scene = unannounced()
    scene.one("L2Advertisement", "home")["spec"]["serviceSelectors"] = [{"matchLabels": {"public": "yes"}}]
    assert "labels of this Service: none" in scene.fault().evidence
    scene.service["metadata"]["labels"] = {"public": "yes"}
    assert scene.code() == "not_announced"
    scene.annotate(allow_shared_ip="web")
    assert "it may share its address" in scene.fault().message


def test_a_chosen_node_that_is_down() -> None:
    scene = unannounced("local")
    for state in scene.one("Node", "agent1")["status"]["conditions"]:
        state["status"] = "Unknown"
    fault = scene.fault()
    assert fault.code == "no_advertising_node"
    assert "chosen, but not Ready: agent1" in fault.evidence


def test_nodes_that_are_not_shown_prove_nothing() -> None:
    scene = unannounced()
    scene.drop("Node")
    assert scene.code(untold=["Node"]) == "not_announced"


def test_an_excluded_node_with_the_only_endpoint() -> None:
    scene = unannounced("local")
    scene.one("L2Advertisement", "first")["spec"].pop("nodeSelectors")
    assert scene.code() == "not_announced"
    scene.one("Node", "agent2")["metadata"]["labels"][EXCLUDED] = ""
    fault = scene.fault()
    assert fault.code == "no_local_endpoint"
    assert "ready pods on agent2; nodes that may announce: agent1, server1" in fault.evidence


def test_speakers_that_ignore_the_label() -> None:
    scene = Scene("web", "excluded")
    scene.one("DaemonSet", "speaker")["spec"]["template"]["spec"]["containers"][0]["args"].append("--ignore-exclude-lb")
    assert scene.code() == "not_announced"


def test_no_speaker_where_one_is_needed() -> None:
    scene = unannounced()
    scene.one("L2Advertisement", "home")["spec"]["nodeSelectors"] = [
        {"matchLabels": {"kubernetes.io/hostname": "agent2"}}
    ]
    for pod in scene.pods("metallb"):
        if pod["spec"].get("nodeName") == "agent2":
            for state in pod["status"]["conditions"]:
                state["status"] = "False"
    fault = scene.fault()
    assert fault.code == "speaker_down"
    assert "The nodes are agent2:" in fault.advice
    scene.drop("DaemonSet", "Pod", namespace="metallb-system")
    assert "no DaemonSet of speakers" in scene.fault().evidence
    assert scene.code(untold=["DaemonSet"]) == "not_announced"


def test_without_metallb_nothing_else_is_looked_for() -> None:
    scene = unannounced()
    scene.drop(*METALLB, namespace="metallb-system")
    assert scene.code() == "metallb_absent"


def test_speakers_that_have_refused_their_configuration() -> None:
    scene = unannounced("local")
    scene.one("L2Advertisement", "first")["spec"].pop("nodeSelectors")
    scene.one("ConfigurationState", "speaker-agent1")["status"] = {"result": "Invalid", "errorSummary": "overlaps"}
    assert scene.fault().evidence == "speaker-agent1: overlaps"


def test_an_interface_is_no_fault_where_another_advertisement_has_all() -> None:
    scene = Scene("odd")
    every = deepcopy(scene.one("L2Advertisement", "odd"))
    every["spec"].pop("interfaces")
    scene.things.append(every)
    assert scene.code() == "not_announced"


# --- release


def test_an_address_that_is_kept() -> None:
    scene = Scene("web")
    scene.service["spec"]["type"] = "NodePort"
    fault = scene.fault()
    assert fault.code == "address_not_released"
    assert "192.168.101.201" in fault.evidence
    scene.service["metadata"]["finalizers"] = ["service.kubernetes.io/load-balancer-cleanup"]
    scene.one("Deployment", "controller")["status"]["availableReplicas"] = 0
    fault = scene.fault()
    assert (
        "finalizers: service.kubernetes.io/load-balancer-cleanup; Deployment metallb-system/controller"
        in fault.evidence
    )


# --- whatever happens

KINDS = [kind for kind, _api_version, _namespace in SOURCES]
TARGETS = [
    (capture, thing["metadata"]["namespace"], thing["metadata"]["name"])
    for capture in CAPTURES
    for thing in read(capture)
    if thing["kind"] == "Service"
]


@given(
    st.sampled_from(TARGETS),
    st.sets(st.sampled_from([kind for kind in KINDS if kind != "Service"])),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from(["LoadBalancer", "NodePort", "ClusterIP", "ExternalName"]),
    st.randoms(use_true_random=False),
)
def test_each_lack_is_explained_and_nothing_else(
    target: tuple[str, str, str],
    gone: set[str],
    shown: bool,
    wanted: int,
    service_type: str,
    random: Random,
) -> None:
    capture, namespace, name = target
    things = [thing for thing in read(capture) if thing["kind"] not in gone]
    # Some of each kind are missing too, as if they were just coming or going.
    things = [thing for thing in things if thing["kind"] == "Service" or random.random() > 0.2]
    (found,) = (
        thing
        for thing in things
        if thing["kind"] == "Service"
        and (thing["metadata"]["namespace"], thing["metadata"]["name"]) == (namespace, name)
    )
    service = {**found, "spec": {**found["spec"], "type": service_type}}
    snapshot = Snapshot(things, () if shown else gone)
    faults = diagnose(service, snapshot, wanted)
    assert bool(faults) == bool(lacks(service, snapshot, wanted))
    for fault in faults:
        assert f"Service {namespace}/{name}" in fault.message
        assert fault.evidence
        assert fault.advice
    assert len({fault.code for fault in faults}) == len(faults)
