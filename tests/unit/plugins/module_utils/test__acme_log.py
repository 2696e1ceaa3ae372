# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._acme_log import acme_faults
from hypothesis import given
from hypothesis import strategies as st

if t.TYPE_CHECKING:
    from collections.abc import Mapping

LOGS = Path(__file__).parents[1] / "data/traefik"
NAME = "mysite.home.example"
OTHER = "other.home.example"
START = "2026-11-23T03:03:42Z"
UNABLE = "Unable to obtain ACME certificate for domains"


def failed(words: str, *domains: str, head: str = f"{START} ERR {UNABLE}") -> str:
    """A line of Traefik's that says so."""
    named = json.dumps(list(domains or [NAME]), separators=(",", ":"))
    return f"{head} error={json.dumps(words)} ACME CA=https://a/dir domains={named} providerName=le.acme rule=Host(`a`)"


def of_names(problems: Mapping[str, str]) -> str:
    """What Traefik says of names where they have a problem each."""
    lines = "".join(f"[{name}] {words}\n" for name, words in problems.items())
    return (
        f"unable to generate a certificate for the domains [{' '.join(problems)}]: "
        f"error: one or more domains had a problem:\n{lines}"
    )


def of_name(words: str) -> str:
    return of_names({NAME: words})


def invalid(problem: str) -> str:
    return of_name(f"invalid authorization: acme: error: {problem}")


def obtained(names: str) -> str:
    return f"{START} DBG acme/provider.go:754 > Certificates obtained for domains [{names}] providerName=le.acme"


URN = "urn:ietf:params:acme:error"
ORDER = "unable to generate a certificate for the domains [mysite.home.example]: acme: error"
CLIENT = "cannot get ACME client"
DIRECTORY = "get directory at 'https://127.0.0.1:14000/dir': Get \"https://127.0.0.1:14000/dir\""
NO_ADDRESS = invalid(f'400 :: {URN}:malformed :: Could not resolve URL "mysite.home.example"')
LIMITED = (
    f"{ORDER}: 429 :: POST :: https://acme-v02.api.letsencrypt.org/acme/new-order :: {URN}:rateLimited :: too many "
    'failed authorizations (5) for "mysite.home.example" in the last 1h0m0s, retry after 2025-07-17 12:34:59 UTC: see '
    "https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-hostname-per-account"
)

