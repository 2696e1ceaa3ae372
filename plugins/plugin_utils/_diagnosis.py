# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why k3s does not start, by the words of its journal.

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault


@dataclass(frozen=True)
class _Symptom:
    code: str
    words: t.Pattern[str]
    message: str
    advice: str


def _symptom(code: str, words: str, message: str, advice: str) -> _Symptom:
    return _Symptom(code, re.compile(words, re.IGNORECASE), message, advice)


# The words of k3s v1.31 to v1.36 and of what it runs. Causes come before what may follow from them.
_SYMPTOMS = (
    _symptom(
        "no_memory_cgroup",
        r"failed to find memory cgroup",
        "The kernel has no memory cgroup.",
        'Add "cgroup_memory=1 cgroup_enable=memory" to the boot file and reboot; the role homecloud.k3s.node does it.',
    ),
    _symptom(
        "cgroup_v1",
        r"kubelet is configured to not run on a host using cgroup v1",
        "The host has cgroups of version 1, which the kubelet refuses from Kubernetes 1.35 on.",
        "Boot with cgroups of version 2, or put fail-cgroupv1=false into kubelet-arg of k3s_config.",
    ),
    _symptom(
        "token_of_another_cluster",
        r"token CA hash does not match",
        "The token belongs to another cluster: the server's certificate authority is not the one it names.",
        "If the server was installed anew, run k3s-agent-uninstall.sh on this host and the playbook again.",
    ),
    _symptom(
        "token_changed",
        r"bootstrap data already found and encrypted with different token",
        "The server's data were encrypted with another token.",
        "Set k3s_token to the token with which the server first started. It cannot be changed here.",
    ),
    _symptom(
        "node_password_rejected",
        r"node password rejected|duplicate hostname or contents of .*password",
        "The cluster knows another node of this name.",
        "If this host was installed anew, remove the node of its name with the playbook homecloud.k3s.remove_node "
        "(remove_node.yml), and run site.yml again. Otherwise give it another name.",
    ),
    _symptom(
        "token_rejected",
        r"/v1-k3s/[^ ]*.*(401 Unauthorized|403 Forbidden)|not authorized",
        "The server does not accept the token.",
        "Set k3s_token to the token of the server, or leave it out: then it is read from there.",
    ),
    _symptom(
        "settings_differ_between_servers",
        r"critical configuration (value )?mismatch",
        "A setting that must be equal on all servers is not.",
        "Set k3s_config for the whole group of servers, not for one of them.",
    ),
    _symptom(
        "clock_is_behind",
        r"is not yet valid: current time \S+ is before|certificate is not yet valid",  # as Go says both
        "The clock of this host is behind: certificates are not valid yet.",
        "Look at timedatectl, and whether the host reaches a time server.",
    ),
    _symptom(
        "certificate_ended",
        r"is not yet valid: current time \S+ is after|certificate has expired(?! or)",
        "A certificate has ended, or the clock of this host is ahead.",
        'Compare the clock with that of the server; else "k3s certificate rotate" with k3s stopped makes new ones.',
    ),
    _symptom(
        "unknown_flag",
        r"flag provided but not defined|unknown flag:",
        "k3s or a part of it does not know a flag.",
        "Look for it in k3s_config, among the -arg lists too.",
    ),
    _symptom(
        "port_taken",
        r"bind: address already in use",
        "Another program has a port that k3s needs.",
        'Find it by "ss --listening --tcp --udp --processes" and stop it.',
    ),
    _symptom(
        "disk_full",
        r"no space left on device",
        "The disk is full.",
        'Look at "df" for the file system of /var/lib/rancher.',
    ),
    _symptom(
        "no_default_route",
        r"no default routes? found",
        "The host has no default route, by which k3s finds its address.",
        "Give the host a gateway, or name its interface by flannel-iface and its address by node-ip in k3s_config.",
    ),
    _symptom(
        "wrong_architecture",
        r"exec format error",
        "The k3s command is for another kind of machine, or damaged.",
        "Remove /usr/local/bin/k3s and run the playbook again.",
    ),
    _symptom(
        "disk_slow",
        r"leader ?election lost|slow sql|apply request took too long",
        "The disk is too slow for the datastore.",
        "Put /var/lib/rancher on an SSD, or on eMMC rather than an SD card.",
    ),
    _symptom(
        "server_not_reached",
        r"failed to (get CA certs|validate connection to cluster)|connection refused|no route to host|i/o timeout",
        "This host does not reach a server.",
        "Look whether k3s runs on the server, whether a firewall is between them, and at k3s_api_endpoint.",
    ),
)


def diagnose(journal: Iterable[str], host: str) -> list[dict[str, str]]:
    """The faults that JOURNAL, the lines of k3s's journal on HOST, speaks of: each with the last line that does.

    When k3s has started again and again, what kept it from starting stands in the last lines as in those before.
    """
    lines = list(journal)
    faults = [(symptom, _last(lines, symptom)) for symptom in _SYMPTOMS]
    return [
        asdict(Fault(symptom.code, "error", symptom.message, evidence=line, advice=symptom.advice, host=host))
        for symptom, line in faults
        if line
    ]


def _last(lines: list[str], symptom: _Symptom) -> str:
    return next((line.strip() for line in reversed(lines) if symptom.words.search(line)), "")
