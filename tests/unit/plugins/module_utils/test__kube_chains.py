# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import read_dump
from ansible_collections.homecloud.k3s.plugins.module_utils._kube_chains import (
    endpoint_hash,
    port_title,
    service_hash,
    title_hash,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured, everything


@pytest.mark.parametrize(
    ("namespace", "name", "port_name", "protocol", "expected"),
    [
        ("ns1", "svc1", "p80", "TCP", "XPGD46QRK7WJZT7O"),
        ("default", "kubernetes", "https", "TCP", "NPX46M4PTMTKRN6Y"),
        ("kube-system", "kube-dns", "dns", "UDP", "TCOU7JCQXEZGVUNU"),
        ("kube-system", "kube-dns", "dns-tcp", "TCP", "ERIFXISQEP7F7OF4"),
        ("kube-system", "kube-dns", "metrics", "TCP", "JD5MR3NA4I4DYORP"),
        ("office-test", "ssm", "", "TCP", "44BM3T27ZTTFDC34"),
    ],
)
def test_chains_of_known_services(namespace: str, name: str, port_name: str, protocol: str, expected: str) -> None:
    assert service_hash(namespace, name, port_name, protocol) == expected


def test_the_chain_of_an_endpoint() -> None:
    assert endpoint_hash("ns1", "svc1", "p80", "TCP", "10.180.0.1:80") == "SXIVWICOYRO3J4NJ"


@pytest.mark.parametrize(("port_name", "title"), [("http", "ns/web:http"), ("", "ns/web")])
def test_a_port_is_named_by_its_title(port_name: str, title: str) -> None:
    assert port_title("ns", "web", port_name) == title
    assert title_hash(title, "tcp") == service_hash("ns", "web", port_name, "TCP")
    assert title_hash(title, "UDP", "[fd42::1]:53") == endpoint_hash("ns", "web", port_name, "udp", "[fd42::1]:53")


def test_what_is_no_character_is_in_the_name_of_no_chain() -> None:
    assert title_hash("ns/web:\udcff", "tcp") == title_hash("ns/web:?", "tcp")


# With many endpoints there are few comments that say what a chain is for.
@pytest.mark.parametrize("captured", [one for one in everything() if one.configuration != "many"], ids=str)
def test_all_chains_of_kube_proxy_are_predicted(captured: Captured) -> None:
    chains = read_dump(captured.text.splitlines()).tables["nat"]
    predicted = 0
    for rule in (rule for chain in chains.values() for rule in chain.rules):
        told = re.match(r"([^/ ]+)/([^/: ]+)(?::(\S+))?(?: -> (\S+))?", rule.comment)
        kind, _dash, ending = rule.target.rpartition("-")
        if told and kind.startswith("KUBE-"):
            namespace, name, port_name, endpoint = told.groups(default="")
            # A jump to an endpoint does not say of which protocol it is, the end of its chain does.
            last = chains[rule.target].rules[-1] if kind == "KUBE-SEP" else rule
            protocol = next((o.value for match in last.matches for o in match.options if o.name == "-p"), "")
            if kind == "KUBE-SEP" and endpoint:
                assert ending == endpoint_hash(namespace, name, port_name, protocol, endpoint), rule.text
                predicted += 1
            elif kind != "KUBE-MARK" and protocol:
                assert ending == service_hash(namespace, name, port_name, protocol), rule.text
                predicted += 1
    assert predicted > 50