# What Traefik 3.6.12 said of a Pebble 2.4.0.
CAPTURED = [
    ("acme_no_address", NO_ADDRESS),
    (
        "acme_port_closed",
        invalid(f"403 :: {URN}:unauthorized :: Failed to connect to 127.0.0.9:443 for the tls-alpn-01 challenge"),
    ),
    (
        "acme_port_closed",
        invalid(
            f'400 :: {URN}:connection :: Get "http://mysite.home.example:80/.well-known/acme-challenge/7Orbeg": dial '
            "tcp 127.0.0.9:80: connect: connection refused"
        ),
    ),
    (
        "acme_wrong_answer",
        invalid(
            f"403 :: {URN}:unauthorized :: Non-200 status code from HTTP: http://mysite.home.example:80/.well-known/"
            "acme-challenge/4J9r1xOQlwgCUK5VZHDIzJazjLJ9bHgwAJjrcoP_6pw returned 404"
        ),
    ),
    ("acme_authority_unreachable", f"{CLIENT} {DIRECTORY}: dial tcp 127.0.0.1:14000: connect: connection refused"),
    (
        "acme_authority_unreachable",
        of_name(
            'failed to initiate challenge: Post "https://127.0.0.1:14000/chalZ/y_WKRIU": dial tcp '
            "127.0.0.1:14000: connect: connection refused"
        ),
    ),
    (
        "acme_authority_untrusted",
        f"{CLIENT} {DIRECTORY}: tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ),
    (
        "acme_authority_unresolved",
        f"{CLIENT} get directory at 'https://acme.nowhere.example/dir': Get \"https://acme.nowhere.example/dir\": dial "
        "tcp: lookup acme.nowhere.example on 10.255.255.53:53: dial udp 10.255.255.53:53: connect: network is "
        "unreachable",
    ),
    (
        "acme_no_directory",
        f"{CLIENT} get directory at 'https://127.0.0.1:14000/nothing': 404 ::GET :: https://127.0.0.1:14000/nothing :: "
        "invalid character 'p' after top-level value :: 404 page not found\n",
    ),
    (
        "acme_ca_file_refused",
        f"{CLIENT} creating HTTP client: creating client TLS config: creating cert pool with custom certificates: "
        'error reading "/nowhere/ca.pem": open /nowhere/ca.pem: no such file or directory',
    ),
    (
        "acme_email_refused",
        f"{CLIENT} acme: error: 400 :: POST :: https://127.0.0.1:14000/sign-me-up :: {URN}:invalidContact :: contact "
        'email "me@" is invalid',
    ),
    (
        "acme_account_refused",
        f"{CLIENT} acme: error: 403 :: POST :: https://127.0.0.1:14000/sign-me-up :: {URN}:externalAccountRequired :: "
        "ACME server policy requires newAccount requests must include a value for the 'externalAccountBinding' field",
    ),
    (
        "acme_account_refused",
        f"{CLIENT} acme: error: 403 :: POST :: https://127.0.0.1:14000/sign-me-up :: {URN}:unauthorized :: the field "
        "'kid' references a key that is not known to the ACME server",
    ),
    (
        "acme_name_refused",
        f"{ORDER}: 400 :: POST :: https://127.0.0.1:14000/order-plz :: {URN}:rejectedIdentifier :: Order included an "
        'identifier for which issuance is forbidden by policy: "mysite.home.example"',
    ),
    (
        "acme_dns_unreachable",
        of_name(
            "[mysite.home.example] acme: error presenting token: rfc2136: failed to insert: "
            "[fqdn=_acme-challenge.mysite.home.example.] could not find the start of authority for "
            "'_acme-challenge.mysite.home.example.': DNS call error: read udp 127.0.0.1:46175->127.0.0.1:5399: read: "
            "connection refused [ns=127.0.0.1:5399, question='example. IN  SOA']"
        ),
    ),
    (
        "acme_dns_unreachable",
        of_name(
            "propagation: time limit exceeded: last error: initial recursive nameserver: DNS call "
            "error: read udp 127.0.0.1:48508->127.0.0.1:5399: read: connection refused [ns=127.0.0.1:5399, "
            "question='_acme-challenge.mysite.home.example. IN  TXT']"
        ),
    ),
    (
        "acme_txt_not_seen",
        of_name(
            "propagation: time limit exceeded: last error: could not find zone: "
            "[fqdn=_acme-challenge.mysite.home.example.] unexpected response for "
            "'_acme-challenge.mysite.home.example.' [question='_acme-challenge.mysite.home.example. IN  SOA', "
            "code=NOTIMP]"
        ),
    ),
    ("acme_txt_not_seen", invalid(f"403 :: {URN}:unauthorized :: No TXT records found for DNS challenge")),
    (
        "acme_dns_credentials_missing",
        f"{CLIENT} rfc2136: some credentials information are missing: RFC2136_NAMESERVER",
    ),
    ("acme_wrong_settings", f"{CLIENT} unrecognized DNS provider: nothing"),
    (
        "acme_wrong_settings",
        f"{CLIENT} ACME challenge not specified, please select TLS or HTTP or DNS Challenge",
    ),
]
# Not captured: the words are those that Let's Encrypt, providers of DNS and their users have published.
PUBLISHED = [
    ("acme_rate_limited", LIMITED),
    (
        "acme_rate_limited",
        f"{ORDER}: 429 :: POST :: https://acme-v02.api.letsencrypt.org/acme/new-order :: {URN}:rateLimited :: too many "
        "certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
    ),
    (
        "acme_email_refused",
        f"{CLIENT} acme: error: 400 :: POST :: https://acme-v02.api.letsencrypt.org/acme/new-acct :: "
        f'{URN}:invalidContact :: Error validating contact(s) :: contact email has forbidden domain "example.com"',
    ),
    (
        "acme_name_refused",
        f"{ORDER}: 400 :: POST :: https://acme-v02.api.letsencrypt.org/acme/new-order :: {URN}:rejectedIdentifier :: "
        'Invalid identifiers requested :: Cannot issue for "mysite.lan": Domain name does not end with a valid public '
        "suffix (TLD)",
    ),
    (
        "acme_caa_forbids",
        invalid(f"403 :: {URN}:caa :: CAA record for mysite.home.example prevents issuance"),
    ),
    (
        "acme_no_address",
        invalid(
            f"400 :: {URN}:dns :: DNS problem: NXDOMAIN looking up A for mysite.home.example - check that a DNS record "
            "exists for this domain"
        ),
    ),
    (
        "acme_nameservers_fail",
        invalid(f"400 :: {URN}:dns :: DNS problem: SERVFAIL looking up A for mysite.home.example"),
    ),
    (
        "acme_nameservers_fail",
        invalid(f"400 :: {URN}:dns :: DNS problem: query timed out looking up CAA for home.example"),
    ),
    (
        "acme_txt_not_seen",
        invalid(f"400 :: {URN}:dns :: DNS problem: NXDOMAIN looking up TXT for _acme-challenge.mysite.home.example"),
    ),
    (
        "acme_txt_not_seen",
        of_name(
            "propagation: time limit exceeded: last error: NS ns1.home.example.:53 did not return "
            "the expected TXT record [fqdn: _acme-challenge.mysite.home.example., value: "
            "LPsIwTo7o8BoG0-vjCyGQGBWSVIPxI-i_X336]: "
        ),
    ),
    (
        "acme_port_closed",
        invalid(
            f"400 :: {URN}:connection :: 203.0.113.10: Fetching "
            "http://mysite.home.example/.well-known/acme-challenge/x: Timeout during connect (likely firewall problem)"
        ),
    ),
    ("acme_port_closed", invalid(f"400 :: {URN}:connection :: 203.0.113.10: Connection refused")),
    (
        "acme_wrong_answer",
        invalid(
            f"403 :: {URN}:unauthorized :: 203.0.113.10: Invalid response from http://mysite.home.example/.well-known/"
            "acme-challenge/x: 404"
        ),
    ),
    (
        "acme_wrong_answer",
        invalid(f'403 :: {URN}:unauthorized :: Cannot negotiate ALPN protocol "acme-tls/1" for tls-alpn-01 challenge'),
    ),
    ("acme_wrong_answer", invalid(f"400 :: {URN}:tls :: 203.0.113.10: Server only speaks HTTP, not TLS")),
    (
        "acme_dns_refused",
        of_name(
            "[mysite.home.example] acme: error presenting token: rfc2136: failed to insert: DNS "
            "update failed: server replied: NOTAUTH"
        ),
    ),
    ("acme_storage_refused", f"{CLIENT} open /data/acme.json: read-only file system"),
    ("acme_authority_unreachable", f"{ORDER}: 503 :: POST :: https://a/new-order :: {URN}:serverInternal :: Busy"),
    (
        "acme_authority_unreachable",
        f"{CLIENT} get directory at 'https://a/': 503 ::GET :: https://a/ :: no JSON :: Busy",
    ),
    ("acme_no_directory", f"{CLIENT} get directory at 'https://a/': directory missing new registration URL"),
    ("acme_wrong_settings", of_name("[mysite.home.example] acme: could not determine solvers")),
    ("acme_refused", f"{ORDER}: 400 :: POST :: https://a/finalize :: {URN}:badCSR :: Something new"),
]


@pytest.mark.parametrize(("code", "words"), [*CAPTURED, *PUBLISHED])
def test_each_reason_is_told_by_its_code(code: str, words: str) -> None:
    (fault,) = acme_faults(failed(words), [NAME])
    assert fault.code == code
    assert fault.severity == "error"
    assert fault.evidence.rstrip(".").rpartition(": ")[2] in " ".join(words.split()), "Traefik's own words are told"
    assert not fault.evidence.startswith("unable to generate a certificate"), "the message says so"
    assert not re.search("{|None", fault.message + fault.advice), "every word is filled in"
    assert fault.advice.endswith("once in each run."), "nobody waits for nothing"


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("account_unknown", "acme_account_refused"),
        ("authority_ca_unknown", "acme_authority_untrusted"),
        ("authority_down", "acme_authority_unreachable"),
        ("authority_down_at_start", "acme_authority_unreachable"),
        ("authority_name_no_dns", "acme_authority_unresolved"),
        ("authority_name_unknown", "acme_authority_unresolved"),
        ("dns_elsewhere", "acme_port_closed"),
        ("dns_nameserver_refuses", "acme_dns_unreachable"),
        ("dns_nameserver_unreachable", "acme_dns_unreachable"),
        ("dns_txt_not_seen", "acme_txt_not_seen"),
        ("dns_txt_refused", "acme_txt_not_seen"),
        ("dns_wrong_secret", "acme_dns_refused"),
        ("http_other_server_404", "acme_wrong_answer"),
        ("nxdomain", "acme_no_address"),
        ("nxdomain_json", "acme_no_address"),
        ("port_443_closed", "acme_port_closed"),
        ("port_443_timeout", "acme_port_closed"),
        ("port_80_closed", "acme_port_closed"),
        ("port_80_timeout", "acme_port_closed"),
        ("storage_too_open", "acme_storage_refused"),
        ("tls_other_server", "acme_wrong_answer"),
        ("unknown_resolver", "acme_no_resolver"),
        ("unknown_resolver_json", "acme_no_resolver"),
        ("wildcard_by_tls", "acme_wrong_settings"),
    ],
)
def test_the_logs_that_were_captured(log: str, code: str) -> None:
    text = (LOGS / f"{log}.log").read_text(encoding="utf-8")
    names = set(re.findall(r"[\w.*]+\.home\.example", text)) or {NAME}
    assert {fault.code for fault in acme_faults(text, names)} == {code}
    assert acme_faults(text, []) == []


