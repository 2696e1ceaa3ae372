# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils import _node_rules, _node_surroundings
from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Traced
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend

    Thing = dict[str, t.Any]
    Run = t.Callable[..., Thing]

MODULE = kube_path_info
RULES: t.Final = Path(__file__).parents[1] / "data/rules"
TEXT: t.Final = "".join((RULES / f"{table}.txt").read_text(encoding="utf-8") for table in ("nat", "filter"))
RETURNED: t.Final = yaml.safe_load(kube_path_info.RETURN)
# What there is where kube-proxy is in its mode nftables.
OF_KUBELET: t.Final = "*filter\n:INPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n-A KUBE-FIREWALL -j DROP\nCOMMIT\n"
NODE: t.Final = {"local_addresses": ["192.168.1.10"], "routes": [{"dst": "default", "dev": "eth0"}]}


def test_a_way(run: Run) -> None:
    result = run(service="web", ruleset=TEXT, _ansible_check_mode=True, **NODE)
    assert result["changed"] is False
    path, to_the_node = result["paths"]
    assert to_the_node["frontend"]["kind"] == "node_port"
    assert path["frontend"] == {
        "kind": "cluster_ip",
        "address": "10.43.0.41",
        "port": 80,
        "protocol": "tcp",
        "service": "default/web",
        "port_name": "http",
    }
    assert path["source"] == {"address": "203.0.113.1", "kind": "external", "interface": "eth0"}
    assert (path["verdict"], path["verdict_shares"], path["masquerade"]) == ("dnat", {"dnat": 1.0}, "always")
    assert [(end["address"], end["port"], end["share"]) for end in path["endpoints"]] == [
        ("10.42.0.2", 8080, 0.5),
        ("10.42.1.3", 8080, 0.5),
    ]
    assert path["steps"][0]["rule"].endswith('--comment "kubernetes service portals" -j KUBE-SERVICES')
    assert path["table"][0].split() == ["STEP", "TABLE", "CHAIN", "MATCHED", "ACTION", "SHARE"]
    assert len(path["table"]) == len(path["steps"]) + 1


def test_all_that_is_returned_is_documented(run: Run) -> None:
    result = run(service="default/none", ruleset=TEXT, **NODE)
    assert {"paths", "findings", "backend"} <= result.keys()
    assert RETURNED.keys() == {"paths", "findings", "backend", "trace"}
    ways = run(service="web", ruleset=TEXT, **NODE)["paths"]
    same_keys(RETURNED["paths"], ways)
    same_keys(RETURNED["findings"], result["findings"])
    same_keys(RETURNED["backend"], [result["backend"]])


def same_keys(documented: Thing, things: list[Thing]) -> None:
    """What is documented of things, and what they are, and the same of all in them."""
    assert things
    for thing in things:
        assert thing.keys() == documented["contains"].keys()
        for key, part in documented["contains"].items():
            if "contains" in part:
                same_keys(part, thing[key] if part["type"] == "list" else [thing[key]])


def test_files_may_be_compressed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert (
        run(service="web", ruleset_src=str(tmp_path / "rules.gz"))["paths"] == run(service="web", ruleset=TEXT)["paths"]
    )


def test_without_a_question_all_that_is_wrong_is_told(run: Run) -> None:
    result = run(ruleset=TEXT)
    assert result["paths"] == []
    assert "no_endpoint" in {finding["code"] for finding in result["findings"]}


def test_without_rules_of_kube_proxy_that_is_what_is_wrong(run: Run) -> None:
    assert [finding["code"] for finding in run(ruleset=OF_KUBELET)["findings"]] == ["no_kube_proxy"]


