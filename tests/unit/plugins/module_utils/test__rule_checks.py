# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each finding about what is around the rules of kube-proxy: where it is so, and where it is not."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _rule_checks as checks
from ansible_collections.homecloud.k3s.plugins.module_utils._connection_checks import of_connections
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_frontends import Frontend
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import Backend, read_iptables
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import Surroundings, given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import look
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View, path_to, source_of

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._rule_findings import Finding

# A Service with two endpoints, one without, and one that has none on this node, as kube-proxy writes them.
RULES: t.Final = Path(__file__).parents[1] / "data/rules"
NAT: t.Final = (RULES / "nat.txt").read_text(encoding="utf-8")
FILTER: t.Final = (RULES / "filter.txt").read_text(encoding="utf-8")
AROUND: t.Final = given(
    4,
    ["192.168.1.10"],
    [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.42.0.0/24", "dev": "cni0", "prefsrc": "10.42.0.1"},
        {"dst": "10.42.1.0/24", "dev": "flannel.1"},
    ],
    "",
    "",
)
WEB: t.Final = Frontend("cluster_ip", "10.43.0.41", 80, "tcp", "default/web", "http")


def view(text: str = NAT + FILTER, around: Surroundings = AROUND) -> View:
    return look(read_iptables(text.splitlines()), around, ["10.42.0.0/16"])


def codes(findings: Iterable[Finding]) -> list[str]:
    return [found.code for found in findings]


def test_nothing_is_wrong_with_what_is_well() -> None:
    well = view()
    found = [
        *checks.of_dump(well),
        *checks.of_masquerading(well.ruleset.dump, "-s 10.42.0.0/16"),
        *checks.of_order(well),
        *checks.of_policy(well),
        *checks.of_foreign_matches(well),
        *checks.of_affinity(well),
        *of_connections(well, [WEB]),
    ]
    assert found == []


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        (
            {"iptables-nft": {"rules": 9, "kube_rules": 9}, "iptables-legacy": {"rules": 1, "kube_rules": 0}},
            ["both_backends"],
        ),
        ({"iptables-nft": {"rules": 9, "kube_rules": 9}, "iptables-legacy": {"rules": 0, "kube_rules": 0}}, []),
        (
            {"iptables-nft": {"rules": 9, "kube_rules": 9}, "iptables-legacy": {"rules": 9, "kube_rules": 9}},
            ["both_backends"],
        ),
        ({"iptables-nft": {"rules": 9, "kube_rules": 0}}, ["no_kube_proxy"]),
        # flannel has rules of iptables beside those of kube-proxy by nftables, and a firewall may have the reverse.
        ({"nftables": {"rules": 9, "kube_rules": 9}, "iptables-nft": {"rules": 9, "kube_rules": 0}}, []),
        ({"iptables-nft": {"rules": 9, "kube_rules": 9}, "nftables": {"rules": 9, "kube_rules": 0}}, []),
        ({"nftables": {"rules": 9, "kube_rules": 9}, "iptables-nft": {"rules": 9, "kube_rules": 1}}, ["both_backends"]),
        ({"iptables-nft": {"rules": 9, "kube_rules": 9}, "nftables": {"rules": 9, "kube_rules": 9}}, ["both_backends"]),
        (
            {
                "nftables": {"rules": 9, "kube_rules": 9},
                "iptables-nft": {"rules": 1, "kube_rules": 0},
                "iptables-legacy": {"rules": 1, "kube_rules": 0},
            },
            ["both_backends"],
        ),
        (
            {"iptables-nft": {"rules": 0, "kube_rules": 0}, "iptables-legacy": {"rules": 5, "kube_rules": 0}},
            ["no_kube_proxy"],
        ),
    ],
)
def test_backends(counts: dict[str, dict[str, int]], code: list[str]) -> None:
    assert codes(checks.of_backends(Backend(next(iter(counts)), "", counts))) == code


def test_the_variant_to_use_is_that_of_kube_proxy() -> None:
    counts = {"iptables-nft": {"rules": 1, "kube_rules": 0}, "iptables-legacy": {"rules": 9, "kube_rules": 9}}
    (found,) = checks.of_backends(Backend("iptables-legacy", "", counts))
    assert "which program uses iptables-nft, and have it use iptables-legacy" in found.advice


@pytest.mark.parametrize(
    ("old", "new", "evidence"),
    [
        ("*filter", "# Table `raw' is incompatible, use 'nft' tool.\n*filter", "The table raw is not in it."),
        (FILTER, FILTER.replace("COMMIT\n", ""), "The table filter has no COMMIT."),
        ("-A OUTPUT", "-Z OUTPUT", "line 14: -Z OUTPUT"),
        ("-m mark ! --mark 0x4000/0x4000 -j RETURN", "-j RETURN", "-A KUBE-POSTROUTING -j RETURN"),
        ("-m mark ! --mark 0x4000/0x4000", "-m mark", "-A KUBE-POSTROUTING -m mark -j RETURN"),
        ("-j KUBE-POSTROUTING", "[unsupported revision] -j KUBE-POSTROUTING", "[unsupported revision]"),
    ],
)
def test_a_dump_that_does_not_show_all(old: str, new: str, evidence: str) -> None:
    text = NAT + FILTER
    assert old in text
    (found,) = checks.of_dump(view(text.replace(old, new, 1)))
    assert found.code == "lossy_dump"
    assert evidence in found.evidence


