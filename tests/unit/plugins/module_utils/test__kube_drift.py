# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift that was made by hand on rules of the real kube-proxy, and none on those as it wrote them."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_drift import Drift, calls, differences, manner_of
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_endpoints import Place, choose, read_endpoints
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_rules import Manner, predict

DATA = Path(__file__).parents[1] / "data/iptables"
ADDRESS: t.Final = {4: "192.168.1.10", 6: "fd00::10"}
WEB: t.Final = "KUBE-SVC-CDGGSHYLG3RE2FKL"


def drift(text: str, family: int = 4) -> list[Drift]:
    dump = read_dump(text.splitlines())
    things = json.loads((DATA / f"services.v{family}.json").read_text(encoding="utf-8"))
    manner = manner_of(dump, family, ADDRESS[family])
    predicted: dict[tuple[str, str], list[str]] = {}
    titles = []
    for service in things["Services"]:
        for port in service["spec"]["ports"]:
            name = port.get("name") or ""
            choice = choose(read_endpoints(service, things["Slices"], name, family), Place("node1"))
            for place, lines in predict(service, port, choice, manner).items():
                predicted.setdefault(place, []).extend(lines)
            titles.append(f"default/{service['metadata']['name']}" + (f":{name}" if name else ""))
    return [*calls(dump), *differences(dump, predicted, titles)]


def captured(name: str = "v4.nft") -> str:
    return (DATA / f"{name}.txt").read_text(encoding="utf-8")


def line_with(*words: str) -> str:
    (line,) = (
        line for line in captured().splitlines() if line.startswith("-A") and all(word in line for word in words)
    )
    return line


def test_the_manner_is_seen_in_the_rules() -> None:
    assert manner_of(read_dump(captured().splitlines()), 4, "a") == Manner(4, "a", "-s 10.42.0.0/16", True)
    assert manner_of(read_dump(captured("v6.nft").splitlines()), 6, "a") == Manner(6, "a", "-s fd42::/56", False)


@pytest.mark.parametrize(("name", "family"), [("v4.nft", 4), ("v4.legacy", 4), ("v6.nft", 6)])
def test_rules_of_kube_proxy_itself_are_no_drift(name: str, family: int) -> None:
    assert drift(captured(name), family) == []


def test_neither_is_the_order_of_services_nor_what_others_do() -> None:
    others, nat = captured().split("*nat")
    fronts = [line for line in nat.splitlines() if line.startswith("-A KUBE-SERVICES -d")]
    turned = nat.replace("\n".join(fronts), "\n".join(reversed(fronts)))
    assert turned != nat
    foreign = turned.replace("-A POSTROUTING ", "-A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\n-A POSTROUTING ", 1)
    assert drift(f"{others}*nat{foreign}") == []


ENDPOINT: t.Final = line_with(WEB, "-> 10.42.0.2:8080")
FRONT: t.Final = line_with("KUBE-SERVICES", "default/web:http cluster IP")
CASES: t.Final = {
    "missing_jump": ('-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n', ""),
    "missing_rule": (FRONT + "\n", ""),
    "extra_rule": (ENDPOINT, f"-A {WEB} -s 192.168.1.66/32 -j RETURN\n{ENDPOINT}"),
    "stale_endpoint": (
        ENDPOINT,
        f'-A {WEB} -m comment --comment "default/web:http -> 10.42.0.99:8080" -j KUBE-SEP-AAAAAAAAAAAAAAAA\n{ENDPOINT}',
    ),
    "skewed_share": (ENDPOINT, ENDPOINT.replace("0.50000000000", "0.90000000000")),
    "duplicate_rule": (FRONT, f"{FRONT}\n{FRONT}"),
}


@pytest.mark.parametrize("code", CASES)
def test_each_drift_has_its_code(code: str) -> None:
    old, new = CASES[code]
    text = captured()
    assert text.count(old) == 1
    found = drift(text.replace(old, new))
    # The chain of an endpoint that is none leads nowhere, too.
    assert {drift.code for drift in found} - {"dangling_jump"} == {code}
    assert len([drift for drift in found if drift.code == code]) == 1


def test_a_call_that_leads_nowhere_is_found() -> None:
    gone = ":KUBE-MARK-MASQ - [0:0]\n"
    found = drift(captured().replace(gone, ""))
    assert {drift.code for drift in found} == {"dangling_jump"}
    assert {drift.detail for drift in found} == {"KUBE-MARK-MASQ"}


def test_a_comment_is_no_call() -> None:
    foreign = '-A INPUT -m comment --comment "not -j KUBE-NOWHERE" -j ACCEPT\n-A INPUT -j KUBE-FIREWALL'
    assert drift(captured().replace("-A INPUT -j KUBE-FIREWALL", foreign)) == []