def test_a_node_is_read_by_both_families(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    dumps = {4: TEXT, 6: TEXT.replace("10.43.0.41/32", "fd43::41/128")}
    read = []

    def rules(_tree: object, family: int) -> list[_node_rules.Ruleset]:
        read.append(family)
        ruleset = _node_rules.read_iptables(dumps[family].splitlines())
        ruleset.family = family
        return [ruleset]

    def around(_tree: object, family: int) -> _node_surroundings.Surroundings:
        return _node_surroundings.given(family, ["192.168.1.10", "fd00::10"], [], "", "")

    monkeypatch.setattr(_node_rules, "read_node", rules)
    monkeypatch.setattr(_node_surroundings, "read_node", around)
    addresses = {path["frontend"]["address"] for path in run(service="web")["paths"]}
    assert addresses == ({"10.43.0.41", "192.168.1.10", *({"fd43::41", "fd00::10"} if 6 in read else ())})
    read.clear()
    run(destination="10.43.0.41", port="80")
    assert read == [4]


def test_rules_of_kube_proxy_are_told_from_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    legacy = "# Generated by iptables-save v1.8.9 on Sun\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j DROP\nCOMMIT\n"
    none = _node_rules.read_iptables(["# Generated by ip6tables-save v1.8.9 (nf_tables) on Sun"])
    of_four = [_node_rules.read_iptables(text.splitlines()) for text in (legacy, TEXT)]
    monkeypatch.setattr(_node_rules, "read_node", lambda _tree, family: of_four if family == 4 else [none])
    result = run(service="web")
    assert [path["frontend"]["kind"] for path in result["paths"]] == ["cluster_ip", "node_port"]
    assert result["backend"]["variant"] == "iptables-nft"
    assert "both_backends" in {finding["code"] for finding in result["findings"]}
    # IPv6, of which kube-proxy has no rules here, lacks nothing.
    assert not [finding for finding in run()["findings"] if finding["table"] == "raw"]
    assert result["findings"] == run(service="web", _ansible_check_mode=True)["findings"]


@pytest.mark.parametrize("version", ["v1.31.4", "v1.33.4", "v1.36.2"])
def test_a_way_by_nftables(run: Run, version: str) -> None:
    result = run(service="web", ruleset=CapturedNft(version).json, **NODE)
    assert (result["backend"]["variant"], result["findings"]) == ("nftables", [])
    four, six = result["paths"]
    assert (four["frontend"]["address"], six["frontend"]["address"]) == ("10.43.0.10", "fd43::10")
    assert (four["frontend"]["kind"], four["verdict_shares"], four["masquerade"]) == (
        "cluster_ip",
        {"dnat": 1.0},
        "always",
    )
    assert sorted(end["address"] for end in four["endpoints"]) == ["10.42.0.10", "10.42.0.2", "10.42.1.3"]
    elements = {step["element"]: step for step in four["steps"]}
    sent = elements["10.43.0.10 . tcp . 80 : goto service-SUSTUHLJ-default/web/tcp/http"]
    assert sent["rule"] == "ip daddr . meta l4proto . th dport vmap @service-ips"
    assert sent["action"] == "continue in service-SUSTUHLJ-default/web/tcp/http"
    assert {step["table"] for step in four["steps"]} == {"ip kube-proxy"}
    same_keys(RETURNED["paths"], result["paths"])


@pytest.mark.parametrize(
    ("asked", "verdict", "reason"),
    [
        ({"service": "not-ready"}, "reject", 'reject-chain: .* comment "default/not-ready:http" : goto reject-chain.'),
        ({"destination": "10.43.0.34", "port": "80"}, "drop", 'comment "default/inside-none:http" : drop.'),
        ({"destination": "10.43.0.10", "port": "81"}, "reject", "Reject traffic to invalid ports of ClusterIPs."),
        ({"destination": "10.43.99.9", "port": "80"}, "drop", "Drop traffic to unallocated ClusterIPs."),
        ({"destination": "192.168.1.56", "port": "80"}, "drop", "firewall-LM7LCMY3-default/ranges-others/tcp/http: "),
    ],
)
def test_why_nftables_refuse_a_packet(run: Run, asked: Thing, verdict: str, reason: str) -> None:
    result = run(ruleset=CapturedNft().json, source="10.42.0.9", **asked, **NODE)
    path = result["paths"][0]
    assert path["verdict"] == verdict
    assert re.search(reason, path["reason"])
    assert "refused_by_others" not in {finding["code"] for finding in result["findings"]}


def test_node_ports_at_the_loopback_interface_are_not_for_nftables(run: Run) -> None:
    asked = {"destination": "127.0.0.1", "port": "30106", "source": "127.0.0.1"}
    result = run(ruleset=CapturedNft().json, **asked, **NODE)
    assert [path["verdict"] for path in result["paths"]] == ["none"]
    (found,) = (finding for finding in result["findings"] if finding["code"] == "no_loopback_node_port")
    assert (found["severity"], "default/node-port" in found["message"]) == ("info", True)
    asked = {**asked, "destination": "192.168.1.10", "source": "192.168.1.10"}
    assert run(ruleset=CapturedNft().json, **asked, **NODE)["findings"] == []


def test_addresses_of_the_node_may_be_in_its_rules(run: Run) -> None:
    ways = run(service="node-port", ruleset=CapturedNft().json, routes=NODE["routes"])["paths"]
    ports = {path["frontend"]["address"]: path["verdict"] for path in ways if path["frontend"]["kind"] == "node_port"}
    assert ports == {"192.168.1.10": "dnat", "fd00::10": "dnat"}
    # What is at another address cannot be known then.
    asked = {"destination": "192.168.1.11", "port": "30106", "ruleset": CapturedNft(configuration="every-address").json}
    assert run(**asked)["paths"][0]["verdict"] == "unknown"


def firewall(policy: str, *rules: list[Thing]) -> str:
    """Rules of kube-proxy beside those of a firewall of nftables, which sees what is on its way through the node."""
    own = {"family": "inet", "table": "firewall"}
    base = {"type": "filter", "hook": "forward", "prio": 10, "policy": policy}
    things: list[Thing] = [{"table": {"family": "inet", "name": "firewall"}}, {"chain": {**own, "name": "way", **base}}]
    things += [{"rule": {**own, "chain": "way", "handle": 1, "expr": rule}} for rule in rules]
    text = json.dumps(things)
    return CapturedNft().json.replace('{"nftables": [', f'{{"nftables": [{text[1:-1]}, ', 1)


def test_the_policy_of_another_table_counts_too(run: Run) -> None:
    result = run(service="web", ruleset=firewall("drop"), **NODE)
    path = result["paths"][0]
    assert (path["verdict"], path["endpoints"]) == ("drop", [])
    assert path["reason"].endswith("is dropped by the policy of inet firewall/way.")
    assert {finding["code"] for finding in result["findings"]} == {"policy_drop"}


def test_rules_of_another_table_count_too(run: Run) -> None:
    to_a_pod = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.42.0.2"}}
    unknown = {"match": {"op": "==", "left": {"meta": {"key": "cgroup"}}, "right": 1}}
    some = {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "10.42.1.3"}}
    result = run(service="web", ruleset=firewall("accept", [to_a_pod, {"drop": None}]), **NODE)
    path = result["paths"][0]
    assert path["verdict_shares"] == {"dnat": 0.66666667, "drop": 0.33333333}
    (refused,) = (finding for finding in result["findings"] if finding["severity"] != "info")
    assert (refused["code"], refused["table"], refused["rule"]) == (
        "refused_by_others",
        "inet firewall",
        "ip daddr 10.42.0.2 drop",
    )
    result = run(service="web", ruleset=firewall("accept", [some, unknown, {"drop": None}]), **NODE)
    assert result["paths"][0]["verdict"] == "unknown"
    (found,) = result["findings"]
    assert (found["code"], found["rule"]) == ("unknown_match", "ip daddr 10.42.1.3 meta cgroup 1 drop")
    result = run(service="web", ruleset=firewall("accept", [some, {"queue": {"num": 1}}]), **NODE)
    (found,) = result["findings"]
    assert (found["code"], "what it does" in found["message"]) == ("unknown_match", True)


