# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Whether a packet is as a rule asks. Python 3.9, standard library only.

from __future__ import annotations

import ipaddress
import typing as t
from functools import cache

from ansible_collections.homecloud.k3s.plugins.module_utils._packets import NO, YES, Facts, Packet

if t.TYPE_CHECKING:
    from collections.abc import Callable

    from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Match, Option, Rule
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Likelihood


def rule_likelihood(rule: Rule, packet: Packet, facts: Facts) -> Likelihood:
    """How likely a packet is as all matches of a rule ask."""
    product: Likelihood = YES
    for match in rule.matches:
        likelihood = _likelihood(match, packet, facts)
        if likelihood == NO:
            return NO
        product = None if product is None or likelihood is None else product * likelihood
    return product


def unknown_matches(rule: Rule, packet: Packet, facts: Facts) -> list[str]:
    """The matches of a rule of which it is not known whether a packet is so."""
    return [str(match) for match in rule.matches if _likelihood(match, packet, facts) is None]


def _likelihood(match: Match, packet: Packet, facts: Facts) -> Likelihood:
    try:
        whole = _WHOLE.get(match.module, _each_option)
        return whole(match, packet, facts)
    except ValueError:  # a value that is none, as an address of the other family
        return None


def _each_option(match: Match, packet: Packet, facts: Facts) -> Likelihood:
    single = _SINGLE.get(match.module)
    if single is None:
        return None
    product: Likelihood = YES
    for option in match.options:
        ask = single.get(option.name)
        is_so = ask(option, packet, facts) if ask else None
        if is_so is None:
            product = None
        elif is_so == option.negated:
            return NO
    return product


# Options that are asked one by one: each is true, false, or not known.


def _address(asked: str, address: str) -> bool:
    value, mask = _masked(asked)
    return _number(address) & mask == value


@cache
def _number(address: str) -> int:
    return int(ipaddress.ip_address(address))


@cache
def _masked(asked: str) -> tuple[int, int]:
    """An address and its mask, which may have holes, so that the library would not take it."""
    text, _slash, length = asked.partition("/")
    address = ipaddress.ip_address(text)
    everything = (1 << address.max_prefixlen) - 1
    if not length:
        mask = everything
    elif length.isdigit():
        mask = everything ^ (everything >> int(length))
    else:
        mask = int(ipaddress.ip_address(length))
    return int(address) & mask, mask


def _interface(asked: str, name: str | None) -> bool | None:
    """Whether an interface has a name, of which a plus leaves the rest open."""
    if name is None:
        return True if asked == "+" else None
    return name.startswith(asked[:-1]) if asked.endswith("+") else name == asked


def _protocol(option: Option, packet: Packet, _facts: Facts) -> bool:
    return option.value in (packet.protocol, "all", "0", _PROTOCOLS.get(packet.protocol))


_PROTOCOLS: t.Final = {"icmp": "1", "tcp": "6", "udp": "17", "ipv6-icmp": "58", "sctp": "132"}


def _port(option: Option, port: int | None) -> bool | None:
    """Whether a port is one of those that are named: 80, 8000:8080, and with multiport several of these."""
    if port is None:
        return True if option.value in ("0:65535", ":") else None
    return any(_in_range(part, port) for part in option.value.split(","))


def _in_range(text: str, port: int) -> bool:
    first, colon, last = text.partition(":")
    return int(first or 0) <= port <= int(last or (65535 if colon else first))


def _type(option: Option, address: str, facts: Facts) -> bool | None:
    """Whether an address is of one of some types. Of the rest than LOCAL only what all nodes agree about is known."""
    types = set(option.value.split(","))
    value = ipaddress.ip_address(address)
    if value.is_loopback or address in facts.local_addresses:
        return "LOCAL" in types
    if value.is_multicast:
        return "MULTICAST" in types
    if types <= {"LOCAL", "MULTICAST"}:
        return False
    return True if "UNICAST" in types and not types & {"BROADCAST", "BLACKHOLE", "PROHIBIT"} else None


def _destination_type(option: Option, address: str, facts: Facts) -> bool | None:
    is_so = _type(option, address, facts)
    is_surely = facts.knows_all or address in facts.local_addresses or ipaddress.ip_address(address).is_loopback
    return is_so if is_surely else None


def _states(option: Option, packet: Packet, _facts: Facts) -> bool:
    return bool(packet.states & set(option.value.split(",")))


