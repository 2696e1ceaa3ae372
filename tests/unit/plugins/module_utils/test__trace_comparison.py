# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Traced
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import NFTABLES, read_iptables, read_text
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._path_answer import look
from ansible_collections.homecloud.k3s.plugins.module_utils._trace_comparison import Trace, compare
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Place

RULES: t.Final = Path(__file__).parents[1] / "data/rules"
TEXT: t.Final = "".join((RULES / f"{table}.txt").read_text(encoding="utf-8") for table in ("nat", "filter"))
ROUTES: t.Final = [
    {"dst": "default", "dev": "eth0"},
    {"dst": "10.42.0.0/24", "dev": "cni0"},
    {"dst": "10.42.1.0/24", "dev": "flannel.1"},
]
WEB, ONE, OTHER = "KUBE-SVC-CDGGSHYLG3RE2FKL", "KUBE-SEP-ERQQNJAYKLWLNZ6A", "KUBE-SEP-GLCJAZW74JSTM72F"
# What the kernel tells of a client on the LAN for which the lot falls on the second endpoint.
TO_OTHER: t.Final[list[Place]] = [
    ("ip nat", "PREROUTING", 1), ("ip nat", "KUBE-SERVICES", 1), ("ip nat", WEB, 1), ("ip nat", "KUBE-MARK-MASQ", 1),
    ("ip nat", WEB, 3), ("ip nat", OTHER, 2), ("ip filter", "FORWARD", 1), ("ip nat", "POSTROUTING", 1),
    ("ip nat", "KUBE-POSTROUTING", 2), ("ip nat", "KUBE-POSTROUTING", 3),
]  # fmt: skip
TO_ONE: t.Final[list[Place]] = [*TO_OTHER[:4], ("ip nat", WEB, 2), ("ip nat", ONE, 2), *TO_OTHER[6:]]
CLIENT: t.Final = Traced("tcp", "192.168.1.77", 40000, "10.43.0.41", 80, 2, 4, TO_OTHER)


def compared(*traced: Traced, text: str = TEXT) -> Trace:
    view = look(read_iptables(text.splitlines()), given(4, ["192.168.1.10"], ROUTES, "", ""), [])
    return compare(traced, [view], {2: "eth0"}.__getitem__)


def test_what_goes_as_explained_agrees() -> None:
    trace = compared(CLIENT, replace(CLIENT, places=TO_ONE), CLIENT)
    assert (trace.seen, trace.agrees, trace.differences) == (3, True, [])
    assert [(step.number, step.chain, step.seen) for step in trace.steps][:2] == [
        (1, "PREROUTING", 3),
        (2, "KUBE-SERVICES", 3),
    ]
    assert {step.chain: step.seen for step in trace.steps if step.chain in (ONE, OTHER)} == {ONE: 1, OTHER: 2}
    assert all(step.rule.startswith(f"-A {step.chain} ") for step in trace.steps)


def test_without_packets_nothing_agrees() -> None:
    assert compared() == Trace()


@pytest.mark.parametrize(
    ("places", "difference"),
    [
        (TO_OTHER[:-1], "does not come to nat -A KUBE-POSTROUTING"),
        ([*TO_OTHER, ("ip nat", WEB, 1)], f"goes on to nat -A {WEB}"),
        ([*TO_OTHER[:2], *TO_OTHER[4:]], "at step 3 the kernel matches nat"),
    ],
)
def test_where_the_kernel_goes_otherwise_is_told(places: list[Place], difference: str) -> None:
    trace = compared(replace(CLIENT, places=places), replace(CLIENT, places=places))
    (told,) = trace.differences
    assert not trace.agrees
    assert told.startswith("From 192.168.1.77 to 10.43.0.41 port 80: ")
    assert difference in told


def test_rules_that_were_written_anew_are_told() -> None:
    (told,) = compared(replace(CLIENT, unknown=[("ip nat", "KUBE-SERVICES")])).differences
    assert "rules of nat/KUBE-SERVICES were written anew meanwhile" in told