@pytest.fixture(name="on_a_node")
def on_a_node_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module runs on a node that has these rules."""
    ruleset = _node_rules.read_iptables(TEXT.splitlines())
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "10.42.0.0/16", "dev": "cni0"}]
    around = _node_surroundings.given(4, ["192.168.1.10"], routes, "", "")
    monkeypatch.setattr(_node_rules, "read_node", lambda _tree, family: [ruleset] if family == 4 else [])
    monkeypatch.setattr(_node_surroundings, "read_node", lambda _tree, _family: around)


@pytest.mark.usefixtures("on_a_node")
def test_the_kernel_is_asked_to_confirm(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def watch(fronts: list[Frontend], source: str, seconds: int) -> tuple[list[Traced], bool]:
        asked.append(([front.address for front in fronts], source, seconds))
        # The first step of the way of a packet that was lost then.
        return [Traced("tcp", "127.0.0.1", 40000, "10.43.0.41", 80, 0, 4, [("ip nat", "OUTPUT", 1)])], False

    monkeypatch.setattr(kube_path_info, "watch", watch)
    trace = run(service="web", source="192.168.1.10", trace=3)["trace"]
    assert asked == [(["10.43.0.41", "192.168.1.10"], "192.168.1.10", 3)]
    same_keys(RETURNED["trace"], [trace])
    assert (trace["seen"], trace["agrees"]) == (1, False)
    assert "does not come to nat -A KUBE-SERVICES" in trace["differences"][0]
    assert "more packets than could be read" in trace["differences"][1]
    assert "trace" not in run(service="web", trace=3, _ansible_check_mode=True)
    assert len(asked) == 1


@pytest.mark.usefixtures("on_a_node")
def test_that_nobody_came_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_path_info, "watch", lambda *_asked: ([], True))
    trace = run(service="web", trace=1)["trace"]
    assert (trace["seen"], trace["agrees"]) == (0, False)
    assert trace["differences"] == ["No first packet of a connection to it came by in 1 s."]


def test_the_legacy_variant_has_no_trace(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = _node_rules.read_iptables(["# Generated by iptables-save v1.8.9 on Sun", *TEXT.splitlines()])
    monkeypatch.setattr(_node_rules, "read_node", lambda _tree, family: [ruleset] if family == 4 else [])
    assert "of which nftables has no trace" in run(service="web", trace=1)["msg"]


def test_networks_of_pods_may_be_given(run: Run) -> None:
    (way, _node_port) = run(service="web", ruleset=TEXT, source="10.99.0.1", pod_cidrs=["10.99.0.0/16"])["paths"]
    assert way["source"]["kind"] == "pod"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"service": "wib"}, "Did you mean default/web?"),
        ({"destination": "10.43.0.41", "port": "http"}, "port is http. With a destination it is a number"),
        ({"destination": "10.43.0.41", "port": "70000"}, "a number from 1 to 65535"),
        ({"destination": "nowhere", "port": "80"}, 'destination has "nowhere", which is not an IPv4 or IPv6 address'),
        ({"source": "10.42.0.0/16", "service": "web"}, 'source has "10.42.0.0/16"'),
        ({"local_addresses": ["192.168.1.10", "x"]}, 'local_addresses has "x"'),
        ({"pod_cidrs": ["10.42.0.1/16"]}, 'pod_cidrs has "10.42.0.1/16", which is not a network'),
        ({"port": "80"}, "neither service nor destination is given"),
        ({"services": [{}], "endpoint_slices": []}, "services has an object without a name, a namespace or spec"),
        ({"services": [], "endpoint_slices": [{"metadata": None}]}, "endpoint_slices has an object without"),
        ({"services": [], "endpoint_slices": []}, "node_name is not given"),
        ({"services": []}, "parameters are required together: services, endpoint_slices"),
        ({"service": "web", "destination": "10.43.0.41", "port": "80"}, "mutually exclusive"),
        ({"destination": "10.43.0.41"}, "missing parameter(s) required by 'destination': port"),
        ({"ruleset": "nothing of the kind"}, "ruleset has no table"),
        ({"ruleset": ""}, "ruleset has no table"),
        ({"service": "web", "trace": 5}, "trace needs a service or destination, and no ruleset"),
        ({"service": "web", "ruleset": OF_KUBELET}, "no rules of kube-proxy here"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, options: Thing, message: str) -> None:
    result = run(**{"ruleset": TEXT, **options})
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_file_that_cannot_be_read_is_told(run: Run, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in run(ruleset_src=str(tmp_path / "none"))["msg"]
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(TEXT.encode())[:-9])
    assert str(cut) in run(ruleset_src=str(cut))["msg"]
    (tmp_path / "damaged.gz").write_bytes(b"\x1f\x8b" + b"\0" * 99)
    assert run(ruleset_src=str(tmp_path / "damaged.gz"))["failed"] is True
