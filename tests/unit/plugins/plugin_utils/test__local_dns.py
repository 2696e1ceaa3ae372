# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from collections import defaultdict

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns import local_dns_file, local_dns_records
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, t.Any]
Pairs = list[tuple[str, str]]

MYSITE = "mysite.home.example"

LABELS = st.sampled_from(["a", "b", "_x", "x-1", "home", "EXAMPLE"])
NAMES = st.builds(
    lambda wildcard, labels, dot: f"{wildcard}{'.'.join(labels)}{dot}",
    st.sampled_from(["", "*."]),
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from(["", "."]),
)
ADDRESSES = st.one_of(st.ip_addresses(network="192.168.0.0/16").map(str), st.ip_addresses(network="fd00::/8").map(str))
RECORDS = st.dictionaries(NAMES, st.one_of(ADDRESSES, st.lists(ADDRESSES, min_size=1, max_size=3)), max_size=6)


def best(names: list[str]) -> str:
    """The longest name, all below it before itself."""
    return max(names, key=lambda name: (len(name.removeprefix("*.")), "*" in name), default="")


def meant(records: Json, name: str) -> list[str] | None:
    """The addresses of a name, and None if it is looked up outside. What is closest to the name decides."""
    if name in records:
        return t.cast("list[str]", records[name])
    closest = best([record for record in records if name.endswith(f".{record.removeprefix('*.')}")])
    if closest.startswith("*."):
        return t.cast("list[str]", records[closest])
    covered = any(record.startswith("*.") and closest.endswith(record[1:]) for record in records)
    return [] if covered else None


def dnsmasq(text: str, name: str) -> list[str] | None:
    """What dnsmasq makes of its file: records of hosts first, then the domain that fits best."""
    hosts, domains = defaultdict(list), defaultdict(list)
    for line in text.splitlines():
        option, _equals, value = line.partition("=")
        if option == "host-record":
            host, address = value.split(",")
            hosts[host].append(address)
        else:
            _empty, domain, action = value.split("/")
            domains[domain].append(action)
    fitting = [domain for domain in domains if domain == name or name.endswith(f".{domain.removeprefix('*.')}")]
    actions = domains[best(fitting)]
    return hosts.get(name) or (None if actions in ([], ["#"]) else [action for action in actions if action])


def unbound(text: str, name: str) -> list[str] | None:
    """What unbound makes of its file: the closest zone decides."""
    kinds = dict(re.findall(r'^  local-zone: "(.+)\." (.+)$', text, re.MULTILINE))
    data = re.findall(r'^  local-data: "(.+)\. (?:A|AAAA) (.+)"$', text, re.MULTILINE)
    zone = max((zone for zone in kinds if f".{name}".endswith(f".{zone}")), key=len, default="")
    found = [address for owner, address in data if owner == (zone if kinds.get(zone) == "redirect" else name)]
    return found if found or kinds.get(zone) == "static" else None


def records(own: object, *hosts: object, web: t.Sequence[str] = ("192.168.1.200",), form: str = "dnsmasq") -> Json:
    return local_dns_records(own, hosts, web, form)


def lines(form: str, own: Json) -> list[str]:
    return local_dns_file(records(own)["records"], form).splitlines()


def problems(own: object, *hosts: object, web: t.Sequence[str] = ("192.168.1.200",), form: str = "dnsmasq") -> Pairs:
    return [(fault["code"], fault["evidence"]) for fault in records(own, *hosts, web=web, form=form)["faults"]]


def test_records_of_the_user_and_of_web_services() -> None:
    own = {"NAS.home.example.": "192.168.1.10", "printer.home.example": ["fd00:0::1", "192.168.1.11"]}
    assert records(own, MYSITE, "*.apps.example", "nas.home.example") == {
        "records": {
            "*.apps.example": ["192.168.1.200"],
            "mysite.home.example": ["192.168.1.200"],
            "nas.home.example": ["192.168.1.10"],
            "printer.home.example": ["192.168.1.11", "fd00::1"],
        },
        "questions": {
            "local-dns-proof.apps.example": ["192.168.1.200"],
            "mysite.home.example": ["192.168.1.200"],
            "nas.home.example": ["192.168.1.10"],
            "printer.home.example": ["192.168.1.11", "fd00::1"],
        },
        "faults": [],
    }