def test_the_log_of_a_success_has_no_fault() -> None:
    text = (LOGS / "success_debug.log").read_text(encoding="utf-8")
    (name,) = set(re.findall(r"[\w.]+\.home\.example", text))
    failure = failed(NO_ADDRESS, name)
    assert acme_faults(text, [name]) == acme_faults(f"{failure}\n{text}", [name]) == []


def test_a_reason_is_told_in_plain_words() -> None:
    (fault,) = acme_faults(failed(NO_ADDRESS), [NAME])
    assert fault.message == f"The authority finds no address of {NAME} in the public DNS."
    assert fault.evidence == (
        f'invalid authorization: acme: error: 400 :: {URN}:malformed :: Could not resolve URL "{NAME}"'
    )
    assert fault.advice.startswith("Add a record of it there that has the public address of your home.")


@pytest.mark.parametrize(
    ("words", "port"),
    [
        (
            invalid(f"403 :: {URN}:unauthorized :: Failed to connect to 127.0.0.9:443 for the tls-alpn-01 challenge"),
            443,
        ),
        (invalid(f"400 :: {URN}:connection :: 203.0.113.10: Fetching http://{NAME}/x: Connection refused"), 80),
    ],
)
def test_the_port_is_that_of_the_challenge(words: str, port: int) -> None:
    (fault,) = acme_faults(failed(words), [NAME])
    assert fault.message == f"The authority cannot connect to {NAME} on port {port}."
    assert f"forward port {port} on the router" in fault.advice


