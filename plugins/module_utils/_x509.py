# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. When a certificate ends, read with the standard library alone: no other library is sure to
# be there on a controller or a node, and Python's ssl module does not show the dates of a client's certificate.

from __future__ import annotations

import datetime
import ssl
import typing as t

_VERSION = 0xA0
_UTC_TIME = 0x17
_END = "-----END CERTIFICATE-----"


class _Element(t.NamedTuple):
    tag: int
    content: bytes


def not_after(pem: str) -> datetime.datetime:
    """Return the end of validity of the first certificate in PEM; ValueError when there is none."""
    try:
        first = pem[: pem.index(_END) + len(_END)].strip()
        certificate = _elements(ssl.PEM_cert_to_DER_cert(first))[0]
        to_be_signed = _elements(certificate.content)[0]
        fields = _elements(to_be_signed.content)
        # [version], serial number, signature algorithm, issuer, validity (RFC 5280, section 4.1)
        validity = fields[4 if fields[0].tag == _VERSION else 3]
        return _time(_elements(validity.content)[1])
    except (IndexError, ValueError) as exc:
        raise ValueError("not an X.509 certificate in PEM form") from exc


def days_left(pem: str, now: datetime.datetime) -> int:
    """Return the whole days until the first certificate in PEM ends; negative once it has ended."""
    return (not_after(pem) - now).days


def _elements(der: bytes) -> list[_Element]:
    """Split DER into its elements, without looking into them."""
    elements = []
    while der:
        tag, length, start = der[0], der[1], 2
        if length & 0x80:  # the long form: so many bytes hold the length
            start += length & 0x7F
            length = int.from_bytes(der[2:start], "big")
        end = start + length
        if end > len(der):
            raise ValueError("DER ends too early")
        elements.append(_Element(tag, der[start:end]))
        der = der[end:]
    return elements


def _time(element: _Element) -> datetime.datetime:
    text = element.content.decode("ascii")
    if element.tag == _UTC_TIME:  # two digits of the year, which mean 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
