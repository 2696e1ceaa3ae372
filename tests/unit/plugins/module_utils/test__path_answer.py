# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import read_iptables
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import (
    Answer,
    Question,
    Unanswerable,
    answer,
    look,
)

RULES: t.Final = Path(__file__).parents[1] / "data/rules"
TEXT: t.Final = "".join((RULES / f"{table}.txt").read_text(encoding="utf-8") for table in ("nat", "filter"))
ROUTES: t.Final = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0", "prefsrc": "10.42.0.1"},
    {"dst": "10.42.1.0/24", "dev": "flannel.1"},
]


def asked(question: Question | None = None, text: str = TEXT) -> Answer:
    ruleset = read_iptables(text.splitlines())
    return answer(question or Question(), [look(ruleset, given(4, ["192.168.1.10"], ROUTES, "", ""), [])])


def service(name: str, **spec: object) -> dict[str, t.Any]:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": "10.43.0.41", "ports": [{"name": "http", "port": 80}], **spec},
    }


def test_the_ways_to_a_service() -> None:
    found = asked(Question(service="default/web"))
    ends = [(path.frontend.kind, path.frontend.address, path.verdict, len(path.endpoints)) for path in found.paths]
    assert ends == [("cluster_ip", "10.43.0.41", "dnat", 2), ("node_port", "192.168.1.10", "dnat", 2)]
    assert found.paths[0].source.kind == "external"


@pytest.mark.parametrize("port", ["http", "80", "", "30080"])
def test_a_port_has_a_name_or_a_number(port: str) -> None:
    paths = asked(Question(service="default/web", port=port)).paths
    assert [path.frontend.port for path in paths] == ([30080] if port == "30080" else [80, 30080])


def test_an_address_may_be_that_of_a_service() -> None:
    (path,) = asked(Question(destination="10.43.0.41", port="80", source="10.42.0.9")).paths
    assert (path.frontend.service, path.frontend.kind, path.source.kind) == ("default/web", "cluster_ip", "pod")
    (path,) = asked(Question(destination="10.43.0.41", port="81")).paths
    assert (path.frontend.service, path.frontend.kind, path.verdict) == ("", "other", "none")


def test_an_address_of_the_node_may_be_that_of_a_service() -> None:
    (path,) = asked(Question(destination="10.42.0.1", port="30080")).paths
    assert (path.frontend.service, path.frontend.kind) == ("default/web", "node_port")
    (path,) = asked(Question(destination="192.168.1.99", port="30080")).paths
    assert (path.frontend.service, path.frontend.kind) == ("", "other")


def test_what_a_way_shows_is_a_finding() -> None:
    dropping = TEXT.replace(":FORWARD ACCEPT", ":FORWARD DROP")
    messages = [finding.message for finding in asked(Question(service="default/web"), dropping).findings]
    assert any("10.43.0.41:80 from 203.0.113.1 is dropped by the policy" in message for message in messages)


def test_what_is_wrong_with_others_is_left_out() -> None:
    other = '-A KUBE-SERVICES -d 10.43.0.99/32 -p tcp -m comment --comment "default/other:http cluster IP"'
    broken = TEXT.replace(
        "-A KUBE-SERVICES", f"{other} -m tcp --dport 80 -j KUBE-SVC-OOOOOOOOOOOOOOOO\n-A KUBE-SERVICES", 1
    )
    assert "dangling_jump" in {finding.code for finding in asked(text=broken).findings}
    assert "dangling_jump" not in {finding.code for finding in asked(Question(service="default/web"), broken).findings}


def test_neither_asks_for_all_that_is_wrong() -> None:
    found = asked()
    assert found.paths == []
    assert {finding.code for finding in found.findings} >= {"no_endpoint", "no_local_endpoint"}


def test_of_a_service_only_what_matters_for_it_is_told() -> None:
    codes = {finding.code for finding in asked(Question(service="default/none")).findings}
    assert "no_endpoint" in codes
    assert "no_local_endpoint" not in codes


def test_the_worst_comes_first() -> None:
    text = TEXT.replace('-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n', "")
    severities = [finding.severity for finding in asked(text=text).findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert asked(text=text).findings[0].code == "missing_jump"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (
            Question(service="default/wib"),
            "No rule of this node is for a Service default/wib.* Did you mean default/web?",
        ),
        (Question(service="other/far"), "Did you mean default/far?"),
        (
            Question(service="default/web", port="99"),
            "not reached by port 99. It is reached at 10.43.0.41 port 80/tcp http",
        ),
        (Question(service="default/web", protocol="udp"), "not reached by protocol udp"),
        (Question(service="default/web", source="fd00::1"), "not reached by source fd00::1"),
    ],
)
def test_what_the_rules_do_not_have_is_told(question: Question, message: str) -> None:
    with pytest.raises(Unanswerable, match=message):
        asked(question)


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ([service("xyz")], "There is no Service default/web in the cluster. There are default/xyz."),
        ([], "There are none at all."),
        ([service("web", clusterIP="None")], "is headless"),
        ([service("web", type="ExternalName", externalName="example.org")], "ExternalName: .* example.org"),
    ],
)
def test_what_the_cluster_does_not_have_is_told(services: list[dict[str, t.Any]], message: str) -> None:
    with pytest.raises(Unanswerable, match=message):
        asked(Question(service="default/web", services=services, slices=[], place=Place("node1")))


def test_ipvs_is_refused() -> None:
    with pytest.raises(Unanswerable, match=r"IPVS.*KUBE-NODE-PORT"):
        asked(text="*nat\n:KUBE-NODE-PORT - [0:0]\nCOMMIT\n")


def test_what_a_dump_does_not_show_is_not_called_gone() -> None:
    lossy = TEXT.replace("-m mark ! --mark 0x4000/0x4000 ", "")
    found = asked(text=lossy).findings
    about = [finding.code for finding in found if finding.chain == "KUBE-POSTROUTING"]
    assert about == ["lossy_dump"]