def _mark(option: Option, packet: Packet, _facts: Facts) -> bool:
    value, _slash, mask = option.value.partition("/")
    return packet.mark & (int(mask, 0) if mask else 0xFFFFFFFF) == int(value, 0)


def _flags(option: Option, packet: Packet, _facts: Facts) -> bool | None:
    """Of the first packet of a connection of TCP the flag SYN is set, and no other."""
    if packet.protocol != "tcp" or len(option.values) != 2:
        return None
    looked_at, set_ones = (set(values.split(",")) for values in option.values)
    return ({"SYN"} & looked_at if "ALL" not in looked_at else {"SYN"}) == set_ones - {"NONE"}


def _range(option: Option, address: str) -> bool:
    first, _dash, last = option.value.partition("-")
    return _number(first) <= _number(address) <= _number(last or first)


Ask = t.Callable[["Option", Packet, Facts], t.Optional[bool]]

_PORTS: t.Final[dict[str, Ask]] = {
    "--sport": lambda option, packet, _facts: _port(option, packet.source_port),
    "--dport": lambda option, packet, _facts: _port(option, packet.destination_port),
    "--sports": lambda option, packet, _facts: _port(option, packet.source_port),
    "--dports": lambda option, packet, _facts: _port(option, packet.destination_port),
    "--tcp-flags": _flags,
    "--syn": lambda _option, packet, _facts: packet.protocol == "tcp",
}
_SINGLE: t.Final[dict[str, dict[str, Ask]]] = {
    "": {
        "-s": lambda option, packet, _facts: _address(option.value, packet.source) if packet.source else None,
        "-d": lambda option, packet, _facts: _address(option.value, packet.destination),
        "-p": _protocol,
        "-i": lambda option, packet, _facts: _interface(option.value, packet.in_interface),
        "-o": lambda option, packet, _facts: _interface(option.value, packet.out_interface),
        "-f": lambda _option, _packet, _facts: False,
    },
    "tcp": _PORTS,
    "udp": _PORTS,
    "sctp": _PORTS,
    "multiport": _PORTS,
    "addrtype": {
        "--src-type": lambda option, packet, facts: (
            _type(option, packet.source, facts) if packet.source else "LOCAL" in option.value.split(",")
        ),
        "--dst-type": lambda option, packet, facts: _destination_type(option, packet.destination, facts),
    },
    "conntrack": {"--ctstate": _states},
    "state": {"--state": _states},
    "mark": {"--mark": _mark},
    "iprange": {
        "--src-range": lambda option, packet, _facts: _range(option, packet.source),
        "--dst-range": lambda option, packet, _facts: _range(option, packet.destination),
    },
}


# Matches whose options make sense only together.


def _always(_match: Match, _packet: Packet, _facts: Facts) -> Likelihood:
    return YES


def _statistic(match: Match, _packet: Packet, _facts: Facts) -> Likelihood:
    probability, every = match.option("--probability"), match.option("--every")
    asked = probability or every
    if asked is None:
        return None
    likelihood = float(asked.value) if probability else 1 / max(int(asked.value), 1)
    if not 0 <= likelihood <= 1:  # nor "nan"
        return None
    return 1 - likelihood if asked.negated else likelihood


def _recent(match: Match, _packet: Packet, _facts: Facts) -> Likelihood:
    """A client is taken for one of whom nothing is remembered."""
    asked = [option for option in match.options if option.name in ("--set", "--rcheck", "--update", "--remove")]
    if len(asked) != 1:
        return None
    return YES if (asked[0].name == "--set") != asked[0].negated else NO


def _set(match: Match, packet: Packet, facts: Facts) -> Likelihood:
    """Only sets of addresses and networks are known, one of which is asked for."""
    asked = match.option("--match-set")
    if asked is None or len(asked.values) != 2 or len(match.options) != 1:
        return None
    name, direction = asked.values
    if name not in facts.sets or direction not in ("src", "dst"):
        return None
    address = packet.source if direction == "src" else packet.destination
    return YES if any(_address(entry, address) for entry in facts.sets[name]) != asked.negated else NO


_WHOLE: t.Final[dict[str, Callable[[Match, Packet, Facts], Likelihood]]] = {
    "comment": _always,
    "nfacct": _always,
    "statistic": _statistic,
    "recent": _recent,
    "set": _set,
}
