# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as a change of a Service, against an API that fills in and draws by lot as the real one does."""

from __future__ import annotations

import itertools
import typing as t
from copy import deepcopy

from ansible_collections.homecloud.k3s.plugins.module_utils._service import OPTIONS, desired
from ansible_collections.homecloud.k3s.plugins.module_utils._service_change import changes
from hypothesis import given
from hypothesis import strategies as st

Thing = dict[str, t.Any]

NODE_PORT_TYPES = ("NodePort", "LoadBalancer")


class Api:
    """One Service of an API, applied by one manager, beside what others have set. first: what is drawn first."""

    def __init__(self, first: int) -> None:
        self._drawn = itertools.count(first)

    def apply(self, before: Thing | None, wanted: Thing) -> Thing:
        old = before["spec"] if before else {}
        metadata = deepcopy(wanted["metadata"])
        metadata.setdefault("labels", {})["of-others"] = "stays"
        metadata |= {"uid": "1", "resourceVersion": str(next(self._drawn)), "managedFields": []}
        spec = deepcopy(wanted["spec"])
        has_address = spec["type"] != "ExternalName"
        filled = {
            "sessionAffinity": "None",
            **(
                {"clusterIP": f"10.43.0.{next(self._drawn)}", "internalTrafficPolicy": "Cluster"} if has_address else {}
            ),
            **({"externalTrafficPolicy": "Cluster"} if spec["type"] in NODE_PORT_TYPES else {}),
            **({"allocateLoadBalancerNodePorts": True} if spec["type"] == "LoadBalancer" else {}),
        }
        for name, value in filled.items():
            # What was drawn stays, a default comes back.
            spec.setdefault(name, old[name] if name == "clusterIP" and name in old else value)
        if has_address:
            spec["clusterIPs"] = [spec["clusterIP"]]
        drawn = {(port["port"], port["protocol"]): port.get("nodePort") for port in old.get("ports", [])}
        for port in spec.get("ports", []):
            port.setdefault("targetPort", port["port"])
            if spec["type"] in NODE_PORT_TYPES:
                port.setdefault("nodePort", drawn.get((port["port"], port["protocol"])) or next(self._drawn))
        return {**wanted, "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}


words = st.sampled_from(["a", "b"])
ports: st.SearchStrategy[Thing] = st.builds(
    dict,
    name=words,
    port=st.integers(80, 82),
    target_port=st.none() | st.sampled_from(["web", "8080"]),
    node_port=st.none() | st.sampled_from([30080, 30081]),
    protocol=st.sampled_from(["TCP", "UDP"]),
    app_protocol=st.none() | st.just("http"),
)
tasks = st.builds(
    lambda **options: {**dict.fromkeys(OPTIONS), "name": "web", "namespace": "default", **options},
    type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
    ports=st.lists(ports, min_size=1, max_size=3, unique_by=lambda port: (port["port"], port["protocol"])),
    selector=st.none() | st.dictionaries(words, words),
    labels=st.none() | st.dictionaries(words, words),
    annotations=st.none() | st.dictionaries(words, words),
    session_affinity=st.sampled_from([None, "None", "ClientIP"]),
    external_ips=st.none() | st.lists(words, max_size=1),
    address_pool=st.none() | words,
)


def state(service: Thing) -> Thing:
    """A Service without what changes by itself. Its ports have no order."""
    metadata = {name: service["metadata"].get(name) for name in ("labels", "annotations")}
    ports_there = sorted(service["spec"]["ports"], key=lambda port: (port["port"], port["protocol"]))
    return {"metadata": metadata, "spec": {**service["spec"], "ports": ports_there}}


@given(tasks)
def test_to_create_one_is_a_change_and_to_apply_it_again_is_none(task: Thing) -> None:
    api, wanted = Api(100), desired(task)
    there = api.apply(None, wanted)
    old, new = changes(None, there, wanted)
    assert old == {}
    assert new != {}
    old, new = changes(there, api.apply(there, wanted), wanted)
    assert old == new


@given(tasks, tasks)
def test_the_diff_is_empty_exactly_when_nothing_has_changed(first: Thing, second: Thing) -> None:
    api = Api(100)
    before = api.apply(None, desired(first))
    after = api.apply(before, desired(second))
    old, new = changes(before, after, desired(second))
    assert (old == new) == (state(before) == state(after))


@given(st.none() | tasks, tasks)
def test_a_dry_run_shows_what_the_run_will(first: Thing | None, second: Thing) -> None:
    before = Api(100).apply(None, desired(first)) if first else None
    wanted = desired(second)
    dry_run, run = (api.apply(before, wanted) for api in (Api(1000), Api(2000)))
    assert changes(before, dry_run, wanted) == changes(before, run, wanted)


def service(task: Thing | None = None, **options: object) -> Thing:
    base = {"type": "ClusterIP", "ports": [port()]}
    return desired({**dict.fromkeys(OPTIONS), "name": "web", "namespace": "default", **base, **(task or {}), **options})


def port(number: int = 80, **options: object) -> Thing:
    return {
        **dict.fromkeys(("name", "target_port", "node_port", "app_protocol")),
        "port": number,
        "protocol": "TCP",
        **options,
    }


def test_what_others_note_down_is_no_change() -> None:
    wanted = service(type="LoadBalancer")
    before = Api(100).apply(None, wanted)
    after = deepcopy(before)
    after["metadata"]["annotations"] = {"metallb.io/ip-allocated-from-pool": "home"}
    after["status"] = {"loadBalancer": {"ingress": [{"ip": "192.168.1.200"}]}}
    for first, second in ((before, after), (after, before)):
        old, new = changes(first, second, wanted)
        assert old == new


def test_a_change_of_the_type_shows_that_node_ports_go() -> None:
    wanted = service()
    before = Api(100).apply(None, service(type="LoadBalancer"))
    old, new = changes(before, Api(200).apply(before, wanted), wanted)
    assert old["spec"].pop("type") == "LoadBalancer"
    assert new["spec"].pop("type") == "ClusterIP"
    assert old["spec"]["ports"]["80/TCP"].pop("nodePort")
    assert old == new


def test_what_is_not_asked_for_any_more_shows() -> None:
    before = Api(100).apply(None, service(session_affinity="ClientIP", ports=[port(target_port="web")]))
    wanted = service()
    old, new = changes(before, Api(200).apply(before, wanted), wanted)
    assert old["spec"].pop("sessionAffinity") == "ClientIP"
    assert old["spec"]["ports"]["80/TCP"].pop("targetPort") == "web"
    assert old == new


def test_a_removal_shows_what_was_there() -> None:
    before = Api(100).apply(None, service(labels={"a": "b"}))
    old, new = changes(before, None, {"metadata": {}})
    assert old["labels"]["a"] == "b"
    assert new == {}
