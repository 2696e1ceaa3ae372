# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How a chain or a map of nft differs from what kube-proxy would write there. Python 3.9,
# standard library only.

from __future__ import annotations

import re
import typing as t
from collections import Counter, defaultdict
from dataclasses import dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils import _chain_drift
from ansible_collections.homecloud.k3s.plugins.module_utils._chain_drift import Drift
from ansible_collections.homecloud.k3s.plugins.module_utils._iptables_dump import Chain
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import FOREIGN
from ansible_collections.homecloud.k3s.plugins.module_utils._nft_rules import firewall

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ansible_collections.homecloud.k3s.plugins.module_utils._nft_forms import Form

_SHARING: t.Final = re.compile(r"(?P<head>.*numgen random) mod (?P<modulus>\d+) (?P<kind>v?map) \{ (?P<entries>.*) \}")
_FIREWALL: t.Final = re.compile(r"(?P<ip>ip6?) saddr != (?:\{ (?P<several>[^}]+) \}|(?P<one>\S+)) drop")
_KEY: t.Final = re.compile(r"(?P<key>.*?)(?: comment .*| : .*)?")


@dataclass(frozen=True)
class Lines:
    """The rules of a chain, or the elements of a set or a map, as nft prints them."""

    table: str
    name: str
    texts: Sequence[str]

    def drift(self, code: str, text: str = "", detail: str = "") -> Drift:
        return Drift(code, self.table, self.name, text, detail)


def from_form(chain: Lines, title: str, form: Form) -> Iterator[Drift]:
    """How a chain of the port with a title differs from any that kube-proxy might write there."""
    once: dict[str, str] = {}
    for text in chain.texts:
        letter = form.letter(title, text)
        if letter == FOREIGN:
            yield chain.drift("extra_rule", text)
        elif text in once:
            yield chain.drift("duplicate_rule", text)
        once.setdefault(text, letter)
    if not form.whole.fullmatch("".join(once.values()).replace(FOREIGN, "")):
        yield chain.drift("missing_rule", detail=f"it should hold {form.holds}, in this order")
    yield from _skewed(chain)
    yield from _remembered(chain, [text for text, letter in once.items() if letter == "a"])


def _remembered(chain: Lines, rules: Sequence[str]) -> Iterator[Drift]:
    """Whether those who stay with an endpoint, if some do, are told from others for each endpoint that has a share."""
    shares = [target for sharing in filter(None, map(_SHARING.fullmatch, chain.texts)) for target in _targets(sharing)]
    pinned = {f"goto {text.rpartition(' goto ')[2]}": text for text in rules}
    for target, text in pinned.items():
        if target not in shares:
            yield chain.drift("stale_endpoint", text, "it has no share")
    for target in shares if pinned else ():
        if target not in pinned:
            yield chain.drift("missing_rule", detail=f"no rule for those who stay with {target[len('goto ') :]}")


def from_rules(chain: Lines, should: Sequence[str]) -> Iterator[Drift]:
    """How a chain differs from the rules that should be in it."""
    if chain.texts == should:
        return
    yield from _skewed(chain)
    there, wanted = ([*filter(None, map(_SHARING.fullmatch, texts))] for texts in (chain.texts, should))
    texts = list(map(_merged, chain.texts))
    if len(there) == len(wanted) == 1 and there[0]["head"] == wanted[0]["head"]:
        # Who gets a share is told one by one, and with it all that differs in this rule.
        rule, got, due = there[0][0], _targets(there[0]), _targets(wanted[0])
        yield from (chain.drift("stale_endpoint", rule, target) for target in dict.fromkeys(got) if target not in due)
        yield from (chain.drift("missing_rule", rule, f"no share for {one}") for one in due if one not in got)
        texts[texts.index(rule)] = wanted[0][0]
    yield from _chain_drift.from_rules(Chain(chain.table, chain.name, "", texts), should, None, is_ordered=True)


def _merged(text: str) -> str:
    """A rule, or if it names networks that may use a load balancer, the same with those merged that can be."""
    told = _FIREWALL.fullmatch(text)
    try:
        return firewall(told["ip"], (told["several"] or told["one"]).split(", ")) if told else text
    except (TypeError, ValueError):  # no networks, as only somebody else would write
        return text


def _skewed(chain: Lines) -> Iterator[Drift]:
    """Whether each endpoint gets as many packets as the others."""
    for sharing in filter(None, map(_SHARING.fullmatch, chain.texts)):
        modulus, targets = int(sharing["modulus"]), _targets(sharing)
        numbers = [entry.partition(" : ")[0] for entry in sharing["entries"].split(", ")]
        is_in_turn = all(text == str(number) for number, text in enumerate(numbers))
        if not is_in_turn or len(numbers) != modulus or len(set(targets)) < len(targets):
            drawn = Counter(target for number, target in zip(numbers, targets) if _is_below(number, modulus))
            got = [drawn[target] / max(modulus, 1) for target in set(targets)]
            detail = f"of {len(got)} endpoints each gets {min(got):.1%} to {max(got):.1%} of the packets"
            yield chain.drift("skewed_share", sharing[0], f"{detail}, not {1 / len(got):.1%}")


def _is_below(number: str, modulus: int) -> bool:
    return number.isdecimal() and int(number) < modulus


def _targets(sharing: re.Match[str]) -> list[str]:
    return [entry.partition(" : ")[2] for entry in sharing["entries"].split(", ")]


def from_elements(there: Lines, should: Iterable[str], is_whole: bool) -> Iterator[Drift]:
    """How a set or a map differs from the elements that should be in it. What else there is counts if it is whole.

    Of elements with the same key, as of two Services that claim an address, there can only be one.
    """
    wanted = defaultdict(list)
    for text in should:
        wanted[_key(text)].append(text)
    known = set(there.texts)
    for texts in wanted.values():
        if not known.intersection(texts):
            yield there.drift("missing_rule", texts[0])
    for text in there.texts:
        if is_whole and text not in wanted.get(_key(text), ()):
            yield there.drift("extra_rule", text)


def _key(text: str) -> str:
    match = _KEY.fullmatch(text)
    return match["key"] if match else text
