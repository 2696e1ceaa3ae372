# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways of packets by a node whose kube-proxy is in its mode nftables."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest
from looking_glass import DRIFT, GLASS, KINDS, NODE_PORT, TRACING, Glass, client_by, rules, seen, way
from scenario import wait_until

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenario import Controller, Kubectl, Lab

NODE = "agent2"
DROPIN = "/etc/rancher/k3s/config.yaml.d/nftables.yaml"
TABLE = "ip kube-proxy"


@pytest.fixture(scope="module", autouse=True)
def nftables(lab: Lab, kubectl: Kubectl) -> Iterator[None]:
    """The node is in that mode meanwhile."""
    lab.sh(NODE, f"mkdir -p {DROPIN.rpartition('/')[0]}; echo 'kube-proxy-arg+: [proxy-mode=nftables]' > {DROPIN}")
    try:
        restart(lab, kubectl)
        wait_until(lambda: f"table {TABLE}" in lab.on(NODE, "nft", "list", "tables"))
        yield
    finally:
        lab.sh(NODE, f"rm {DROPIN}")
        restart(lab, kubectl)
    # kube-proxy cleans up behind itself.
    wait_until(lambda: TABLE not in lab.on(NODE, "nft", "list", "tables"))


def restart(lab: Lab, kubectl: Kubectl) -> None:
    lab.sh(NODE, "systemctl restart k3s-agent")
    wait_until(lambda: kubectl.is_ready("node", NODE))


@pytest.mark.parametrize("asker", [f"pod on {NODE}", NODE, "client"])
def test_packets_go_as_the_kernel_confirms(
    controller: Controller, lab: Lab, glass: Glass, should_be: dict[str, t.Any], asker: str
) -> None:
    before = rules(lab, NODE)
    source = glass.pods[NODE] if asker.startswith("pod") else lab.address(asker)
    with ThreadPoolExecutor() as at_once:
        answering = at_once.submit(controller.tasks, way(NODE, service=GLASS, source=source, trace=10, **should_be))
        wait_until(lambda: TRACING in lab.on(NODE, "nft", "list", "tables"), within=30)
        with client_by(lab, glass, NODE):
            reached = {kind: seen(lab, glass, asker, glass.door(kind, lab.address(NODE)), times=30) for kind in KINDS}
        (answer,) = answering.result()
    assert not answer["failed"], answer["msg"]
    assert answer["backend"]["variant"] == "nftables"
    for path in answer["paths"]:
        kind = path["frontend"]["kind"]
        assert (path["verdict"], path["verdict_shares"]) == ("dnat", {"dnat": 1.0})
        ends = {(end["address"], end["source_seen"]) for end in path["endpoints"]}
        assert {address for address, _source in ends} == set(glass.pods.values())
        assert reached[kind] == ends, path["table"]
        assert any(f"goto {chain}-" in step["element"] for step in path["steps"] for chain in ("service", "external"))
    assert (answer["trace"]["agrees"], answer["trace"]["differences"]) == (True, [])
    # Of many at once only the first are traced.
    assert answer["trace"]["seen"] >= 5 * len(KINDS)
    assert rules(lab, NODE) == before


def test_nothing_is_wrong_with_the_rules(controller: Controller, should_be: dict[str, t.Any]) -> None:
    for told in ({}, should_be):
        (answer,) = controller.tasks(way(NODE, **told))
        assert not answer["failed"], answer["msg"]
        codes = {finding["code"] for finding in answer["findings"]}
        assert not codes & {*DRIFT, "both_backends", "no_kube_proxy"}, answer["findings"]


def test_saved_rules_say_the_same(controller: Controller, lab: Lab, glass: Glass, tmp_path: Path) -> None:
    (there,) = controller.tasks(way(NODE, service=GLASS))
    saved = tmp_path / "rules.json"
    saved.write_text(lab.on(NODE, "nft", "--json", "list", "table", "ip", "kube-proxy"))
    told = {"ruleset_src": str(saved), "local_addresses": [lab.address(NODE)]}
    (here,) = controller.tasks({"homecloud.k3s.kube_path_info": {"service": GLASS, **told}})
    for saved_way, way_there in zip(here["paths"], there["paths"]):
        assert saved_way["verdict"] == way_there["verdict"]
        of_kube_proxy = [step for step in way_there["steps"] if step["table"] == TABLE]
        assert [step["rule"] for step in saved_way["steps"]] == [step["rule"] for step in of_kube_proxy]


@pytest.mark.parametrize(
    ("host", "port", "verdict", "error"),
    [("127.0.0.1", NODE_PORT, "none", 7), ("cluster_ip", 81, "reject", 7), ("10.43.255.254", 80, "drop", 28)],
)
def test_what_this_mode_does_otherwise(
    controller: Controller, lab: Lab, glass: Glass, host: str, port: int, verdict: str, error: int
) -> None:
    address = glass.cluster_ip if host == "cluster_ip" else host
    source = "127.0.0.1" if host == "127.0.0.1" else lab.address(NODE)
    (answer,) = controller.tasks(way(NODE, destination=address, port=str(port), source=source))
    assert [path["verdict"] for path in answer["paths"]] == [verdict]
    assert lab.sh(NODE, f"curl --silent --max-time 2 http://{address}:{port}/ || echo $?").strip() == str(error)


def test_what_somebody_has_broken_is_found(
    controller: Controller, kubectl: Kubectl, lab: Lab, glass: Glass, should_be: dict[str, t.Any]
) -> None:
    url = glass.door("node_port", lab.address(NODE))
    assert lab.has_page(url)
    lab.sh(NODE, f"nft delete element {TABLE} service-nodeports '{{ tcp . {NODE_PORT} }}'")
    try:
        assert not lab.has_page(url)
        (answer,) = controller.tasks(way(NODE, service=GLASS, **should_be))
        found = {finding["code"]: finding for finding in answer["findings"]}
        assert f"tcp . {NODE_PORT} : goto external-" in found["missing_rule"]["rule"]
        verdicts = {path["frontend"]["kind"]: path["verdict"] for path in answer["paths"]}
        assert verdicts == {"cluster_ip": "dnat", "load_balancer": "dnat", "node_port": "none"}
    finally:
        restart(lab, kubectl)
    wait_until(lambda: lab.has_page(url))


def test_what_the_other_mode_has_left_is_found(controller: Controller, lab: Lab) -> None:
    left = "iptables -t nat -N KUBE-SERVICES; iptables -t nat -A KUBE-SERVICES -d 10.43.9.9 -j RETURN"
    lab.sh(NODE, left)
    try:
        (answer,) = controller.tasks(way(NODE))
    finally:
        lab.sh(NODE, "iptables -t nat -F KUBE-SERVICES; iptables -t nat -X KUBE-SERVICES")
    assert not answer["failed"], answer["msg"]
    assert answer["backend"]["variant"] == "nftables"
    (found,) = (finding for finding in answer["findings"] if finding["code"] == "both_backends")
    assert "iptables-nft" in found["evidence"]