def test_a_client_that_is_remembered_goes_where_it_went_before() -> None:
    ask = f"-m recent --rcheck --seconds 10800 --reap --name {OTHER} --mask 255.255.255.255 --rsource -j {OTHER}"
    text = TEXT.replace(f"-A {WEB} -m comment", f"-A {WEB} {ask}\n-A {WEB} -m comment", 1)
    remembered: list[Place] = [*TO_OTHER[:4], ("ip nat", WEB, 2), *TO_OTHER[5:]]
    assert compared(replace(CLIENT, places=remembered), text=text).agrees
    # The others stand one place further on now.
    for_the_first_time: list[Place] = [*TO_OTHER[:4], ("ip nat", WEB, 4), *TO_OTHER[5:]]
    assert compared(replace(CLIENT, places=for_the_first_time), text=text).agrees


# By nftables


NFT: t.Final = CapturedNft()
OF_KUBE: t.Final = "ip kube-proxy"


def compared_nft(*places: Place, service: str = "10.43.0.48", captured: CapturedNft = NFT) -> Trace:
    ruleset = read_text(captured.json.splitlines())[0]
    view = look(ruleset, given(4, ["192.168.1.10"], ROUTES, "", ""), [], NFTABLES)
    client = Traced("tcp", "192.168.1.77", 40000, service, 80, 2, 4, list(places))
    return compare([client], [view], {2: "eth0"}.__getitem__)


TO_SERVICE: t.Final[list[Place]] = [
    (OF_KUBE, "filter-prerouting-pre-dnat", 1), (OF_KUBE, "nat-prerouting", 1), (OF_KUBE, "services", 1),
    (OF_KUBE, "services", 2),
]  # fmt: skip
FROM_SERVICE: t.Final[list[Place]] = [
    (OF_KUBE, "filter-forward", 1), (OF_KUBE, "filter-forward", 2), (OF_KUBE, "nat-postrouting", 1),
    (OF_KUBE, "masquerading", 1),
]  # fmt: skip


def test_the_kernel_does_not_tell_which_element_it_was() -> None:
    chain = "service-4NE6ZYNA-default/balancer/tcp/http"
    trace = compared_nft(*TO_SERVICE, (OF_KUBE, chain, 1), *FROM_SERVICE)
    assert (trace.agrees, trace.differences) == (True, [])
    assert [(step.table, step.chain) for step in trace.steps][4] == (OF_KUBE, chain)
    assert trace.steps[4].rule.startswith("meta l4proto tcp dnat ip to numgen random mod 3 map { 0 : ")
    (told,) = compared_nft(*TO_SERVICE, (OF_KUBE, chain, 1), *FROM_SERVICE[:-1]).differences
    assert "the kernel does not come to ip kube-proxy masquerading meta mark & 0x00004000" in told


def test_the_chain_of_an_endpoint_is_one_of_those_that_may_be_drawn() -> None:
    chains = {
        1: "endpoint-CSRJ6MBR-default/affinity-minute/tcp/http__10.42.0.10/8080",
        2: "endpoint-PGM7OREV-default/affinity-minute/tcp/http__10.42.0.2/8080",
        3: "endpoint-4AUJCK6S-default/affinity-minute/tcp/http__10.42.1.3/8080",
    }
    service = "service-R3MGKNM5-default/affinity-minute/tcp/http"
    for number, endpoint in chains.items():
        sent: list[Place] = [(OF_KUBE, endpoint, 1), (OF_KUBE, endpoint, 2)]
        by_lot = [*TO_SERVICE, (OF_KUBE, service, 4), *sent, *FROM_SERVICE]
        assert compared_nft(*by_lot, service="10.43.0.32").agrees
        # Who is remembered comes to a rule of the client's own, and not to the one that draws lots.
        remembered = [*TO_SERVICE, (OF_KUBE, service, number), *sent, *FROM_SERVICE]
        assert compared_nft(*remembered, service="10.43.0.32").agrees
        other = chains[number % 3 + 1]
        wrong = [*TO_SERVICE, (OF_KUBE, service, number), (OF_KUBE, other, 1), (OF_KUBE, other, 2), *FROM_SERVICE]
        assert not compared_nft(*wrong, service="10.43.0.32").agrees
