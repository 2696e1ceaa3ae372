# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host can serve DNS to the LAN, at which address, whom it asks itself, and whether it does.

Private to the collection. A reading is what homecloud.k3s.k3s_info returns; answers are those of dns_info.
"""

from __future__ import annotations

import contextlib
import ipaddress
import typing as t
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import networks
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_network import admits

Reading = Mapping[str, t.Any]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT = 53
_ALL_ADDRESSES = ("0.0.0.0", "::")  # as a socket shows it that is bound to all
_ELSEWHERE = "Or have a server of your own know the names: local_dns_file writes them for it."
_UPSTREAM_ADVICE = "Set local_dns_upstream to servers of other machines, each as ADDRESS or ADDRESS#PORT"


def local_dns_server(
    reading: Reading,
    address: str,
    upstream: Sequence[str],
    resolvers: Iterable[str],
    peers: Collection[str],
    runs: bool,
) -> dict[str, t.Any]:
    """The address that a host serves the LAN at, the servers that it asks, and what speaks against it.

    resolvers: the texts of the files that may name the host's own servers. The first counts that names any.
    peers: the addresses of all hosts that serve the home. Among the host's own servers, they would lead in a circle.
    runs: whether the host serves already.
    """
    route = reading["default_route"] or {"address": "", "gateway": ""}
    own = {address.partition("/")[0] for interface in reading["interfaces"] for address in interface["addresses"]}
    here = address or route["address"]
    servers = [str(server) for server in upstream] or _servers_of(resolvers, {*own, *peers})
    faults = [
        *_unsupported_os(reading["os"]),
        *_no_address(here, own),
        *_port_taken(reading["ports"], here, runs),
        *_firewall_blocks(reading, here),
        *_invalid_upstream(servers, own, route["gateway"] or "192.168.1.1"),
    ]
    return {"address": here, "upstream": servers, "faults": [asdict(fault) for fault in faults]}


def local_dns_answers(
    answers: Mapping[str, Mapping[str, t.Any]],
    questions: Mapping[str, Sequence[str]],
    probes: Iterable[str],
    upstream: Iterable[str],
) -> list[dict[str, t.Any]]:
    """What is wrong with what the server answers: for questions it has addresses, for probes those of outside."""
    faults = [
        _error(
            "wrong_answer",
            "The server does not answer as it should.",
            f"{name}: {_seen(answers[name])}; wanted: {', '.join(wanted)}",
            'Look at "systemctl status local-dns" on the host. Something in between may answer in its place.',
        )
        for name, wanted in questions.items()
        if answers[name]["addresses"] != wanted
    ]
    faults += [
        _error(
            "not_forwarded",
            "The server finds no names outside.",
            f"{name}: {_seen(answers[name])}; it asks {', '.join(upstream)}",
            "See whether these servers answer, and whether they ask this host in turn. "
            "Set local_dns_upstream to others, or local_dns_probe to a name that they find.",
        )
        for name in probes
        if not answers[name]["addresses"]
    ]
    return [asdict(fault) for fault in faults]


def _seen(answer: Mapping[str, t.Any]) -> str:
    return ", ".join(answer["addresses"]) or str(answer["status"])


def _servers_of(resolvers: Iterable[str], in_circle: Collection[str]) -> list[str]:
    for text in resolvers:
        words = [line.split() for line in text.splitlines()]
        named = dict.fromkeys(word[1] for word in words if word[:1] == ["nameserver"] and len(word) > 1)
        found = [server for server in named if server not in in_circle and not _is_local(server)]
        if found:
            return found
    return []


def _unsupported_os(system: Mapping[str, t.Any]) -> Iterator[Fault]:
    too_old = system["id"] in ("debian", "raspbian") and system["version_id"] == "11"
    if "debian" not in (system["id"], *system["id_like"]) or too_old:
        yield _error(
            "unsupported_os",
            "The host has no dnsmasq that can tell a name from all that is below it.",
            system["pretty_name"],
            f"Put a host with Debian 12, Ubuntu 22.04 or newer into the group local_dns. {_ELSEWHERE}",
        )


def _no_address(here: str, own: Collection[str]) -> Iterator[Fault]:
    if here not in own:
        yield _error(
            "no_address",
            "The host does not have the address at which it is to serve the LAN.",
            f"address: {here or 'none, as there is no default route'}; its own: {', '.join(sorted(own)) or 'none'}",
            "Set local_dns_address to the address that the host has on the LAN.",
        )


def _port_taken(ports: Iterable[Mapping[str, t.Any]], here: str, runs: bool) -> Iterator[Fault]:
    holders = [port for port in ports if port["port"] == _PORT and port["address"] in (here, *_ALL_ADDRESSES)]
    others = [port for port in holders if not (runs and (port["process"], port["address"]) == ("dnsmasq", here))]
    if others:
        seen = (
            f"{p['process'] or 'an unknown program'} on {p['address']} port {_PORT}/{p['protocol']}" for p in others
        )
        yield _error(
            "port_taken",
            "Another program serves DNS at the address of the host.",
            ", ".join(seen),
            f"Stop it, or have it listen at other addresses, as 127.0.0.1. {_ELSEWHERE}",
        )


def _firewall_blocks(reading: Reading, here: str) -> Iterator[Fault]:
    """Other firewalls than these may have admitted it by rules that a reading leaves out."""
    addresses = [address for interface in reading["interfaces"] for address in interface["addresses"]]
    lans = networks(address for address in addresses if address.partition("/")[0] == here)
    for firewall in reading["firewall"] if lans else ():
        refused = [
            f"{_PORT}/{protocol} from {lan.text}"
            for lan in lans
            for protocol in ("udp", "tcp")
            if not any(admits(opening, protocol, _PORT, lan) for opening in firewall["opens"])
        ]
        if refused and firewall["kind"] in ("ufw", "firewalld"):
            yield _error(
                "firewall_blocks",
                f"The firewall {firewall['kind']} on the host does not let the LAN ask for names.",
                f"{firewall['evidence']}; not admitted: {', '.join(refused)}",
                "Admit these, or turn the firewall off.",
            )


def _invalid_upstream(servers: Sequence[str], own: Collection[str], router: str) -> Iterator[Fault]:
    if not servers:
        yield _error(
            "no_upstream",
            "Nothing is known of a DNS server that could be asked for all other names.",
            "the host itself uses none, or only those that serve the home",
            f"{_UPSTREAM_ADVICE}: the router's, [{router}], or one on the internet.",
        )
    for server in servers:
        if not _address_of(server):
            message = "A server to ask for all other names cannot be read."
        elif _is_local(server) or server.partition("#")[0] in own:
            message = "The host would ask itself for all other names."
        else:
            continue
        evidence = f"local_dns_upstream: {server}"
        yield _error("invalid_upstream", message, evidence, f"{_UPSTREAM_ADVICE}, such as {router}.")


def _is_local(server: str) -> bool:
    address = _address_of(server)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _address_of(server: str) -> Address | None:
    """The address in ADDRESS or ADDRESS#PORT, if it is one."""
    address, mark, port = server.partition("#")
    if mark and not (port.isdecimal() and 0 < int(port) < 65536):
        return None
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address)
    return None


def _error(code: str, message: str, evidence: str, advice: str) -> Fault:
    return Fault(code, "error", message, evidence, advice)