@pytest.mark.parametrize(
    "name",
    [
        *("na s", "", "*", "*.", "a..b", "-a.example", "a-.example", "a.*.example", "x" * 64, "a." * 127 + "example"),
        *("192.168.1.300", "bücher.example", "a/b", "a,b", 'a"b', "a#b", "a\nb", 7),
    ],
)
def test_a_name_that_cannot_be(name: object) -> None:
    text = str(name).rstrip(".")
    assert problems({name: "192.168.1.10"}) == [
        ("invalid_record", f"local_dns_records: {text} is no name that DNS can have")
    ]
    assert problems({}, name) == [("invalid_record", f"local_dns_hosts: {text} is no name that DNS can have")]


@pytest.mark.parametrize(
    "address", ["192.168.1.300", "nas", "", None, 7.5, "0.0.0.0", "::", "127.0.0.1", "fe80::1%eth0", "224.0.0.1", {}]
)
def test_an_address_that_cannot_be(address: object) -> None:
    for value in (address, ["192.168.1.10", address]):
        assert problems({"nas": value}) == [
            ("invalid_record", f"local_dns_records: nas: {address} is no address of a host")
        ]


def test_records_that_are_no_map() -> None:
    assert problems(["nas"]) == [("invalid_record", "local_dns_records is no map: ['nas']")]


def test_nothing_is_known_of_traefik() -> None:
    assert problems({"mysite.home.example": "192.168.1.10"}, MYSITE, web=[]) == []
    assert problems({}, web=[]) == []
    (problem,) = problems({"nas": "192.168.1.10"}, MYSITE, web=[])
    assert problem == (
        "no_web_address",
        "local_dns_hosts: mysite.home.example; the Service kube-system/traefik has no address",
    )


def test_a_name_and_what_is_below_it() -> None:
    own = {"home.example": "192.168.1.10", "*.apps.example": ["192.168.1.200", "fd00::1"], "a.apps.example": "fd00::2"}
    assert lines("dnsmasq", own) == [
        "local=/*.apps.example/",
        "address=/*.apps.example/192.168.1.200",
        "address=/*.apps.example/fd00::1",
        "local=/a.apps.example/",
        "host-record=a.apps.example,fd00::2",
        "local=/home.example/",
        "server=/*.home.example/#",
        "host-record=home.example,192.168.1.10",
    ]
    assert lines("unbound", own) == [
        "server:",
        '  local-zone: "apps.example." redirect',
        '  local-data: "apps.example. A 192.168.1.200"',
        '  local-data: "apps.example. AAAA fd00::1"',
        '  local-zone: "a.apps.example." static',
        '  local-data: "a.apps.example. AAAA fd00::2"',
        '  local-zone: "home.example." transparent',
        '  local-data: "home.example. A 192.168.1.10"',
    ]


def test_a_name_with_the_same_address_as_all_below_it() -> None:
    own = {"home.example": "192.168.1.200", "*.home.example": "192.168.1.200"}
    assert "server=/*.home.example/#" not in lines("dnsmasq", own)
    assert lines("unbound", own) == [
        "server:",
        '  local-zone: "home.example." redirect',
        '  local-data: "home.example. A 192.168.1.200"',
    ]
    assert problems(own, form="unbound") == []


def test_what_a_form_cannot_say() -> None:
    own = {"home.example": "192.168.1.10", "*.home.example": "192.168.1.200"}
    assert problems(own) == []
    assert problems(own, form="unbound") == [
        ("unwritable_record", "*.home.example: 192.168.1.200; home.example: 192.168.1.10")
    ]
    assert problems(own, form="hosts") == [("unwritable_record", "*.home.example")]


def test_a_file_of_hosts() -> None:
    own = {"nas": ["fd00::1", "192.168.1.10"], "mysite.home.example": "192.168.1.200"}
    assert lines("hosts", own) == ["192.168.1.200 mysite.home.example", "192.168.1.10 nas", "fd00::1 nas"]


def test_an_address_that_is_given_twice() -> None:
    own = {"nas": ["192.168.1.10", "192.168.1.10"], "NAS.": "192.168.1.11"}
    assert records(own)["records"] == {"nas": ["192.168.1.10", "192.168.1.11"]}


@given(RECORDS, st.lists(NAMES, min_size=5))
def test_servers_understand_what_is_meant(own: Json, others: list[str]) -> None:
    found = records(own, form="unbound")
    names = [*found["records"], *others, *(f"{other}.{name}" for other in others for name in found["records"])]
    for name in {name.replace("*", "any").lower().rstrip(".") for name in names}:
        assert dnsmasq(local_dns_file(found["records"], "dnsmasq"), name) == meant(found["records"], name)
        # It answers for a name as for all below it.
        if not found["faults"] and f"*.{name}" not in found["records"]:
            assert unbound(local_dns_file(found["records"], "unbound"), name) == meant(found["records"], name)
