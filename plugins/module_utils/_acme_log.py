# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Why Traefik got no certificate for a name, by its log: that of Traefik 3, as text or as
# JSON. A success stands in it only at the level DEBUG: so it is to be asked only for names that have no certificate.

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_LONGEST_EVIDENCE: t.Final = 300
_COLOUR: t.Final = re.compile(r"\x1b\[[0-9;]*m")
_FIELD: t.Final = re.compile(r'\b(\w+)=("(?:[^"\\]|\\.)*"|\[[^\]]*\]|\S*)')
_FAILED: t.Final = re.compile(r"Unable to obtain ACME certificate|Error adding certificate for domain")
_RENEWAL_FAILED: t.Final = re.compile(r"Error renewing ACME certificate: \{(?:Main:)?(\S*) (?:SANs:)?\[([^\]]*)\]\}")
_OBTAINED: t.Final = re.compile(r"ertificates? obtained for domains \[([^\]]*)\]")
_OF_ONE_NAME: t.Final = re.compile(r"^\[([^\]\s]+)\] (.*?)(?=^\[|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class _Kind:
    """What a code says, and what to do.

    {name} is what has no certificate, {port} is where the authority asks it, and other words are parts of the pattern.
    """

    pattern: str
    message: str
    advice: str


# By what Traefik says, and Let's Encrypt and Pebble say through it; the first that is found.
_KINDS: t.Final = {
    "acme_rate_limited": _Kind(
        r"error:rateLimited(?:.*?(?P<until>, retry after [-\d]+ [:\d]+ UTC))?",
        "The authority takes no more orders for {name} for a while{until}.",
        "Put right whatever kept it from a certificate, and wait: each try counts. Try things with the authority "
        '"staging", which bears far more.',
    ),
    "acme_email_refused": _Kind(
        r"error:(?:invalidContact|unsupportedContact)",
        "The authority does not accept the e-mail address.",
        "Give it an address that exists. Those of example.org and its like are refused.",
    ),
    "acme_account_refused": _Kind(
        r"cannot get ACME client acme: error: 4"
        r"|error:(?:accountDoesNotExist|externalAccountRequired|userActionRequired)",
        "The authority does not accept Traefik's account.",
        "If the authority gives certificates to its customers only, tell Traefik the key that it has given you (EAB). "
        "If it has lost the account, move away the file in which Traefik keeps it.",
    ),
    "acme_name_refused": _Kind(
        r"error:rejectedIdentifier",
        "The authority gives no certificate for {name}.",
        "Use a name in a domain of the public DNS that is yours.",
    ),
    "acme_caa_forbids": _Kind(
        r"error:caa\b",
        "The DNS forbids this authority to give a certificate for {name}.",
        "Add the authority to the CAA records of the domain, or remove them.",
    ),
    "acme_dns_unreachable": _Kind(
        r"(?:error presenting token|propagation): .*"
        r"(?:DNS call error|connection refused|i/o timeout|no such host|network is unreachable|no route to host)",
        "Traefik does not reach the nameservers for {name}.",
        "Look whether the nameserver that is named runs and may be asked from the pods, by UDP and TCP. Name public "
        "nameservers for the challenge if there is a DNS of the home's own.",
    ),
    "acme_dns_refused": _Kind(
        r"error presenting token",
        "The provider of the DNS does not let Traefik change what belongs to {name}.",
        "Look whether the credentials are right and may change this zone, and whether the clocks of both are right.",
    ),
    "acme_dns_credentials_missing": _Kind(
        r"some credentials information are missing: (?P<missing>\S+)",
        "Traefik lacks credentials for the provider of the DNS: {missing}.",
        "Give it what the documentation of the provider lists, by these names.",
    ),
    "acme_txt_not_seen": _Kind(
        r"propagation: |TXT record|looking up TXT",
        "The record for the challenge of {name} does not appear in the DNS.",
        "Look whether the domain's nameservers are those of the provider. Name public nameservers for the challenge if "
        "there is a DNS of the home's own. Some providers take minutes: have Traefik wait longer.",
    ),
    "acme_nameservers_fail": _Kind(
        r"error:dns\b.*(?:SERVFAIL|timed out|looking up CAA)",
        "The nameservers of {name} do not answer the authority as they should.",
        "Look whether the domain is still registered and its nameservers answer from elsewhere, and whether DNSSEC, if "
        "it is on, is in order.",
    ),
    "acme_no_address": _Kind(
        r"error:dns\b|[Cc]ould not resolve URL",
        "The authority finds no address of {name} in the public DNS.",
        "Add a record of it there that has the public address of your home. It takes a while to be seen everywhere.",
    ),
    "acme_wrong_answer": _Kind(
        r"Non-200 status|Invalid response from|did not match|Incorrect validation certificate|negotiate ALPN"
        r"|error:(?:tls|incorrectResponse)\b",
        "Where the authority finds {name}, something else than this Traefik answers.",
        "Look whether the DNS, also its AAAA record, leads to the public address of your home, and whether the router "
        "forwards port {port} to Traefik's address, and does not answer there itself.",
    ),
    "acme_port_closed": _Kind(
        r"error:connection\b|Failed to connect to",
        "The authority cannot connect to {name} on port {port}.",
        "Look at which address it was tried. If it is not the public one of your home, correct the DNS, also the AAAA "
        "record. If it is, forward port {port} on the router to Traefik's address. If it is closed nevertheless, your "
        "provider may keep it closed or share the address with others: use the challenge dns then.",
    ),
    "acme_ca_file_refused": _Kind(
        r"creating cert pool|x509 cert pool",
        "Traefik cannot read the certificates that it is to trust the authority by.",
        "Look whether the file that is named is in the pod, and has certificates in PEM form.",
    ),
    "acme_storage_refused": _Kind(
        r"unable to get ACME |open /.*(?:permission denied|read-only file system|no space left on device)",
        "Traefik cannot use the file in which it keeps certificates.",
        "The file must have the mode 600 and belong to the user that Traefik runs as, and its directory must be there. "
        "Where a volume changes modes by itself, leave out fsGroup.",
    ),
    "acme_authority_untrusted": _Kind(
        r"x509: ",
        "Traefik does not trust the certificate of the authority's server.",
        "For an authority of your own, give Traefik its root certificate. For a public one, look whether the clock of "
        "the node is right, and whether something else answers in its place, as a DNS with a wildcard does.",
    ),
    "acme_authority_unresolved": _Kind(
        r"dial tcp: lookup (?P<host>\S+)",
        "Traefik cannot resolve the name of the authority, {host}.",
        "Look whether pods resolve names of the Internet: CoreDNS asks the servers in the node's /etc/resolv.conf.",
    ),
    "acme_no_directory": _Kind(
        r"get directory at '(?P<url>[^']*)': (?:4\d\d |directory missing|failed to unmarshal)",
        "There is no ACME directory at {url}.",
        "Correct the URL of the authority.",
    ),
    "acme_authority_unreachable": _Kind(
        r"(?:Get|Post|Head) \"https?://|: 5\d\d ::",
        "Traefik does not reach the authority, or it is out of order.",
        "Look whether it runs, and whether pods reach it.",
    ),
    "acme_wrong_settings": _Kind(
        r"unrecognized DNS provider|challenge not specified|could not determine solvers|skipped",
        "Traefik cannot use the settings for certificates.",
        "Correct what it names. A certificate for a wildcard needs the challenge dns.",
    ),
    "acme_refused": _Kind("", "Traefik got no certificate for {name}.", "Act on what it says."),
}
_NO_RESOLVER: t.Final = "A router asks for certificates of {resolver}, a resolver that Traefik does not have."
_AGAIN: t.Final = "Traefik tries again when its route is made anew, as the role web_service does once in each run."
_RESTART: t.Final = "Traefik looks at it again when it is restarted."


@dataclass(frozen=True)
class _Line:
    """A line of the log. message is all of it where it is text, which does not tell where the message ends."""

    message: str
    fields: Mapping[str, str]
    domains: list[str]


@dataclass(frozen=True)
class _Failure:
    """What Traefik said when it got no certificate for these names."""

    domains: list[str]
    words: str

    @property
    def is_limited(self) -> bool:
        return "error:rateLimited" in self.words


@dataclass
class _History:
    """What the log says last: of names, whose failures are none after a success, and of resolvers."""

    failures: dict[str, list[_Failure]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def read(self, line: _Line) -> None:
        resolver = line.fields.get("resolver") or line.fields.get("certificateResolver", "")
        if "skipped from the resolvers list" in line.message:
            self.skipped[resolver] = line.fields.get("error", "")
        elif "nonexistent certificate resolver" in line.message:
            self.missing[resolver] = line.fields.get("routerName", "")
        elif match := _OBTAINED.search(line.message):
            self.failures.update({name: [] for name in match[1].split()})
        elif _FAILED.search(line.message):
            self._fail(_Failure(line.domains, line.fields.get("error", "")))
        elif match := _RENEWAL_FAILED.search(line.message):
            self._fail(_Failure([match[1], *match[2].split()], line.fields.get("error", "")))

    def _fail(self, failure: _Failure) -> None:
        for name in failure.domains:
            # A limit is no more than a consequence: what came before it is the cause.
            causes = [old for old in self.failures.get(name, []) if not old.is_limited] if failure.is_limited else []
            self.failures[name] = [*causes, failure]

    def of(self, name: str) -> list[_Failure] | None:
        """The failures of a name, or of the wildcard it is of; None if the log does not speak of it."""
        wildcard = f"*.{name.partition('.')[2]}"
        return self.failures.get(name, self.failures.get(wildcard))


def acme_faults(log: str, names: Collection[str]) -> list[Fault]:
    """What keeps Traefik from certificates for NAMES, by the last that its log says of each."""
    history = _History()
    for line in _lines(log):
        history.read(line)
    found = [history.of(name.lower()) for name in names]
    faults = [fault for failures in found for failure in failures or [] for fault in _faults(failure)]
    # A resolver that is missing is told without the names that it is missed for.
    return list(dict.fromkeys([*faults, *(_resolver_faults(history) if None in found else [])]))


def _lines(log: str) -> Iterator[_Line]:
    for text in _COLOUR.sub("", log).split("\n"):
        line = _json_line(text) if text.startswith("{") else _text_line(text)
        if line:
            yield line


def _text_line(text: str) -> _Line:
    fields = {match[1]: _unquoted(match[2]) for match in _FIELD.finditer(text)}
    return _Line(text, fields, re.findall(r'"([^"]*)"', fields.get("domains", "")))


def _unquoted(value: str) -> str:
    """A value as it was before it was quoted, as the language Go does."""
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value[1:-1])


def _json_line(text: str) -> _Line | None:
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    domains = fields.get("domains")
    return _Line(
        str(fields.get("message", "")),
        {key: value for key, value in fields.items() if isinstance(value, str)},
        [name for name in domains if isinstance(name, str)] if isinstance(domains, list) else [],
    )


def _faults(failure: _Failure) -> list[Fault]:
    parts = _OF_ONE_NAME.findall(failure.words) or [(", ".join(failure.domains), failure.words)]
    return [_fault(words, name, _AGAIN) for name, words in parts]


def _resolver_faults(history: _History) -> list[Fault]:
    skipped = [
        _fault(f"the resolver {resolver} is skipped: {error}", f"routers of {resolver}", _RESTART)
        for resolver, error in history.skipped.items()
    ]
    missing = [
        Fault(
            "acme_no_resolver",
            "error",
            _NO_RESOLVER.format(resolver=resolver),
            f"router {router}",
            "Correct the name of the resolver at the router, or have Traefik get one of that name.",
        )
        for resolver, router in history.missing.items()
        if resolver not in history.skipped
    ]
    return [*skipped, *missing]


def _fault(words: str, name: str, again: str) -> Fault:
    code, match = next(
        (code, match) for code, kind in _KINDS.items() for match in [re.search(kind.pattern, words, re.DOTALL)] if match
    )
    kind = _KINDS[code]
    known = {"name": name, "port": "80" if "http://" in words else "443", **match.groupdict("")}
    return Fault(
        code,
        "error",
        kind.message.format(**known),
        _evidence(words),
        f"{kind.advice.format(**known)} {again}",
    )


def _evidence(words: str) -> str:
    """Traefik's own words, without what is said anyway. The query of a URL may be a password."""
    text = re.sub(r"^unable to generate a certificate for the domains \[[^\]]*\]: ", "", " ".join(words.split()))
    text = re.sub(r"\?[^\s\"'\]]+", "?...", text)
    return text if len(text) <= _LONGEST_EVIDENCE else f"{text[:_LONGEST_EVIDENCE]}..."
