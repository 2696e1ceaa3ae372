# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The firewalls that refuse what comes in unless a rule lets it in.
#
# What they let in is told as far as it is sure. A rule with a condition other than protocol, ports and source, and
# what comes after a rule that refuses some packets, is left out: whether a port is open depends on the packet there.

from __future__ import annotations

import itertools
import re
import shlex
import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree, assignments
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_units import Unit

SERVICES = ("firewalld",)
IPTABLES_COMMAND = ("iptables-save", "-t", "filter")
NFT_COMMAND = ("nft", "list", "ruleset")
_ANY = "any"
_EVERYWHERE = ("0.0.0.0/0", "::/0", _ANY)
_PROTOCOLS = ("tcp", "udp", _ANY)
_IPTABLES_INPUT = ":INPUT "
_IPTABLES_OPTIONS = {"-p", "-s", "-m", "-j", "--dport", "--dports", "--ctstate", "--state", "--comment"}
_NFT_TABLE = re.compile(r"^table (\S+) (\S+) \{.*?\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_NFT_INPUT = re.compile(
    r"^\tchain (\S+) \{\n\t\ttype filter hook input priority [^;]*;(?: policy (\w+);)?\n(.*?)^\t\}",
    re.MULTILINE | re.DOTALL,
)
_NFT_MATCH = re.compile(
    r"(tcp dport|udp dport|th dport|ip saddr|meta l4proto|ip protocol|ct state) (\{[^}]*\}|[^\s!]\S*)"
)
_NFT_ASIDES = re.compile(
    r'\s*(?:counter packets \d+ bytes \d+|comment "[^"]*"|log(?: (?:prefix "[^"]*"|(?:level|flags) \S+))*)'
)


@dataclass(frozen=True)
class Opening:
    """What a firewall lets in: from SOURCE to the ports from the first to the last."""

    protocol: str
    ports: tuple[int, int]
    source: str


@dataclass(frozen=True)
class Firewall:
    kind: str
    evidence: str
    opens: list[Opening]


@dataclass(frozen=True)
class _Rule:
    """A rule of any firewall: what it lets in, and whether it refuses anything."""

    opens: list[Opening]
    refuses: bool


def firewalls(tree: Tree, units: dict[str, Unit], iptables: str, nft: str) -> list[Firewall]:
    """Return the firewalls in force. What ufw and firewalld have put into the kernel is told as theirs."""
    found = [*_ufw(tree), *_firewalld(tree, units)]
    if not any(firewall.kind == "ufw" for firewall in found):
        found += _iptables(iptables)
    return [*found, *_nftables(nft, has_iptables=_IPTABLES_INPUT in iptables)]


def _opens(rules: t.Iterable[_Rule]) -> list[Opening]:
    sure = itertools.takewhile(lambda rule: not rule.refuses, rules)
    return [opening for rule in sure for opening in rule.opens]


def _openings(protocols: list[str], spans: list[tuple[int, int]], sources: list[str]) -> list[Opening]:
    places = [_ANY if source in _EVERYWHERE else source for source in sources]
    return [Opening(protocol, span, place) for protocol in protocols for span in spans for place in places]


def _spans(ports: str) -> list[tuple[int, int]]:
    """Return the ranges in a list such as 80,443,8000:8010 or 80-90."""
    if ports == _ANY:
        return [(1, 65535)]
    return [(int(first), int(last or first)) for first, last in re.findall(r"(\d+)(?:[:-](\d+))?", ports)]


# ufw: each rule is also kept in the words of the user.


def _ufw(tree: Tree) -> t.Iterator[Firewall]:
    policy = assignments(tree.text("/etc/default/ufw")).get("DEFAULT_INPUT_POLICY", "DROP")
    if assignments(tree.text("/etc/ufw/ufw.conf")).get("ENABLED", "no").lower() != "yes" or policy == "ACCEPT":
        return
    opens: list[Opening] = []
    for name in ("/etc/ufw/user.rules", "/etc/ufw/user6.rules"):
        rules = re.findall(r"^### tuple ### ((?:\S+ ){6,}\S+)$", tree.text(name), re.MULTILINE)
        opens += [opening for opening in _opens(map(_ufw_rule, rules)) if opening not in opens]
    yield Firewall("ufw", f"/etc/ufw/ufw.conf: ENABLED=yes; /etc/default/ufw: DEFAULT_INPUT_POLICY={policy}", opens)


def _ufw_rule(rule: str) -> _Rule:
    words = [word for word in rule.split() if not word.startswith("comment=")]
    logged_action, protocol, ports, destination, source_ports, source = words[:6]
    action = logged_action.partition("_")[0]
    direction = words[-1]  # after the names of applications, if there are any
    if action not in {"allow", "limit"}:
        return _Rule([], refuses=action in {"deny", "reject"} and direction.startswith("in"))
    sure = destination in _EVERYWHERE and source_ports == _ANY and direction == "in" and protocol in _PROTOCOLS
    return _Rule(_openings([protocol], _spans(ports), [source]) if sure else [], refuses=False)


# firewalld: its permanent configuration. What is in force differs from it after `firewall-cmd` without --permanent.


