# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_match import rule_likelihood, unknown_matches
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import read_rule
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Facts, Packet

PACKET: t.Final = Packet(
    protocol="tcp",
    source="10.42.0.9",
    destination="10.43.0.41",
    source_port=40000,
    destination_port=80,
    in_interface="cni0",
    out_interface=None,
    mark=0x4001,
)
FACTS: t.Final = Facts(frozenset({"192.168.1.10"}), {"pods": ["10.42.0.9", "10.42.1.0/24"]})
YES: t.Final = 1.0
NO: t.Final = 0.0
UNKNOWN: t.Final = None


def likelihood(matches: str, packet: Packet = PACKET) -> float | None:
    return rule_likelihood(read_rule("nat", 1, f"-A X {matches} -j ACCEPT"), packet, FACTS)


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ("", YES),
        ("-s 10.42.0.0/16", YES),
        ("! -s 10.42.0.0/16", NO),
        ("-d 10.43.0.41/32", YES),
        ("-d 10.43.0.42", NO),
        ("-d 0.0.0.0/0", YES),
        # a mask with holes, as the kernel takes it
        ("-s 10.0.0.9/255.0.0.255", YES),
        ("-s 10.0.0.8/255.0.0.255", NO),
        ("-d fd00::/8", NO),
        ("-p tcp", YES),
        ("-p 6", YES),
        ("-p all", YES),
        ("! -p udp", YES),
        ("-p udp", NO),
        ("-i cni0", YES),
        ("-i cni+", YES),
        ("-i eth+", NO),
        ("! -i eth0", YES),
        # nobody knows yet where it goes
        ("-o eth0", UNKNOWN),
        ("-o +", YES),
        ("-f", NO),
        ("-p tcp -m tcp --dport 80", YES),
        ("-p tcp -m tcp --dport 79:81", YES),
        ("-p tcp -m tcp ! --dport 80", NO),
        ("-p tcp -m tcp --dport 1024:", NO),
        ("-p tcp -m tcp --sport 1024:65535", YES),
        ("-p tcp -m multiport --dports 22,80,8000:8080", YES),
        ("-p tcp -m multiport --dports 22,8000:8080", NO),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", YES),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK ACK", NO),
        ("-p tcp -m tcp ! --tcp-flags ALL NONE", YES),
        ("-m addrtype --dst-type LOCAL", NO),
        ("-m addrtype ! --src-type LOCAL", YES),
        ("-m addrtype --dst-type UNICAST", YES),
        ("-m addrtype --dst-type BROADCAST", UNKNOWN),
        ("-m addrtype --dst-type UNICAST --limit-iface-in", UNKNOWN),
        ("-m conntrack --ctstate NEW,RELATED", YES),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", NO),
        ("-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT", YES),
        ("-m conntrack --ctorigdst 10.43.0.41", UNKNOWN),
        ("-m state --state NEW", YES),
        ("-m mark --mark 0x4000/0x4000", YES),
        ("-m mark ! --mark 0x4000/0x4000", NO),
        ("-m mark --mark 0x4001", YES),
        ("-m mark --mark 0x1", NO),
        ("-m statistic --mode random --probability 0.25000000000", 0.25),
        ("-m statistic --mode nth --every 4 --packet 0", 0.25),
        ("-m recent --rcheck --seconds 10800 --reap --name A --mask 255.255.255.255 --rsource", NO),
        ("-m recent --set --name A --rsource", YES),
        ("-m recent --rcheck --set --name A", UNKNOWN),
        ("-m set --match-set pods src", YES),
        ("-m set ! --match-set pods src", NO),
        ("-m set --match-set pods dst", NO),
        ("-m set --match-set others src", UNKNOWN),
        ("-m set --match-set pods src,dst", UNKNOWN),
        ("-m iprange --src-range 10.42.0.1-10.42.0.9", YES),
        ("-m iprange ! --src-range 10.42.0.1-10.42.0.9", NO),
        ('-m comment --comment "a -j DROP"', YES),
        ("-m nfacct --nfacct-name  packets", YES),
        ("-m future --maybe", UNKNOWN),
        ("-m limit --limit 3/min", UNKNOWN),
        # what is surely not so wins over what is not known, and this over chance
        ("-m future --maybe -p udp", NO),
        ("-m future --maybe -m statistic --mode random --probability 0.5", UNKNOWN),
        ("-p tcp -m statistic --mode random --probability 0.5 -m comment --comment x", 0.5),
        ("-p tcp -m tcp --dport http", UNKNOWN),
    ],
)
def test_a_packet_is_as_asked_or_not_or_nobody_knows(matches: str, expected: float | None) -> None:
    assert likelihood(matches) == expected


@pytest.mark.parametrize(
    ("destination", "types", "expected"),
    [
        ("192.168.1.10", "LOCAL", YES),
        ("192.168.1.10", "UNICAST", NO),
        ("127.0.0.7", "LOCAL", YES),
        ("::1", "LOCAL", YES),
        ("224.0.0.1", "MULTICAST", YES),
        ("224.0.0.1", "UNICAST", NO),
        ("192.168.1.11", "LOCAL,MULTICAST", NO),
    ],
)
def test_types_of_addresses(destination: str, types: str, expected: float) -> None:
    assert likelihood(f"-m addrtype --dst-type {types}", replace(PACKET, destination=destination)) == expected


def test_what_has_been_translated_has_that_state() -> None:
    packet = replace(PACKET, states=frozenset({"NEW", "DNAT"}))
    assert likelihood("-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT", packet) == NO


def test_ports_that_are_not_known() -> None:
    packet = replace(PACKET, source_port=None)
    assert likelihood("-p tcp -m tcp --sport 22", packet) is UNKNOWN
    assert likelihood("-p tcp -m tcp --sport 0:65535", packet) == YES


def test_what_is_not_known_is_named() -> None:
    rule = read_rule("nat", 1, "-A X -p tcp -m future --maybe ! --perhaps a -m limit --limit 3/min -j ACCEPT")
    assert unknown_matches(rule, PACKET, FACTS) == ["-m future --maybe ! --perhaps a", "-m limit --limit 3/min"]


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ("-s 192.168.1.0/24", UNKNOWN),
        ("! -s 127.0.0.0/8 -d 127.0.0.0/8", NO),
        ("-m addrtype --src-type LOCAL", YES),
        ("-m addrtype ! --src-type LOCAL", NO),
        ("-m iprange --src-range 10.0.0.1-10.0.0.9", UNKNOWN),
    ],
)
def test_of_a_source_that_is_not_known_only_that_it_is_the_nodes_own(matches: str, expected: float | None) -> None:
    assert likelihood(matches, replace(PACKET, source="", masqueraded=True)) == expected
