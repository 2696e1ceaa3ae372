# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The way of a packet in words. Python 3.9, standard library only.

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from fractions import Fraction

from ansible_collections.homecloud.k3s.plugins.module_utils import _iptables_words as iptables_words
from ansible_collections.homecloud.k3s.plugins.module_utils import _nft_words as nft_words
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_rule import Rule
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_text import shortened
from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import masquerading_address
from ansible_collections.homecloud.k3s.plugins.module_utils._packets import POLICY
from ansible_collections.homecloud.k3s.plugins.module_utils._text import table

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._node_flow import AnyRule
    from ansible_collections.homecloud.k3s.plugins.module_utils._packet_flow import Journey
    from ansible_collections.homecloud.k3s.plugins.module_utils._packets import Hit, Packet

# Probabilities are printed with ten digits, and the kernel keeps 31 bits of them.
_PRECISION: t.Final = 1e-6
# Parts of so many are easy to imagine, as 2/3.
_PARTS: t.Final = 12


@dataclass(frozen=True)
class Endpoint:
    """Where a part of the packets ends. source_seen is empty if it is not known what they come from there."""

    address: str
    port: int | None
    share: float
    masquerade: bool
    source_seen: str


@dataclass(frozen=True)
class Step:
    """A rule that matches. element is that of a map of nftables by which it does; empty if there is none."""

    number: int
    table: str
    chain: str
    rule: str
    element: str
    match: str
    action: str
    share: float


def verdict_shares(journey: Journey[t.Any]) -> dict[str, float]:
    """Which part of the packets surely ends how; what is left is unknown."""
    ends = {"dnat": 0.0, "reject": 0.0, "drop": 0.0, "none": 0.0}
    for packets in (journey.sent, journey.delivered):
        for packet, share in packets.items():
            ends["dnat" if "DNAT" in packet.states else "none"] += share.least
    for target, packets in journey.stopped.items():
        end = {"REJECT": "reject", "no route": "none"}.get(target, "drop")
        ends[end] += sum(share.least for share in packets.values())
    ends["unknown"] = 1.0 - sum(ends.values())
    return {end: _rounded(share) for end, share in ends.items() if share > _PRECISION}


def _rounded(share: float) -> float:
    """As precise as the kernel draws lots, so that 1/3 + 2/3 is 1."""
    return round(share, 8)


def verdict(shares: Mapping[str, float]) -> str:
    """The only end that there is, or what most packets come to; unknown wherever it may be another."""
    return "unknown" if "unknown" in shares else max(shares, key=lambda end: shares[end])


def masquerade(journey: Journey[t.Any]) -> str:
    """Whether the packets that arrive somewhere have another source then: always, never, or depends."""
    changed = {packet.masqueraded for packet in (*journey.sent, *journey.delivered)}
    if True not in changed:
        return "never"
    return "depends" if False in changed else "always"


def endpoints(journey: Journey[t.Any], addresses: Mapping[str, str]) -> list[Endpoint]:
    """Where translated packets end. addresses are the node's own by their interfaces."""
    return [
        Endpoint(
            address=packet.destination,
            port=packet.destination_port,
            share=_rounded(share.least),
            masquerade=packet.masqueraded,
            source_seen=masquerading_address(packet, addresses) if packet.masqueraded else packet.source,
        )
        for packet, share in {**journey.sent, **journey.delivered}.items()
        if "DNAT" in packet.states
    ]


def steps(journey: Journey[t.Any]) -> list[Step]:
    """The rules that match, in the order of the kernel."""
    hits = [hit for stage in journey.stages for hit in stage.outcome.hits]
    return [_step(number, hit) for number, hit in enumerate(hits, 1)]


def _step(number: int, hit: Hit[AnyRule]) -> Step:
    text, match, action = _words(hit)
    share = _rounded(hit.share.most)
    return Step(number, hit.rule.table, hit.rule.chain, text, hit.element, match, action, share)


def _words(hit: Hit[AnyRule]) -> tuple[str, str, str]:
    """A rule, what it asks for and what it does."""
    rule = hit.rule
    if isinstance(rule, Rule):
        return rule.text, iptables_words.match_text(rule), iptables_words.action_text(rule)
    return shortened(rule.text), nft_words.match_text(rule), nft_words.action_text(rule, hit.element)


def table_lines(found: list[Step]) -> list[str]:
    """The steps as a table to be read."""
    head = ["STEP", "TABLE", "CHAIN", "MATCHED", "ACTION", "SHARE"]
    rows = [
        [str(step.number), step.table, step.chain, step.match, step.action, share_text(step.share)] for step in found
    ]
    return table(head, *rows)


def share_text(share: float) -> str:
    """A part of all packets: "all", "2/3", or per cent."""
    if share > 1 - _PRECISION:
        return "all"
    whole = Fraction(1, round(1 / share)) if share else Fraction(0)  # any endpoint's
    for parts in (whole, Fraction(share).limit_denominator(_PARTS)):
        if parts and abs(share - parts) <= _PRECISION:
            return str(parts)
    return f"{share:.1%}"


def reason(packet: Packet, journey: Journey[AnyRule], shares: Mapping[str, float]) -> str:
    """Why it ends so, in a sentence."""
    what = f"{packet.destination} port {packet.destination_port}"
    if len(shares) > 1:
        parts = (f"{share_text(share)} {_ENDS[end]}" for end, share in shares.items())
        return f"Of the packets to {what}, {', '.join(parts)}."
    end = verdict(shares)
    if end == "unknown":
        return f"What becomes of what is sent to {what} depends on what the rules do not show."
    explain = {"dnat": _reached, "reject": _stopped, "drop": _stopped, "none": _passed}[end]
    return f"What is sent to {what} {explain(journey)}."


_ENDS: t.Final = {
    "dnat": "are sent to an endpoint",
    "reject": "are rejected",
    "drop": "are dropped",
    "none": "are not translated",
    "unknown": "depend on what cannot be told",
}


def _reached(journey: Journey[t.Any]) -> str:
    found = endpoints(journey, {})
    places = [f"{endpoint.address} port {endpoint.port}" for endpoint in found]
    where = f"the endpoint {places[0]}" if len(places) == 1 else f"one of {len(places)} endpoints"
    seen = {"always": "the node instead of its sender", "never": "its sender", "depends": "its sender or the node"}
    return f"goes to {where}, which {'sees' if len(places) == 1 else 'see'} {seen[masquerade(journey)]}"


def _stopped(journey: Journey[AnyRule]) -> str:
    stage = [stage for stage in journey.stages if stage.outcome.stopped][-1]
    if POLICY in stage.outcome.stopped:
        return f"is dropped by the policy of {stage.table}/{stage.chain}"
    hits = stage.outcome.hits
    last = max(number for number, hit in enumerate(hits) if hit.stops)
    # A rule of nftables for all that is refused does not say why, but what has led there.
    elements = [hit.element for hit in hits[: last + 1] if hit.element]
    rule = hits[last].rule
    why = f": {rule.comment}" if rule.comment else f": {elements[-1]}" if elements else f", rule {rule.number}"
    return f"is {'rejected' if hits[last].stops == 'REJECT' else 'dropped'} by {rule.table}/{rule.chain}{why}"


def _passed(journey: Journey[t.Any]) -> str:
    if "no route" in journey.stopped:
        return "is not translated, and the node has no route for it"
    return f"is not translated by any rule, and goes on to {'the node itself' if journey.delivered else 'that address'}"
