# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Web services by their names: where to look for them, who else asks for a name, and what is wrong with what was seen.

Private to the collection. Services are items of web_service_services, sites are as homecloud.k3s.web_site_info has
them.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._traefik import claims

Item = Mapping[str, t.Any]

_SOON: t.Final = 14  # days; Traefik renews those of 90 days a month before they end
_LOG: t.Final = '"kubectl --namespace kube-system logs deploy/traefik"'
_NOT_ROUTED: t.Final = "404 page not found"  # how Traefik says that it knows no such site


def web_sites(services: Iterable[Item], address: str, cert_resolver: str) -> list[dict[str, str]]:
    """The sites of web services, each at the address of Traefik, wherever its name leads to."""
    return [
        {
            "url": f"{'https' if _has_tls(service, cert_resolver) else 'http'}://{host}{service.get('path', '/')}",
            "address": address,
        }
        for service in services
        for host in service.get("hosts") or []
    ]


def _has_tls(service: Item, cert_resolver: str) -> bool:
    tls = service.get("tls")
    return bool(cert_resolver) if tls is None else bool(tls)


def claim_faults(services: Iterable[Item], asked: Iterable[Item]) -> list[dict[str, t.Any]]:
    """The hosts of web services that somebody else's objects ask for, too."""
    others = list(asked)
    return [
        asdict(
            Fault(
                "host_of_others",
                "error",
                f"The host {host} of {service['namespace']}/{service['name']} is asked for by somebody else, too.",
                f"{claim['kind']} {claim['namespace']}/{claim['name']} has {claim['host']}{claim['path']}",
                "Delete that object if the web service is to take its place, or give one of them another host or path.",
            )
        )
        for service in services
        for host in service["hosts"]
        for claim in others
        if (claim["host"], claim["path"]) == (host.lower(), service["path"]) and not _is_own(claim, service)
    ]


def _is_own(claim: Item, service: Item) -> bool:
    own = (service["name"], f"{service['name']}-http")
    return claim["kind"] == "IngressRoute" and claim["namespace"] == service["namespace"] and claim["name"] in own


def lacking_routes(objects: Iterable[Item], sites: Iterable[Item]) -> list[Item]:
    """The IngressRoutes among objects that have Traefik get certificates, for sites that have none."""
    lacking = {urlsplit(site["url"]).hostname for site in sites if (site["certificate"] or {}).get("self_signed")}
    routes = [thing for thing in objects if thing["kind"] == "IngressRoute" and _has_resolver(thing["spec"])]
    return [route for route in routes if lacking & {claim.host for claim in claims([route])}]


def _has_resolver(spec: Item) -> bool:
    return bool((spec.get("tls") or {}).get("certResolver"))


def site_faults(sites: Iterable[Item], cert_resolver: str, reasons: Iterable[Item] = ()) -> list[dict[str, t.Any]]:
    """What is wrong with sites.

    cert_resolver: the one of Traefik that gets their certificates; empty if there is none.
    reasons: why it got none for them, by homecloud.k3s.traefik_info.
    """
    faults = [asdict(fault) for site in sites for fault in _faults(site, cert_resolver)]
    lacks = any(fault["code"] == "no_certificate" for fault in faults)
    return [*faults, *(map(dict, reasons) if lacks else ())]


def _faults(site: Item, cert_resolver: str) -> Iterator[Fault]:
    if site["error"]:
        yield Fault(
            "no_site",
            "error",
            f"{site['url']} does not answer.",
            f"at {site['address']}: {site['error']}",
            'Look at "kubectl --namespace kube-system get service traefik", and whether this machine is on the LAN '
            "of the nodes.",
        )
    elif site["first_line"] == _NOT_ROUTED:
        yield Fault(
            "no_route",
            "error",
            f"Traefik knows no site {site['url']}.",
            f"at {site['address']}: {_NOT_ROUTED}",
            f'Look at "kubectl get ingressroutes --all-namespaces", and at {_LOG}.',
        )
    elif site["http_status"] >= 500:
        yield Fault(
            "site_fails",
            "error",
            f"{site['url']} answers with an error.",
            f"HTTP status {site['http_status']}",
            "Look whether the pods of the web service are ready, and at what they log.",
        )
    if site["certificate"]:
        yield from _certificate_faults(site["url"], site["certificate"], cert_resolver)


def _certificate_faults(url: str, certificate: Item, cert_resolver: str) -> Iterator[Fault]:
    seen = certificate["problem"] or f"of {certificate['issuer']}, ends on {certificate['not_after'][:10]}"
    if certificate["self_signed"] and not cert_resolver:
        yield Fault(
            "nobody_asked",
            "warning",
            f"{url} has the certificate that Traefik shows where it has none, as nobody is asked for a better one.",
            seen,
            "Set traefik_acme_email, or give Traefik a certificate of your own by a TLSStore. "
            "Without tls it is reached by plain HTTP.",
        )
    elif certificate["self_signed"]:
        yield Fault(
            "no_certificate",
            "error",
            f"{url} has no certificate yet, but the one that Traefik shows where it has none.",
            seen,
            "If no reason follows, wait a minute and run it again.",
        )
    elif not certificate["valid"]:
        yield Fault(
            "wrong_certificate",
            "error",
            f"{url} has a certificate that no browser takes.",
            seen,
            f"Look at {_LOG} for what keeps Traefik from getting a new one.",
        )
    elif not certificate["trusted"]:
        yield Fault(
            "untrusted_authority",
            "warning",
            f"{url} has a certificate of an authority that this machine does not trust.",
            seen,
            "With traefik_acme_authority: staging this is as it should be, and production is next. "
            "The root of an authority of your own has to be installed in each browser.",
        )
    elif certificate["days_left"] < _SOON:
        yield Fault(
            "certificate_ends",
            "warning",
            f"The certificate of {url} ends in {certificate['days_left']} days and was not renewed.",
            seen,
            f"Look at {_LOG} for what keeps Traefik from renewing it.",
        )
