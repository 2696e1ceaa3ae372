# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The names that are known inside the home, and how DNS servers read them.

Private to the collection. A record is a name with its addresses. A name that begins with *. stands for all below it,
any other for itself alone: what is below that is still looked up outside, as _acme-challenge must be.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

Records = Mapping[str, Sequence[str]]

_WILDCARD = "*."
_LABEL = "[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_ADVICE = "Write records as NAME: ADDRESS, such as nas.home.example: 192.168.1.10; *.home.example is all below a name."


def local_dns_records(
    own: object, hosts: Iterable[object], web_addresses: Sequence[str], form: str
) -> dict[str, t.Any]:
    """The records of the user and those of hosts, the questions that show whether a server has them, and faults.

    hosts are the names of web services; a record of the user comes before. form is how the records are to be written.
    """
    given = _given(own)
    others = [name for name in map(_plain_name, hosts) if name not in given]
    wanted: dict[str, Sequence[object]] = {**given, **dict.fromkeys(others, web_addresses)}
    problems = {name: problem for name, addresses in wanted.items() if (problem := _problem(name, addresses))}
    records = {
        name: sorted({str(ipaddress.ip_address(str(address))) for address in addresses})
        for name, addresses in sorted(wanted.items())
        if addresses and name not in problems
    }
    faults = [
        *([] if isinstance(own, Mapping) else [_invalid(f"local_dns_records is no map: {own}")]),
        *(
            _invalid(f"{'local_dns_records' if name in given else 'local_dns_hosts'}: {problem}")
            for name, problem in problems.items()
        ),
        *([_no_web_address(others)] if others and not web_addresses else []),
        *_unwritable(records, form),
    ]
    return {
        "records": records,
        "questions": {name.replace("*", "local-dns-proof"): addresses for name, addresses in records.items()},
        "faults": [asdict(fault) for fault in faults],
    }


def local_dns_file(records: Records, form: str) -> str:
    """The records as a server reads them."""
    lines = {"dnsmasq": _dnsmasq, "unbound": _unbound, "hosts": _hosts}[form](records)
    return "".join(f"{line}\n" for line in lines)


def _dnsmasq(records: Records) -> Iterator[str]:
    for name, addresses in records.items():
        # What else there may be of the name outside, such as an IPv6 address, would lead out of the house.
        yield f"local=/{name}/"
        if name.startswith(_WILDCARD):
            yield from (f"address=/{name}/{address}" for address in addresses)
        else:
            if not _is_covered(f"*.{name}", records):
                yield f"server=/*.{name}/#"
            yield from (f"host-record={name},{address}" for address in addresses)


def _unbound(records: Records) -> Iterator[str]:
    yield "server:"
    for name, addresses in records.items():
        zone = name.removeprefix(_WILDCARD)
        if zone != name:
            kind = "redirect"
        elif f"*.{name}" in records:
            continue  # a redirected zone answers for its own name, too
        else:
            kind = "static" if _is_covered(name, records) else "transparent"
        yield f'  local-zone: "{zone}." {kind}'
        yield from (f'  local-data: "{zone}. {_type(address)} {address}"' for address in addresses)


def _hosts(records: Records) -> Iterator[str]:
    return (f"{address} {name}" for name, addresses in records.items() for address in addresses)


def _type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _is_covered(name: str, records: Records) -> bool:
    """Whether a record for all below some name takes in this one."""
    return any(record.startswith(_WILDCARD) and name.endswith(record[1:]) for record in records)


def _given(own: object) -> dict[str, list[object]]:
    """The addresses of each name in the user's records."""
    found: dict[str, list[object]] = defaultdict(list)
    for name, value in own.items() if isinstance(own, Mapping) else ():
        found[_plain_name(name)] += value if isinstance(value, list) else [value]
    return found


def _plain_name(name: object) -> str:
    return str(name).lower().rstrip(".")


def _problem(name: str, addresses: Iterable[object]) -> str:
    """What is wrong with a record, empty if nothing is."""
    text = name.removeprefix(_WILDCARD)
    # A name that ends with digits is an address with a mistake in it.
    if len(text) > 253 or not _NAME.fullmatch(text) or text.rpartition(".")[2].isdigit():
        return f"{name} is no name that DNS can have"
    return next((f"{name}: {address} is no address of a host" for address in addresses if not _is_host(address)), "")


def _is_host(text: object) -> bool:
    """Whether it is an address that the whole LAN can reach a host at."""
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)


def _invalid(evidence: str) -> Fault:
    return Fault("invalid_record", "error", "A name cannot be served.", evidence, _ADVICE)


def _no_web_address(names: Iterable[str]) -> Fault:
    return Fault(
        "no_web_address",
        "error",
        "Nothing is known of the address at which web services are reached on the LAN.",
        f"local_dns_hosts: {', '.join(names)}; the Service kube-system/traefik has no address",
        'See why by "kubectl -n kube-system describe service traefik": it gets an address of metallb_pools, and '
        "traefik_address can name one. If something else serves these names, set local_dns_web_address.",
    )


def _unwritable(records: Records, form: str) -> Iterator[Fault]:
    """What the form has no way to say."""
    for name, addresses in records.items():
        above = name.removeprefix(_WILDCARD)
        if form == "hosts" and above != name:
            message, evidence = "A file of the form hosts cannot name all that is below a name.", name
        elif form == "unbound" and above != name and records.get(above, addresses) != addresses:
            message = "Unbound answers alike for a name and for all that is below it."
            evidence = f"{name}: {', '.join(addresses)}; {above}: {', '.join(records[above])}"
        else:
            continue
        yield Fault(
            "unwritable_record",
            "error",
            message,
            evidence,
            "Name each host instead of all at once, or choose another local_dns_format.",
        )