def test_a_limit_tells_when_it_ends_and_what_led_to_it() -> None:
    limited = failed(LIMITED)
    log = [failed(NO_ADDRESS), failed(NO_ADDRESS), limited.replace("12:34", "12:33"), limited]
    cause, limit = acme_faults("\n".join(log), [NAME])
    assert cause.code == "acme_no_address"
    assert limit.message == (
        f"The authority takes no more orders for {NAME} for a while, retry after 2025-07-17 12:34:59 UTC."
    )
    assert [fault.code for fault in acme_faults(limited, [NAME])] == ["acme_rate_limited"]


FORMS = [
    failed(NO_ADDRESS),
    failed(NO_ADDRESS, head=f"{START} ERR github.com/traefik/traefik/v3/pkg/provider/acme/provider.go:503 > {UNABLE}"),
    failed(NO_ADDRESS)
    .replace("ERR", "\x1b[31mERR\x1b[0m")
    .replace(UNABLE, f"\x1b[1m{UNABLE}\x1b[0m")
    .replace("error=", "\x1b[36merror=\x1b[0m\x1b[31m\x1b[1m")
    .replace(" domains=", "\x1b[0m\x1b[0m \x1b[36mdomains=\x1b[0m"),
    json.dumps(
        {
            "level": "error",
            "ACME CA": "https://a",
            "error": NO_ADDRESS,
            "domains": [NAME],
            "time": START,
            "message": UNABLE,
        }
    ),
]


