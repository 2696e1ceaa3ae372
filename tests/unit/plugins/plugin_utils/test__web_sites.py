# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._web_sites import (
    claim_faults,
    lacking_routes,
    site_faults,
    web_sites,
)

SERVICE: t.Final = {"name": "mysite", "namespace": "default", "hosts": ["mysite.home.example"], "path": "/"}
Thing = dict[str, t.Any]


@pytest.mark.parametrize(
    ("service", "resolver", "urls"),
    [
        ({"name": "a"}, "le", []),
        ({"name": "a", "hosts": []}, "le", []),
        ({"name": "a", "hosts": ["x.example", "y.example"]}, "le", ["https://x.example/", "https://y.example/"]),
        ({"name": "a", "hosts": ["x.example"], "path": "/wiki"}, "", ["http://x.example/wiki"]),
        ({"name": "a", "hosts": ["x.example"], "tls": True}, "", ["https://x.example/"]),
        ({"name": "a", "hosts": ["x.example"], "tls": False}, "le", ["http://x.example/"]),
        ({"name": "a", "hosts": ["x.example"], "tls": None}, "le", ["https://x.example/"]),
    ],
)
def test_where_sites_are(service: Thing, resolver: str, urls: list[str]) -> None:
    assert web_sites([service], "192.168.1.200", resolver) == [{"url": url, "address": "192.168.1.200"} for url in urls]


def claim(**other: object) -> Thing:
    own = {
        "host": "mysite.home.example",
        "path": "/",
        "kind": "IngressRoute",
        "namespace": "default",
        "name": "mysite",
    }
    return {**own, **other}


@pytest.mark.parametrize(
    "claims",
    [
        [],
        [claim(), claim(name="mysite-http")],
        [claim(name="other", path="/other")],
        [claim(name="other", host="other.home.example")],
    ],
)
def test_hosts_that_nobody_else_asks_for(claims: list[Thing]) -> None:
    assert claim_faults([SERVICE], claims) == []


@pytest.mark.parametrize(
    "other", [claim(name="other"), claim(namespace="web"), claim(kind="Ingress"), claim(kind="Ingress", name="b")]
)
def test_hosts_that_somebody_else_asks_for(other: Thing) -> None:
    for service in (SERVICE, {**SERVICE, "hosts": ["MySite.home.example"]}):
        (fault,) = claim_faults([service], [claim(), other])
        assert fault["code"] == "host_of_others"
        assert f"{other['kind']} {other['namespace']}/{other['name']}" in fault["evidence"]


WELL: t.Final = {
    "names": ["mysite.home.example"],
    "issuer": "R11",
    "not_after": "2027-02-19T03:14:15+00:00",
    "days_left": 88,
    "self_signed": False,
    "valid": True,
    "trusted": True,
    "problem": "",
}
DEFAULT: t.Final = {
    **WELL,
    "self_signed": True,
    "valid": False,
    "trusted": False,
    "problem": "self-signed (TRAEFIK DEFAULT CERT)",
}


def site(*certificates: object, **other: object) -> Thing:
    """A site as it was seen, with a certificate that is well unless another is given."""
    seen = {
        "url": "https://mysite.home.example/",
        "address": "192.168.1.200",
        "http_status": 200,
        "location": "",
        "first_line": "hello",
        "error": "",
        "certificate": certificates[0] if certificates else WELL,
    }
    return {**seen, **other}


@pytest.mark.parametrize(
    ("seen", "code", "severity"),
    [
        (site(None, http_status=-1, error="192.168.1.200:443 refuses the connection"), "no_site", "error"),
        (site(http_status=404, first_line="404 page not found"), "no_route", "error"),
        (site(http_status=502, first_line="Bad Gateway"), "site_fails", "error"),
        (site(http_status=500, first_line="Internal Server Error"), "site_fails", "error"),
        (site(DEFAULT), "no_certificate", "error"),
        (
            site({**WELL, "valid": False, "trusted": False, "problem": "ended on 2026-01-01"}),
            "wrong_certificate",
            "error",
        ),
        (site({**WELL, "trusted": False, "problem": "of an authority: X"}), "untrusted_authority", "warning"),
        (site({**WELL, "days_left": 13}), "certificate_ends", "warning"),
    ],
)
def test_what_is_wrong_with_a_site(seen: Thing, code: str, severity: str) -> None:
    (fault,) = site_faults([seen], "le")
    assert (fault["code"], fault["severity"]) == (code, severity)
    assert seen["url"] in fault["message"]
    assert fault["evidence"]


@pytest.mark.parametrize(
    "seen",
    [
        site(),
        site(None),
        site({**WELL, "days_left": 14}),
        site(http_status=301, first_line=""),
        site(http_status=401, first_line="401 Unauthorized"),
        site(http_status=499, first_line=""),
        site(http_status=404, first_line="no such page here"),
    ],
)
def test_a_site_that_is_well(seen: Thing) -> None:
    assert site_faults([seen], "le") == []


def test_reasons_are_told_only_where_a_certificate_is_lacking() -> None:
    reason = {"code": "acme_rate_limited"}
    assert site_faults([site()], "le", [reason]) == []
    faults = site_faults([site(), site(DEFAULT)], "le", [reason])
    assert [fault["code"] for fault in faults] == ["no_certificate", "acme_rate_limited"]


def test_a_certificate_that_nobody_is_asked_for_is_no_error() -> None:
    (fault,) = site_faults([site(DEFAULT)], "", [{"code": "acme_refused"}])
    assert (fault["code"], fault["severity"]) == ("nobody_asked", "warning")
    assert "traefik_acme_email" in fault["advice"]


def route(name: str, hosts: list[str], **spec: object) -> Thing:
    match = " || ".join(f"Host(`{host}`)" for host in hosts)
    return {
        "kind": "IngressRoute",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"routes": [{"match": match}], **spec},
    }


def test_routes_without_a_certificate() -> None:
    acme = {"tls": {"certResolver": "le"}}
    lacking = route("lacking", ["A.home.example", "b.home.example"], **acme)
    others = [
        route("other", ["c.home.example"], **acme),
        route("lacking-http", ["a.home.example"]),
        route("own", ["a.home.example"], tls={"certResolver": ""}),
        {"kind": "Deployment", "metadata": {"name": "lacking"}, "spec": {}},
    ]
    sites = [
        site(DEFAULT, url="https://a.home.example/"),
        site(url="https://c.home.example/"),
        site(None, url="https://b.home.example/", http_status=-1, error="no answer"),
    ]
    assert lacking_routes([lacking, *others], sites) == [lacking]
    assert lacking_routes([lacking, *others], sites[1:]) == []
