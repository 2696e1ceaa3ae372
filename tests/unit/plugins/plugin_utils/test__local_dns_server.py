# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._local_dns_server import local_dns_answers, local_dns_server

Json = dict[str, t.Any]

HERE = "192.168.1.102"
STUB: Json = {"protocol": "udp", "address": "127.0.0.53", "port": 53, "process": "systemd-resolve"}
OURS: Json = {"protocol": "udp", "address": HERE, "port": 53, "process": "dnsmasq"}
ROUTER = "nameserver 192.168.1.1"


def reading(**other: object) -> Json:
    """A host that can serve, with the resolver of systemd on it, but for what is OTHER."""
    return {
        "os": {"id": "debian", "id_like": [], "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"},
        "default_route": {"interface": "eth0", "gateway": "192.168.1.1", "address": HERE},
        "interfaces": [
            {"name": "lo", "kind": "loopback", "addresses": ["127.0.0.1/8"]},
            {"name": "eth0", "kind": "ethernet", "addresses": [f"{HERE}/24", "fd00::102/64"]},
            {"name": "cni0", "kind": "bridge", "addresses": ["10.42.0.1/24"]},
        ],
        "ports": [STUB, {**STUB, "protocol": "tcp"}],
        "firewall": [],
        **other,
    }


def serve(
    address: str = "", upstream: t.Sequence[str] = (), resolvers: t.Sequence[str] = (ROUTER,), **other: object
) -> Json:
    runs = bool(other.pop("runs", False))
    return local_dns_server(reading(**other), address, upstream, resolvers, [HERE, "192.168.1.103"], runs)


def faults(plan: Json) -> list[tuple[str, str]]:
    return [(fault["code"], fault["evidence"]) for fault in plan["faults"]]


def test_a_host_that_can_serve() -> None:
    assert serve() == {"address": HERE, "upstream": ["192.168.1.1"], "faults": []}
    assert serve(address="fd00::102", upstream=["fd00::1", "9.9.9.9#5353"]) == {
        "address": "fd00::102",
        "upstream": ["fd00::1", "9.9.9.9#5353"],
        "faults": [],
    }


@pytest.mark.parametrize(
    ("resolvers", "upstream"),
    [
        (
            ["# nothing\nnameserver\n", f"search home\n{ROUTER}\n{ROUTER}\nnameserver fd00::1 # second"],
            ["192.168.1.1", "fd00::1"],
        ),
        (["nameserver 9.9.9.9", ROUTER], ["9.9.9.9"]),
        (["nameserver 127.0.0.53\nnameserver ::1", ROUTER], ["192.168.1.1"]),
        ([f"nameserver {HERE}\nnameserver 192.168.1.103\n{ROUTER}"], ["192.168.1.1"]),
        (["nameserver fe80::1%eth0"], ["fe80::1%eth0"]),
    ],
)
def test_the_servers_that_the_host_uses(resolvers: list[str], upstream: list[str]) -> None:
    plan = serve(resolvers=resolvers)
    assert (plan["upstream"], plan["faults"]) == (upstream, [])


@pytest.mark.parametrize("resolvers", [[], ["", "nameserver 127.0.0.53"], [f"nameserver {HERE}"]])
def test_no_server_is_known(resolvers: list[str]) -> None:
    plan = serve(resolvers=resolvers)
    assert [code for code, _evidence in faults(plan)] == ["no_upstream"]
    assert "the router's, [192.168.1.1]" in plan["faults"][0]["advice"]


@pytest.mark.parametrize(
    ("server", "message"),
    [
        *(
            (server, "cannot be read")
            for server in ("router", "192.168.1.300", "9.9.9.9#0", "9.9.9.9#x", "9.9.9.9:53", "")
        ),
        *((server, "ask itself") for server in (HERE, f"{HERE}#53", "127.0.0.1#5353", "::1", "0.0.0.0", "10.42.0.1")),
    ],
)
def test_a_server_that_cannot_be_asked(server: str, message: str) -> None:
    plan = serve(upstream=["9.9.9.9", server])
    assert faults(plan) == [("invalid_upstream", f"local_dns_upstream: {server}")]
    assert message in plan["faults"][0]["message"]


@pytest.mark.parametrize("address", ["0.0.0.0", "::", HERE])
def test_another_program_has_the_port(address: str) -> None:
    plan = serve(ports=[STUB, {**OURS, "process": "pihole-FTL", "address": address}])
    assert faults(plan) == [("port_taken", f"pihole-FTL on {address} port 53/udp")]


