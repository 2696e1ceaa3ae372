# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._diagnosis import _SYMPTOMS, diagnose

STARTING = 'time="2026-11-22T10:00:00Z" level=info msg="Starting k3s v1.36.2+k3s1 (23a7f02e)"'

# One line of a journal for each symptom, as k3s and its parts write it.
LINES = {
    "no_memory_cgroup": (
        'level=fatal msg="failed to find memory cgroup (v2), you may need to add'
        ' "cgroup_memory=1 cgroup_enable=memory" to your linux cmdline (/boot/cmdline.txt on a Raspberry Pi)"'
    ),
    "cgroup_v1": (
        'E1122 10:00:00.000000 1 kubelet.go:1 "failed to run Kubelet: kubelet is configured to not run on a host using'
        ' cgroup v1. cgroup v1 support is unsupported and will be removed in a future release"'
    ),
    "token_of_another_cluster": (
        'level=fatal msg="Error: token CA hash does not match the Cluster CA certificate hash: aa != bb"'
    ),
    "token_changed": (
        'level=fatal msg="Error: preparing server: bootstrap data already found and encrypted with different token"'
    ),
    "node_password_rejected": (
        'level=error msg="Node password rejected, duplicate hostname or contents of'
        " '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name\""
    ),
    "token_rejected": 'level=error msg="https://192.168.1.101:6443/v1-k3s/apiservers: 401 Unauthorized"',
    "settings_differ_between_servers": (
        'level=fatal msg="starting kubernetes: preparing server: failed to validate server configuration: critical'
        ' configuration value mismatch between servers: DisableServiceLB"'
    ),
    "clock_is_behind": (
        "x509: certificate has expired or is not yet valid: current time 1970-01-01T00:00:10Z is before"
        " 2026-11-22T09:00:00Z"
    ),
    "certificate_ended": (
        "x509: certificate has expired or is not yet valid: current time 2027-11-23T09:00:00Z is after"
        " 2027-11-22T09:00:00Z"
    ),
    "unknown_flag": "Incorrect Usage: flag provided but not defined: -no-such-flag",
    "port_taken": "listen tcp 0.0.0.0:6443: bind: address already in use",
    "disk_full": "write /var/lib/rancher/k3s/server/db/state.db: no space left on device",
    "no_default_route": 'level=fatal msg="no default routes found in "/proc/net/route" or "/proc/net/ipv6_route""',
    "wrong_architecture": "k3s.service: Failed at step EXEC: Exec format error",
    "disk_slow": 'E1122 10:00:00.000000 1 leaderelection.go:1 "leaderelection lost"',
    "server_not_reached": (
        'level=error msg="failed to get CA certs: Get "https://127.0.0.1:6444/cacerts": read: connection reset"'
    ),
}


@pytest.mark.parametrize(("code", "line"), LINES.items())
def test_a_known_line_has_its_name(code: str, line: str) -> None:
    faults = diagnose([STARTING, line, STARTING], "node1")
    assert faults[0]["code"] == code
    assert faults[0]["evidence"] == line
    assert faults[0]["host"] == "node1"


def test_every_symptom_has_a_line_here() -> None:
    assert {symptom.code for symptom in _SYMPTOMS} == set(LINES)


def test_an_ordinary_journal_has_no_fault() -> None:
    assert diagnose([STARTING, 'level=info msg="k3s is up and running"'], "node1") == []


def test_the_last_line_is_the_evidence() -> None:
    first, last = (f"listen tcp 0.0.0.0:{port}: bind: address already in use" for port in (6443, 10250))
    (fault,) = diagnose([first, last], "node1")
    assert fault["evidence"] == last


def test_causes_come_before_what_follows_from_them() -> None:
    codes = [fault["code"] for fault in diagnose([LINES["server_not_reached"], LINES["clock_is_behind"]], "node1")]
    assert codes == ["clock_is_behind", "server_not_reached"]
