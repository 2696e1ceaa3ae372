# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. A web site as a browser sees it, and its certificate also where a browser would not go on.

from __future__ import annotations

import datetime
import re
import socket
import ssl
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit

from ansible_collections.homecloud.k3s.plugins.module_utils._text import host_port

if t.TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_ANSWER: t.Final = -1
_PORTS: t.Final = {"http": 80, "https": 443}
_IN_URLS: t.Final = "!#$%&'()*+,/:;=?@[]~"  # what stays as it is in the path and the query of a URL
_LONGEST_LINE: t.Final = 1000
_WORKERS: t.Final = 16
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for.
_NO_CHECK_TIME: t.Final = 0x200000
_SELF_SIGNED: t.Final = 18  # OpenSSL's X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT


@dataclass(frozen=True)
class Site:
    """What to look at. address is where to find it; without it, the host of the URL is looked up."""

    url: str
    scheme: str
    host: str
    port: int
    resource: str
    address: str


@dataclass(frozen=True)
class Certificate:
    """A certificate as a site shows it. problem is why it is not trusted, in plain words.

    valid is whether an authority has given it for this host and this time, whoever that authority is.
    """

    names: list[str]
    issuer: str
    not_after: str
    days_left: int
    self_signed: bool
    valid: bool
    trusted: bool
    problem: str


@dataclass(frozen=True)
class Sight:
    """What was seen of a site. error is what kept it from answering, in plain words."""

    url: str
    address: str
    http_status: int = NO_ANSWER
    location: str = ""
    first_line: str = ""
    error: str = ""
    certificate: Certificate | None = None

    @property
    def is_well(self) -> bool:
        is_certified = self.certificate is None or self.certificate.valid
        return is_certified and NO_ANSWER < self.http_status < 500


def site_of(url: str, address: str | None) -> Site:
    """The site of a URL. Raises ValueError if it is none, or if the address is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or "@" in parts.netloc:
            raise ValueError("another scheme, or a user")
        host, port = _host(parts.hostname or ""), parts.port or _PORTS[parts.scheme]
    except ValueError:
        shown = re.sub("//.*@", "//", url)  # without a password
        message = f"{shown!r} is not the URL of a web site: write it as https://host/path, without a user."
        raise ValueError(message) from None
    try:
        where = _host(address) if address else ""
    except ValueError as error:
        raise ValueError(f"{address!r} is not the address of a web site: {error}.") from error
    resource = quote(parts.path or "/", _IN_URLS) + (f"?{quote(parts.query, _IN_URLS)}" if parts.query else "")
    return Site(url, parts.scheme, host, port, resource, where)


def _host(name: str) -> str:
    """A name or an address as the network knows it. Raises ValueError if it is none."""
    host = name.encode("idna").decode("ascii")
    if not re.fullmatch(r"[\w.:%-]+", host):
        raise ValueError("no name of a host")
    return host


def trusting(ca: str | None) -> ssl.SSLContext:
    """What Python trusts by itself, and the authorities whose certificates are in CA. Raises ValueError if none are."""
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(cadata=ca.encode("ascii", "ignore").decode())  # others are in comments only
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(f"ca has no certificate in PEM form: {error}.") from error
    return context


def look(sites: Sequence[Site], trust: ssl.SSLContext, timeout: float) -> list[Sight]:
    """Look at all of them at the same time. Each step, such as to connect, may take TIMEOUT seconds."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(lambda site: _sight(site, trust, timeout), sites))


def _sight(site: Site, trust: ssl.SSLContext, timeout: float) -> Sight:
    seen = Sight(site.url, site.address)
    try:
        line, certificate = _reach(site, trust, timeout)
        with line:
            seen = replace(seen, address=line.getpeername()[0], certificate=certificate)
            return _ask(site, line, seen)
    except (OSError, HTTPException) as error:
        return replace(seen, error=_words(site, error))


def _reach(site: Site, trust: ssl.SSLContext, timeout: float) -> tuple[socket.socket, Certificate | None]:
    """A line to the site, with its certificate where it has one. One that is not trusted does not end it."""
    if site.scheme == "http":
        return _connect(site, timeout), None
    try:
        line = _shake_hands(site, trust, timeout)
    except ssl.SSLCertVerificationError as error:
        return _reach_untrusted(site, error, timeout)
    return line, _certificate(site.host, line.getpeercert() or {})