def test_ports_that_do_not_matter() -> None:
    others = [{**OURS, "address": "192.168.122.1"}, {**OURS, "port": 5353}, {**OURS, "address": "10.42.0.1"}]
    assert serve(ports=[STUB, *others])["faults"] == []


def test_only_a_server_of_ours_may_listen_there() -> None:
    assert serve(ports=[STUB, OURS], runs=True)["faults"] == []
    assert faults(serve(ports=[OURS])) == [("port_taken", f"dnsmasq on {HERE} port 53/udp")]
    everywhere = {**OURS, "address": "0.0.0.0", "process": ""}
    assert faults(serve(ports=[OURS, everywhere], runs=True)) == [
        ("port_taken", "an unknown program on 0.0.0.0 port 53/udp")
    ]


@pytest.mark.parametrize(
    ("other", "evidence"),
    [
        ({"address": "192.168.1.9"}, f"address: 192.168.1.9; its own: 10.42.0.1, 127.0.0.1, {HERE}, fd00::102"),
        (
            {"default_route": None},
            f"address: none, as there is no default route; its own: 10.42.0.1, 127.0.0.1, {HERE}, fd00::102",
        ),
        ({"default_route": None, "interfaces": []}, "address: none, as there is no default route; its own: none"),
    ],
)
def test_a_host_without_the_address(other: Json, evidence: str) -> None:
    assert faults(serve(**other)) == [("no_address", evidence)]


@pytest.mark.parametrize(
    ("system", "like", "version", "is_fit"),
    [
        ("debian", [], "13", True),
        ("debian", [], "11", False),
        ("raspbian", ["debian"], "11", False),
        ("raspbian", ["debian"], "12", True),
        ("ubuntu", ["debian"], "22.04", True),
        ("fedora", [], "43", False),
    ],
)
def test_systems(system: str, like: list[str], version: str, is_fit: bool) -> None:
    plan = serve(os={"id": system, "id_like": like, "version_id": version, "pretty_name": "Some Linux"})
    assert faults(plan) == ([] if is_fit else [("unsupported_os", "Some Linux")])


@pytest.mark.parametrize(
    ("kind", "opens", "refused"),
    [
        ("ufw", [], "53/udp from 192.168.1.0/24, 53/tcp from 192.168.1.0/24"),
        ("firewalld", [("udp", 53, 53, "any")], "53/tcp from 192.168.1.0/24"),
        ("ufw", [("any", 53, 53, "192.168.1.7/32")], "53/udp from 192.168.1.0/24, 53/tcp from 192.168.1.0/24"),
        ("ufw", [("any", 54, 1023, "any")], "53/udp from 192.168.1.0/24, 53/tcp from 192.168.1.0/24"),
        ("ufw", [("any", 1, 1023, "192.168.0.0/16")], ""),
        ("ufw", [("udp", 53, 53, "192.168.1.0/24"), ("tcp", 53, 53, "any")], ""),
        ("nftables", [], ""),
    ],
)
def test_firewalls(kind: str, opens: list[tuple[str, int, int, str]], refused: str) -> None:
    openings = [{"protocol": p, "ports": [first, last], "source": source} for p, first, last, source in opens]
    plan = serve(firewall=[{"kind": kind, "evidence": "ENABLED=yes", "opens": openings}])
    assert faults(plan) == ([("firewall_blocks", f"ENABLED=yes; not admitted: {refused}")] if refused else [])


def test_what_the_server_answers() -> None:
    questions = {"mysite.home.example": ["192.168.1.200"], "nas.home.example": ["192.168.1.10"]}
    answers = {
        "mysite.home.example": {"status": "NOERROR", "addresses": ["192.168.1.200"]},
        "nas.home.example": {"status": "NOERROR", "addresses": ["192.168.1.10"]},
        "example.com": {"status": "NOERROR", "addresses": ["203.0.113.9"]},
    }
    assert local_dns_answers(answers, questions, ["example.com"], ["192.168.1.1"]) == []
    answers |= {
        "mysite.home.example": {"status": "NOERROR", "addresses": ["192.168.1.200", "2001:db8::1"]},
        "nas.home.example": {"status": "no answer: timed out", "addresses": []},
        "example.com": {"status": "SERVFAIL", "addresses": []},
    }
    found = local_dns_answers(answers, questions, ["example.com"], ["192.168.1.1"])
    assert [(fault["code"], fault["evidence"]) for fault in found] == [
        ("wrong_answer", "mysite.home.example: 192.168.1.200, 2001:db8::1; wanted: 192.168.1.200"),
        ("wrong_answer", "nas.home.example: no answer: timed out; wanted: 192.168.1.10"),
        ("not_forwarded", "example.com: SERVFAIL; it asks 192.168.1.1"),
    ]
