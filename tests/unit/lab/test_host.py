# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from homelab.host import VOLATILE, HostState

BEFORE = HostState(
    sysctls={"kernel/panic": "0", "vm/overcommit_memory": "0"},
    modules=["overlay"],
    swaps=["/dev/sda2"],
    firewall=["iptables-save: -P INPUT ACCEPT"],
)


def test_nothing_changed() -> None:
    assert BEFORE.differences(BEFORE) == []


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (
            replace(BEFORE, sysctls={"kernel/panic": "10", "vm/overcommit_memory": "0"}),
            "sysctl kernel.panic: '0' became '10'",
        ),
        (replace(BEFORE, modules=["br_netfilter", "overlay"]), "modules: new: br_netfilter"),
        (replace(BEFORE, swaps=[]), "swaps: gone: /dev/sda2"),
        (replace(BEFORE, firewall=[]), "firewall: gone: iptables-save: -P INPUT ACCEPT"),
    ],
    ids=["sysctl", "module", "swap", "firewall"],
)
def test_each_change_is_named(after: HostState, line: str) -> None:
    assert BEFORE.differences(after) == [line]


def test_sysctls_that_come_with_a_module_are_the_modules_affair() -> None:
    after = replace(BEFORE, sysctls={**BEFORE.sysctls, "net/netfilter/nf_conntrack_max": "1"})
    assert BEFORE.differences(after) == []


@pytest.mark.parametrize(
    "key",
    [
        "kernel/panic",
        "kernel/panic_on_oops",
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
        "net/netfilter/nf_conntrack_max",
        "net/ipv4/ip_forward",
        "kernel/pid_max",
    ],
)
def test_what_kubernetes_changes_is_watched(key: str) -> None:
    assert not VOLATILE.match(key)


def test_this_machine_can_be_read() -> None:
    state = HostState.read()
    assert Path("/proc/sys/vm/overcommit_memory").read_text().strip() == state.sysctls["vm/overcommit_memory"]
