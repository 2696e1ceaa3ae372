# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._kernel_trace import Traced
from ansible_collections.homecloud.k3s.plugins.module_utils._node_rules import read_text
from ansible_collections.homecloud.k3s.plugins.module_utils._node_surroundings import given
from ansible_collections.homecloud.k3s.plugins.module_utils._paths import View
from ansible_collections.homecloud.k3s.plugins.module_utils._trace_comparison import Trace, compare

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
    ("nat", "PREROUTING", 1), ("nat", "KUBE-SERVICES", 1), ("nat", WEB, 1), ("nat", "KUBE-MARK-MASQ", 1),
    ("nat", WEB, 3), ("nat", OTHER, 2), ("filter", "FORWARD", 1), ("nat", "POSTROUTING", 1),
    ("nat", "KUBE-POSTROUTING", 2), ("nat", "KUBE-POSTROUTING", 3),
]  # fmt: skip
TO_ONE: t.Final[list[Place]] = [*TO_OTHER[:4], ("nat", WEB, 2), ("nat", ONE, 2), *TO_OTHER[6:]]
CLIENT: t.Final = Traced("tcp", "192.168.1.77", 40000, "10.43.0.41", 80, 2, 4, TO_OTHER)


def compared(*traced: Traced, text: str = TEXT) -> Trace:
    view = View(read_text(text.splitlines()), given(4, ["192.168.1.10"], ROUTES, "", ""))
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
        ([*TO_OTHER, ("nat", WEB, 1)], f"goes on to nat -A {WEB}"),
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
    (told,) = compared(replace(CLIENT, unknown=[("nat", "KUBE-SERVICES")])).differences
    assert "rules of nat/KUBE-SERVICES were written anew meanwhile" in told


def test_a_client_that_is_remembered_goes_where_it_went_before() -> None:
    ask = f"-m recent --rcheck --seconds 10800 --reap --name {OTHER} --mask 255.255.255.255 --rsource -j {OTHER}"
    text = TEXT.replace(f"-A {WEB} -m comment", f"-A {WEB} {ask}\n-A {WEB} -m comment", 1)
    remembered: list[Place] = [*TO_OTHER[:4], ("nat", WEB, 2), *TO_OTHER[5:]]
    assert compared(replace(CLIENT, places=remembered), text=text).agrees
    # The others stand one place further on now.
    for_the_first_time: list[Place] = [*TO_OTHER[:4], ("nat", WEB, 4), *TO_OTHER[5:]]
    assert compared(replace(CLIENT, places=for_the_first_time), text=text).agrees
