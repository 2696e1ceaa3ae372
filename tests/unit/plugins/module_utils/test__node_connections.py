# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._node_connections import read_connections

UDP = (
    "udp      17 27 src=10.42.0.9 dst=10.43.0.10 sport=40001 dport=53 [UNREPLIED] "
    "src=10.42.0.3 dst=10.42.0.9 sport=5353 dport=40001 mark=0 use=1"
)
TCP = (
    "tcp      6 431999 ESTABLISHED src=192.168.1.77 dst=192.168.1.200 sport=51234 dport=80 "
    "src=10.42.1.3 dst=10.42.0.0 sport=8080 dport=2222 [ASSURED] mark=0 use=1"
)
# as /proc/net/nf_conntrack has it, with addresses written out
WRITTEN_OUT = (
    "ipv6     10 tcp      6 100 ESTABLISHED src=fd00:0000:0000:0000:0000:0000:0000:0001 "
    "dst=fd43:0000:0000:0000:0000:0000:0000:0041 sport=1 dport=80 src=fd42:0000:0000:0000:0000:0000:0000:0002 "
    "dst=fd00:0000:0000:0000:0000:0000:0000:0001 sport=8080 dport=1 [ASSURED] mark=0 zone=0 use=2"
)


def test_connections() -> None:
    udp, tcp, six = read_connections([UDP, TCP, WRITTEN_OUT])
    assert (udp.protocol, udp.source, udp.destination, udp.port) == ("udp", "10.42.0.9", "10.43.0.10", 53)
    assert (udp.answers_from, udp.answers_port, udp.is_open) == ("10.42.0.3", 5353, True)
    assert (tcp.destination, tcp.port, tcp.answers_from, tcp.answers_port) == ("192.168.1.200", 80, "10.42.1.3", 8080)
    assert (six.destination, six.answers_from) == ("fd43::41", "fd42::2")
    assert tcp.is_open
    assert tcp.line == TCP


def test_connections_of_tcp_end() -> None:
    (ended,) = read_connections([TCP.replace("ESTABLISHED", "TIME_WAIT")])
    assert not ended.is_open


@pytest.mark.parametrize(
    "line",
    [
        "",
        "conntrack v1.4.7 (conntrack-tools): 2 flow entries have been shown.",
        "icmp     1 29 src=10.42.0.9 dst=10.43.0.10 type=8 code=0 id=1 src=10.43.0.10 dst=10.42.0.9 type=0 code=0 id=1",
        UDP.partition(" [UNREPLIED]")[0],
        UDP.replace("dport=53", "dport=domain"),
        UDP.replace("dst=10.43.0.10", "dst=elsewhere"),
    ],
)
def test_what_is_none_is_left_out(line: str) -> None:
    assert list(read_connections([line])) == []