@pytest.mark.parametrize("line", FORMS)
def test_all_forms_of_a_log_say_the_same(line: str) -> None:
    assert acme_faults(f"{line}\n", [NAME]) == acme_faults(failed(NO_ADDRESS), [NAME]) != []


def test_the_last_word_counts() -> None:
    refused = invalid(f"400 :: {URN}:connection :: 203.0.113.10: Connection refused")
    log = [failed(NO_ADDRESS), failed(refused)]
    assert [fault.code for fault in acme_faults("\n".join(log), [NAME])] == ["acme_port_closed"]
    assert acme_faults("\n".join([*log, obtained(NAME)]), [NAME]) == []
    assert [fault.code for fault in acme_faults("\n".join([*log, obtained(NAME), log[0]]), [NAME])] == [
        "acme_no_address"
    ]


def test_a_success_counts_for_its_names_only() -> None:
    log = "\n".join([failed(NO_ADDRESS, NAME, OTHER), obtained(OTHER)])
    assert acme_faults(log, [OTHER]) == []
    assert [fault.code for fault in acme_faults(log, [NAME])] == ["acme_no_address"]


def test_the_names_of_one_certificate_fail_together() -> None:
    words = of_names(
        {NAME: f"acme: error: 400 :: {URN}:caa :: no", OTHER: f"acme: error: 400 :: {URN}:connection :: no"}
    )
    faults = acme_faults(failed(words, NAME, OTHER, "third.home.example"), ["third.home.example", NAME])
    assert [(fault.code, fault.message.partition(" on port")[0].split()[-1]) for fault in faults] == [
        ("acme_caa_forbids", f"{NAME}."),
        ("acme_port_closed", OTHER),
    ]


def test_a_name_is_told_of_its_wildcard() -> None:
    log = failed(f"{ORDER}: 400 :: {URN}:badCSR :: no", "*.home.example")
    assert [fault.message for fault in acme_faults(log, [NAME.upper()])] == [
        "Traefik got no certificate for *.home.example."
    ]
    assert acme_faults(log, ["home.example", "a.mysite.home.example"]) == []


@pytest.mark.parametrize(
    "domain", ["{mysite.home.example [other.home.example]}", "{Main:mysite.home.example SANs:[other.home.example]}"]
)
@pytest.mark.parametrize("name", [NAME, OTHER])
def test_a_renewal_fails_as_well(domain: str, name: str) -> None:
    log = failed(NO_ADDRESS, "x", head=f"{START} ERR Error renewing ACME certificate: {domain}")
    assert [fault.code for fault in acme_faults(log, [name])] == ["acme_no_address"]


def test_the_default_certificate_is_one_as_well() -> None:
    log = failed(NO_ADDRESS, head=f"{START} ERR Unable to obtain ACME certificate for domain")
    assert [fault.code for fault in acme_faults(log, [NAME])] == ["acme_no_address"]
    assert acme_faults(f"{log}\n{START} DBG Default certificate obtained for domains [{NAME}] rule=x", [NAME]) == []


def test_a_certificate_that_cannot_be_kept() -> None:
    words = "open /data/acme.json: no space left on device"
    log = failed(words, head=f"{START} ERR Error adding certificate for domains")
    assert [fault.code for fault in acme_faults(f"{obtained(NAME)}\n{log}", [NAME])] == ["acme_storage_refused"]