def test_services_that_nobody_answers() -> None:
    found = list(checks.of_services(view().ruleset.dump, None))
    assert [(one.code, one.severity) for one in found] == [("no_endpoint", "warning"), ("no_local_endpoint", "info")]
    assert "default/none:http" in found[0].message
    assert codes(checks.of_services(view().ruleset.dump, ["default/far"])) == ["no_local_endpoint"]
    assert codes(checks.of_services(view().ruleset.dump, ["default/web"])) == []


def test_a_port_that_nobody_answers_is_told_once() -> None:
    line = next(line for line in FILTER.splitlines() if "default/none" in line)
    also = FILTER.replace(line, f"{line}\n{line.replace('10.43.0.45', '192.168.1.51')}")
    assert len(list(checks.of_services(view(NAT + also).ruleset.dump, ["default/none"]))) == 1


def test_pods_that_are_not_told_from_others() -> None:
    lines = NAT.splitlines()
    without = "\n".join(line for line in lines if "! -s 10.42.0.0/16" not in line)
    assert codes(checks.of_masquerading(view(without).ruleset.dump, "")) == ["no_masquerade"]
    # With others there are such rules: that one is missing is another finding.
    assert codes(checks.of_masquerading(view(without).ruleset.dump, "-s 10.42.0.0/16")) == []
    # All that comes for a cluster IP is masqueraded.
    for_all = NAT.replace("! -s 10.42.0.0/16 ", "")
    assert codes(checks.of_masquerading(view(for_all).ruleset.dump, "")) == []


DOCKER: t.Final = ":DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        (
            f"{DOCKER}-A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80\n",
            ["foreign_rule_first"],
        ),
        (f"{DOCKER}-A DOCKER -j RETURN\n", []),
        (f"{DOCKER}-A DOCKER -j DOCKER\n", []),
        ("-A PREROUTING -d 10.43.0.41/32 -j ACCEPT\n", ["foreign_rule_first"]),
        ("-A PREROUTING -j LOG\n", []),
    ],
)
def test_rules_before_those_of_kube_proxy(rule: str, found: list[str]) -> None:
    before = NAT.replace("-A PREROUTING", f"{rule}-A PREROUTING", 1)
    assert codes(checks.of_order(view(before))) == found
    after = NAT.replace("-A OUTPUT", f"{rule}-A OUTPUT", 1)
    assert codes(checks.of_order(view(after))) == []


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (":FORWARD DROP [0:0]", ["policy_drop"]),
        (":FORWARD DROP [0:0]\n-A FORWARD -s 10.42.0.0/16 -j ACCEPT", []),
        (":FORWARD DROP [0:0]\n-A FORWARD -m future -j ACCEPT", []),
        (":FORWARD ACCEPT [0:0]", []),
        (":FORWARD ACCEPT [0:0]\n:OURS - [0:0]\n-A FORWARD -j OURS\n-A OURS -j DROP", []),
        (":FORWARD DROP [0:0]\n:OURS - [0:0]\n-A FORWARD -j OURS\n-A OURS -j DROP", []),
        (":FORWARD DROP [0:0]\n-A FORWARD -m statistic --mode random --probability 0.5 -j DROP", ["policy_drop"]),
    ],
)
def test_a_policy_that_stops_pods(rules: str, found: list[str]) -> None:
    assert codes(checks.of_policy(view(NAT + FILTER.replace(":FORWARD ACCEPT [0:0]", rules)))) == found


def journey_findings(text: str) -> list[Finding]:
    here = view(text)
    source = source_of("192.168.1.77", "", here)
    _path, journey = path_to(WEB, source, here)
    return list(checks.of_journey(WEB, source, journey, here))


def test_a_way_that_a_policy_ends() -> None:
    (found,) = journey_findings(NAT + FILTER.replace(":FORWARD ACCEPT", ":FORWARD DROP"))
    assert (found.code, found.table, found.chain) == ("policy_drop", "filter", "FORWARD")
    assert "10.43.0.41" in found.message


def test_matches_on_a_way_that_cannot_be_told() -> None:
    rule = "-A FORWARD -m physdev --physdev-in eth1 -j DROP"
    text = NAT + FILTER.replace("-A FORWARD", f"{rule}\n-A FORWARD", 1)
    (found,) = journey_findings(text)
    assert (found.code, found.severity, found.rule) == ("unknown_match", "info", rule)
    assert "-m physdev" in found.message
    assert codes(checks.of_foreign_matches(view(text))) == ["unknown_match"]
    assert journey_findings(NAT + FILTER) == []
    # By then it is known where the packet goes.
    going_out = FILTER.replace("-A FORWARD", "-A FORWARD -o cni0 -j ACCEPT\n-A FORWARD", 1)
    assert journey_findings(NAT + going_out) == []