def _reach_untrusted(
    site: Site, refusal: ssl.SSLCertVerificationError, timeout: float
) -> tuple[socket.socket, Certificate]:
    """Python shows the fields only of a certificate that it trusts: so it is told to trust the one that was shown."""
    with _shake_hands(site, _lenient(ssl.CERT_NONE), timeout) as line:
        shown = line.getpeercert(binary_form=True) or b""
    anchored = _lenient(ssl.CERT_REQUIRED)
    anchored.load_verify_locations(cadata=shown)
    anchored.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    line = _shake_hands(site, anchored, timeout)
    return line, _certificate(site.host, line.getpeercert() or {}, refusal)


def _lenient(mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = mode
    return context


def _shake_hands(site: Site, context: ssl.SSLContext, timeout: float) -> ssl.SSLSocket:
    return context.wrap_socket(_connect(site, timeout), server_hostname=site.host)


def _connect(site: Site, timeout: float) -> socket.socket:
    return socket.create_connection((site.address or site.host, site.port), timeout)


def _ask(site: Site, line: socket.socket, seen: Sight) -> Sight:
    connection = HTTPConnection(site.host, site.port)
    connection.sock = line
    port = None if site.port == _PORTS[site.scheme] else site.port
    connection.request("GET", site.resource, headers={"Host": host_port(site.host, port)})
    answer = connection.getresponse()
    first = answer.readline(_LONGEST_LINE).decode("utf-8", "replace").strip()
    return replace(seen, http_status=answer.status, location=answer.getheader("Location", ""), first_line=first)


def _certificate(
    host: str, fields: Mapping[str, t.Any], refusal: ssl.SSLCertVerificationError | None = None
) -> Certificate:
    names = [value for _kind, value in fields.get("subjectAltName", ())]
    parts = {key: value for attributes in fields["issuer"] for key, value in attributes}
    issuer = ", ".join(parts[key] for key in ("commonName", "organizationName") if key in parts)
    start, end = _time(fields["notBefore"]), _time(fields["notAfter"])
    now = datetime.datetime.now(datetime.timezone.utc)
    self_signed = refusal is not None and refusal.verify_code == _SELF_SIGNED
    is_for_here = start <= now < end and any(_is_name_of(host, name) for name in names)
    # By the numbers of OpenSSL, its X509_V_ERR_...
    problems = {
        9: f"valid only from {start:%Y-%m-%d} on",
        10: f"ended on {end:%Y-%m-%d}",
        _SELF_SIGNED: f"self-signed ({issuer})",
        19: f"of an authority that is not trusted: {issuer}",
        20: f"of an authority that is not trusted: {issuer}",
        62: f"for other names: {', '.join(names)}",
        64: f"for other names: {', '.join(names)}",
    }
    return Certificate(
        names=names,
        issuer=issuer,
        not_after=end.isoformat(),
        days_left=(end - now).days,
        self_signed=self_signed,
        valid=refusal is None or (is_for_here and not self_signed),
        trusted=refusal is None,
        problem=problems.get(refusal.verify_code, refusal.verify_message) if refusal else "",
    )


def _is_name_of(host: str, name: str) -> bool:
    """Whether a name in a certificate is that of a host. A star stands for one label."""
    _label, _dot, rest = host.lower().partition(".")
    return name.lower() in (host.lower(), f"*.{rest}")


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), datetime.timezone.utc)


def _words(site: Site, error: OSError | HTTPException) -> str:
    where = host_port(site.address or site.host, site.port)
    reason = str(getattr(error, "reason", "")).replace("_", " ").lower()
    kinds: dict[type[Exception], str] = {
        socket.gaierror: f"the name {site.address or site.host} cannot be resolved",
        TimeoutError: f"{where} does not answer in time",
        ConnectionRefusedError: f"{where} refuses the connection",
        ConnectionResetError: f"{where} ends the connection without an answer",
        ssl.SSLCertVerificationError: f"the certificate cannot be read: {getattr(error, 'verify_message', '')}",
        ssl.SSLError: f"{where} does not agree on TLS: {reason}",
        HTTPException: f"{where} does not answer by HTTP",
        OSError: f"{where}: {getattr(error, 'strerror', '') or error}",
    }
    return next(words for kind, words in kinds.items() if isinstance(error, kind))