def _firewalld(tree: Tree, units: dict[str, Unit]) -> t.Iterator[Firewall]:
    if units.get("firewalld", Unit()).active != "active":
        return
    default = assignments(tree.text("/etc/firewalld/firewalld.conf")).get("DefaultZone", "public")
    zone = _firewalld_file(tree, "zones", default)
    if zone.get("target") == "ACCEPT":
        return
    opens = _firewalld_opens(tree, zone, [_ANY])
    files = [*tree.glob("/usr/lib/firewalld/zones/*.xml"), *tree.glob("/etc/firewalld/zones/*.xml")]
    for name in sorted({file.rpartition("/")[2][: -len(".xml")] for file in files}):
        other = _firewalld_file(tree, "zones", name)
        sources = [source.get("address", "") for source in other.findall("source")]
        opens += _firewalld_opens(tree, other, [source for source in sources if source])
    yield Firewall("firewalld", f"firewalld.service is active, its default zone is {default}", opens)


def _firewalld_opens(tree: Tree, zone: ElementTree.Element, sources: list[str]) -> list[Opening]:
    if zone.get("target") == "ACCEPT":
        return _openings([_ANY], _spans(_ANY), sources)
    services = [_firewalld_file(tree, "services", service.get("name", "")) for service in zone.findall("service")]
    ports = [port for element in (zone, *services) for port in element.findall("port")]
    return [
        opening
        for port in ports
        if port.get("port") and port.get("protocol") in _PROTOCOLS
        for opening in _openings([port.get("protocol", "")], _spans(port.get("port", "")), sources)
    ]


def _firewalld_file(tree: Tree, kind: str, name: str) -> ElementTree.Element:
    own, shipped = (f"{place}/firewalld/{kind}/{name}.xml" for place in ("/etc", "/usr/lib"))
    try:
        return ElementTree.fromstring(tree.content(own) or tree.content(shipped))
    except ElementTree.ParseError:
        return ElementTree.Element(kind)


# iptables, from the output of iptables-save.


def _iptables(saved: str) -> t.Iterator[Firewall]:
    policy = re.search(rf"^{_IPTABLES_INPUT}(\w+)", saved, re.MULTILINE)
    rules = [shlex.split(line)[2:] for line in saved.splitlines() if line.startswith("-A INPUT ")]
    if policy and policy[1] == "DROP":
        evidence = "iptables-save: the policy of INPUT is DROP"
    elif rules and rules[-1][:2] in (["-j", "DROP"], ["-j", "REJECT"]):
        evidence = f"iptables-save: the last rule of INPUT is {' '.join(rules[-1])}"
    else:
        return
    yield Firewall("iptables", evidence, _opens(map(_iptables_rule, rules)))


def _iptables_rule(words: list[str]) -> _Rule:
    options = dict(zip(words[::2], words[1::2]))  # a negation or another number of values makes an unknown option
    states = (options.get("--ctstate") or options.get("--state") or "NEW").split(",")
    target, protocol = options.get("-j"), options.get("-p", _ANY)
    if target != "ACCEPT":
        return _Rule([], refuses=target in {"DROP", "REJECT"} and states != ["INVALID"])
    sure = not options.keys() - _IPTABLES_OPTIONS and "NEW" in states and protocol in _PROTOCOLS
    ports = options.get("--dport") or options.get("--dports") or _ANY
    return _Rule(_openings([protocol], _spans(ports), [options.get("-s", _ANY)]) if sure else [], refuses=False)


# nftables, from the output of nft.


def _nftables(listed: str, has_iptables: bool) -> t.Iterator[Firewall]:
    for family, table, body in _NFT_TABLE.findall(listed):
        for chain, policy, lines in _NFT_INPUT.findall(body):
            if family not in {"ip", "inet"} or table == "firewalld" or (has_iptables and chain == "INPUT"):
                continue
            rules = [line.strip() for line in lines.splitlines()]
            last = _NFT_ASIDES.sub("", rules[-1]).split() if rules else []
            place = f"nft list chain {family} {table} {chain}"
            if policy == "drop":
                yield Firewall("nftables", f"{place}: the policy is drop", _opens(map(_nft_rule, rules)))
            elif last[:1] in (["drop"], ["reject"]):
                yield Firewall("nftables", f"{place}: the last rule is {' '.join(last)}", _opens(map(_nft_rule, rules)))


def _nft_rule(rule: str) -> _Rule:
    statement = _NFT_ASIDES.sub("", rule)
    match = dict(_NFT_MATCH.findall(statement))
    states = match.pop("ct state", "new")
    if not statement.endswith("accept"):
        return _Rule([], refuses=bool(re.search(r"\b(drop|reject)\b", statement)) and states != "invalid")
    conditions = _NFT_MATCH.sub("", statement).strip() != "accept"
    if conditions or "new" not in _nft_values(states) or any("@" in values for values in match.values()):
        return _Rule([], refuses=False)
    protocols = _nft_values(match.get("meta l4proto") or match.get("ip protocol") or _ANY)
    ports = _ANY
    for protocol in ("tcp", "udp", "th"):
        if f"{protocol} dport" in match:
            ports = match[f"{protocol} dport"]
            protocols = protocols if protocol == "th" else [protocol]
    sources = _nft_values(match.get("ip saddr", _ANY))
    return _Rule(_openings([name for name in protocols if name in _PROTOCOLS], _spans(ports), sources), refuses=False)


def _nft_values(text: str) -> list[str]:
    return re.split(r",\s*", text.strip("{} "))