def test_a_way_that_rules_end_is_not_ended_by_a_policy() -> None:
    text = FILTER.replace(":FORWARD ACCEPT [0:0]", ":FORWARD DROP [0:0]\n-A FORWARD -j DROP")
    (found,) = journey_findings(NAT + text)
    assert (found.code, found.rule) == ("refused_by_others", "-A FORWARD -j DROP")


def test_a_part_that_others_refuse_is_told() -> None:
    rule = "-A FORWARD -d 10.42.0.2/32 -j REJECT"
    (found,) = journey_findings(NAT + FILTER.replace("-A FORWARD", f"{rule}\n-A FORWARD", 1))
    assert (found.code, found.severity, found.rule) == ("refused_by_others", "warning", rule)
    assert found.message.startswith("1/2 of what is sent to 10.43.0.41:80 from 192.168.1.77 is refused")


def test_sets_are_known_if_they_are_told() -> None:
    text = NAT + FILTER.replace("-A FORWARD", "-A FORWARD -m set --match-set friends src -j ACCEPT\n-A FORWARD", 1)
    assert codes(checks.of_foreign_matches(view(text))) == ["unknown_match"]
    told = replace(AROUND, sets={"friends": ["192.168.1.0/24"]})
    assert codes(checks.of_foreign_matches(view(text, told))) == []


TCP: t.Final = (
    "tcp 6 431999 ESTABLISHED src=192.168.1.77 dst=10.43.0.41 sport=51234 dport=80 "
    "src={} dst=192.168.1.10 sport=8080 dport=2222 [ASSURED] mark=0 use=1"
)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([TCP.format("10.42.0.2")], []),
        ([TCP.format("10.42.0.99"), TCP.format("10.42.0.99"), TCP.format("10.42.1.3")], ["info"]),
        ([TCP.format("10.42.0.99").replace("ESTABLISHED", "TIME_WAIT")], []),
        ([TCP.format("10.42.0.99").replace("10.43.0.41", "10.43.0.42")], []),
    ],
)
@pytest.mark.parametrize("more", [0, 30])  # with many front ends another way is taken
def test_connections_of_tcp_keep_their_endpoint(lines: list[str], found: list[str], more: int) -> None:
    kept = replace(AROUND, connections=tuple(lines))
    others = [replace(WEB, address=f"10.43.1.{number}") for number in range(more)]
    findings = list(of_connections(view(around=kept), [WEB, *others]))
    assert [one.severity for one in findings] == found
    for one in findings:
        assert one.code == "stale_conntrack"
        assert one.evidence.startswith("2 of them")
        assert "conntrack -D -p tcp --orig-dst 10.43.0.41 --orig-port-dst 80" in one.advice


def test_connections_of_udp_are_lost() -> None:
    text = (NAT + FILTER).replace("-p tcp", "-p udp").replace("-m tcp", "-m udp")
    line = TCP.format("10.42.0.99").replace("tcp 6 431999 ESTABLISHED", "udp 17 25")
    (found,) = of_connections(view(text, replace(AROUND, connections=(line,))), [replace(WEB, protocol="udp")])
    assert (found.code, found.severity) == ("stale_conntrack", "warning")


def test_connections_to_an_endpoint_are_well_though_the_rules_are_broken() -> None:
    broken = "\n".join(line for line in (NAT + FILTER).splitlines() if not line.startswith("-A PREROUTING"))
    lines = (TCP.format("10.42.0.2"), TCP.format("10.42.0.99"))
    (found,) = of_connections(view(broken, replace(AROUND, connections=lines)), [WEB])
    assert "10.42.0.99" in found.evidence


def test_connections_to_a_node_port_may_be_to_any_address_of_the_node() -> None:
    node_port = Frontend("node_port", AROUND.main_address, 80, "tcp", "default/web", "http")
    line = TCP.format("10.42.0.99").replace("dst=10.43.0.41", "dst=10.42.0.1")
    assert codes(of_connections(view(around=replace(AROUND, connections=(line,))), [node_port])) == ["stale_conntrack"]


def test_another_port_of_the_node_is_another() -> None:
    external = Frontend("external_ip", AROUND.main_address, 80, "tcp", "default/web", "http")
    line = TCP.format("10.42.0.99").replace("dst=10.43.0.41", "dst=10.42.0.1")
    assert codes(of_connections(view(around=replace(AROUND, connections=(line,))), [external])) == []


@pytest.mark.parametrize(("count", "found"), [(99, []), (100, ["affinity_table_full"])])
def test_lists_of_clients_are_full_sometime(count: int, found: list[str]) -> None:
    around = replace(AROUND, remembered={"KUBE-SEP-ERQQNJAYKLWLNZ6A": count, "other": 500}, most_remembered=100)
    findings = list(checks.of_affinity(view(around=around)))
    assert codes(findings) == found
    assert all("default/web:http" in one.message for one in findings)