SKIPPED = f'{START} ERR The ACME resolve is skipped from the resolvers list error="{{}}" resolver=le'
TOO_OPEN = SKIPPED.format(
    "unable to get ACME account: permissions 660 for /data/acme.json are too open, please use 600"
)
NO_RESOLVER = (
    f"{START} ERR Router uses a nonexistent certificate resolver certificateResolver={{}} routerName=a@kubernetescrd"
)


def test_a_resolver_that_is_left_out_is_told_with_its_reason() -> None:
    (fault,) = acme_faults(f"{TOO_OPEN}\n{NO_RESOLVER.format('le')}", [NAME])
    assert fault.code == "acme_storage_refused"
    assert fault.evidence == (
        "the resolver le is skipped: unable to get ACME account: permissions 660 for /data/acme.json are too open, "
        "please use 600"
    )
    assert fault.advice.endswith("when it is restarted.")


def test_a_resolver_whose_settings_are_refused() -> None:
    log = SKIPPED.format("clientTimeout must be at least clientResponseHeaderTimeout")
    assert [fault.code for fault in acme_faults(log, [NAME])] == ["acme_wrong_settings"]


def test_a_resolver_that_is_not_there_is_told_to_those_of_whom_there_is_no_other_word() -> None:
    missing = NO_RESOLVER.format("typo")
    (fault,) = acme_faults(f"{missing}\n{missing}", [NAME])
    assert (fault.code, fault.evidence) == ("acme_no_resolver", "router a@kubernetescrd")
    assert "certificates of typo" in fault.message
    log = f"{missing}\n{failed(NO_ADDRESS)}"
    assert [fault.code for fault in acme_faults(log, [NAME])] == ["acme_no_address"]
    assert [fault.code for fault in acme_faults(log, [NAME, OTHER])] == ["acme_no_address", "acme_no_resolver"]
    assert acme_faults(f"{missing}\n{obtained(NAME)}", [NAME]) == []
    assert acme_faults(log, []) == []


def test_evidence_is_short_and_has_no_password() -> None:
    words = of_name(
        "[mysite.home.example] acme: error presenting token: request to change TXT record for "
        "DuckDNS returned the following result (KO) this does not match expectation (OK) used url "
        "[https://www.duckdns.org/update?clear=false&domains=mysite&token=s3cr3t&txt=value] and more"
        + 100
        * " and more"
    )
    (fault,) = acme_faults(failed(words), [NAME])
    assert "https://www.duckdns.org/update?...]" in fault.evidence
    assert "s3cr3t" not in repr(fault)
    assert len(fault.evidence) <= 303


LINES = [*FORMS, TOO_OPEN, NO_RESOLVER.format("le"), obtained(NAME), f"{START} INF Register... providerName=le.acme"]
CUT = st.builds(
    lambda line, start, end, put: line[:start] + put + line[end:],
    st.sampled_from(LINES),
    st.integers(0, 400),
    st.integers(0, 400),
    st.text(max_size=5) | st.sampled_from(["{", '"', "\\", "[", "=", "\n"]),
)


@given(st.text() | st.lists(CUT).map("\n".join), st.lists(st.text() | st.just(NAME)))
def test_any_text_can_be_read(log: str, names: list[str]) -> None:
    assert all(fault.message and fault.advice for fault in acme_faults(log, names))
    assert acme_faults(log, []) == []


@pytest.mark.parametrize("odd", [None, True, 5, 1.5, {"a": 1}, ["a", 5], []])
def test_json_of_another_form_can_be_read(odd: object) -> None:
    assert acme_faults(json.dumps({"message": odd}), [NAME]) == []
    assert acme_faults(json.dumps({"message": UNABLE, "domains": odd, "error": NO_ADDRESS}), [NAME]) == []
    (fault,) = acme_faults(json.dumps({"message": UNABLE, "domains": [odd, NAME], "error": odd}), [NAME])
    assert (fault.code, fault.evidence) == ("acme_refused", "")


@given(st.lists(st.sampled_from([*FORMS, obtained(NAME)]) | st.text()).map("\n".join))
def test_no_name_is_told_of_the_faults_of_others(log: str) -> None:
    assert acme_faults(log, [OTHER]) == []
