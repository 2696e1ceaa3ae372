# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of web services with names, and of the Traefik that they are reached through.

Private to the collection. Values of secrets are never shown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import words
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    Finding,
    Home,
    is_dns_label,
    is_kubernetes_name,
    is_text,
)
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_network import pool_ranges
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_web import finding, metallb_pools, names, present
from ansible_collections.homecloud.k3s.plugins.plugin_utils._role_options import Item, read_items
from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_chart import AUTHORITIES

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
# Let's Encrypt takes no addresses of these.
_NO_MAIL = ("example.com", "example.net", "example.org")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"[1-9][0-9]*([KMGTPE]i|[kMGTPE])?")
_OWN_ENTRY_POINTS = {"web", "websecure", "traefik", "metrics"}
_OF_HOSTS = ("path", "tls", "middlewares", "basic_auth")


def invalid_host(home: Home) -> Iterator[Finding]:
    """A name in C(hosts), or the C(traefik_dashboard_host), is none that can be asked for."""
    for service in present(home):
        for host in service["hosts"]:
            if not is_kubernetes_name(host.lower()):
                yield finding(service, "has a host that is no name", f"hosts: {host}", _HOST_ADVICE)
    dashboard = _text(home, "traefik_dashboard_host")
    if dashboard and not is_kubernetes_name(dashboard.lower()):
        yield Finding("traefik_dashboard_host is no name.", f"traefik_dashboard_host: {dashboard}", _HOST_ADVICE)


_HOST_ADVICE = "Write each name alone, without https://, port and path, as mysite.home.example; name each of several."


def host_taken(home: Home) -> Iterator[Finding]:
    """Two web services, or one and the dashboard, ask for the same host with the same path."""
    owners = defaultdict(list)
    for service in present(home):
        for host in dict.fromkeys(host.lower() for host in service["hosts"]):
            owners[host, service["path"]].append(service)
    for (host, path), same in owners.items():
        if len(same) > 1:
            yield finding(
                same[0],
                f"asks for the host of {names(same[1:])}",
                f"hosts: {host}, path: {path}",
                "Give each a host or a path of its own.",
            )
    for service in present(home):
        if _text(home, "traefik_dashboard_host").lower() in map(str.lower, service["hosts"]):
            advice = "Give the dashboard a host of its own."
            yield finding(service, "asks for the host of Traefik's dashboard", f"hosts: {service['hosts']}", advice)


def invalid_route(home: Home) -> Iterator[Finding]:
    """The C(path) or a name in C(middlewares) is none, or a web service without C(hosts) has what only these need."""
    for service in present(home):
        if not re.fullmatch(r"/[^`\s]*", service["path"]):
            advice = "Write it from / on, as /wiki, without blanks and backquotes."
            yield finding(service, "has a path that no request can have", f"path: {service['path']}", advice)
        for middleware in service["middlewares"]:
            if not is_kubernetes_name(middleware):
                advice = "Write the name of a Middleware in the Namespace of the web service, and no more."
                yield finding(service, "names a middleware that cannot be", f"middlewares: {middleware}", advice)
        given = [key for key in _OF_HOSTS if service[key] not in (None, [], "/")]
        if given and not service["hosts"]:
            advice = "Add hosts, or leave it out: without hosts no request goes through Traefik."
            yield finding(service, f"has {' and '.join(given)}, but no hosts", "hosts: none", advice)


def redirected_to_nothing(home: Home) -> Iterator[Finding]:
    """A web service is to be reached by HTTP only, but Traefik sends all clients to HTTPS."""
    for service in present(home):
        if service["hosts"] and service["tls"] is False and _redirects(home):
            yield finding(
                service,
                "is reached by HTTP only, but Traefik sends all clients to HTTPS",
                "tls: false; traefik_redirect: true",
                "Set traefik_redirect to false, or leave tls out.",
            )


def invalid_volume(home: Home) -> Iterator[Finding]:
    """The C(volume) of a web service has no possible path or size, or several pods would write to it."""
    for service in present(home):
        volume = service["volume"]
        if not volume:
            continue
        if not re.fullmatch(r"/[^:]+", volume["path"]) or volume["path"] in service["files"]:
            advice = "Name a directory of the container by its whole path, from / on, that is none of files."
            yield finding(service, "has a volume at no possible path", f"volume: path: {volume['path']}", advice)
        if not _SIZE.fullmatch(volume["size"]):
            advice = "Write it as 500Mi or 10Gi."
            yield finding(service, "has a volume of no size", f"volume: size: {volume['size']}", advice)
        if service["replicas"] > 1:
            yield finding(
                service,
                "has a volume, to which several pods would write at once",
                f"replicas: {service['replicas']}",
                "Set replicas to 1.",
            )


def invalid_acme(home: Home) -> Iterator[Finding]:
    """What Traefik would tell the authority that gives certificates cannot be right."""
    email, authority = _text(home, "traefik_acme_email"), _text(home, "traefik_acme_authority") or "staging"
    if not email:
        return
    of_lets_encrypt = authority in AUTHORITIES or authority in AUTHORITIES.values()
    if not _EMAIL.fullmatch(email) or (of_lets_encrypt and email.rpartition("@")[2].lower() in _NO_MAIL):
        advice = "Write your own address: Let's Encrypt refuses those of example domains."
        yield Finding("traefik_acme_email is no address that gets mail.", f"traefik_acme_email: {email}", advice)
    if authority not in AUTHORITIES and not re.fullmatch(r"https://[^\s/]+(/\S*)?", authority):
        yield Finding(
            "traefik_acme_authority is no authority.",
            f"traefik_acme_authority: {authority}",
            "Write staging, production, or the URL of the directory of another one, as https://ca.home.example/acme/directory.",
        )
    resolver = _text(home, "traefik_acme_resolver") or "le"
    if not is_dns_label(resolver):
        advice = "Use lower case letters, digits and dashes only."
        yield Finding("traefik_acme_resolver is no name.", f"traefik_acme_resolver: {resolver}", advice)
    ca = _text(home, "traefik_acme_ca")
    if ca and not re.search("-----BEGIN CERTIFICATE-----.+-----END CERTIFICATE-----", ca, re.DOTALL):
        advice = """Give the certificates themselves: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"."""
        yield Finding("traefik_acme_ca has no certificate in PEM form.", f"{len(ca)} characters", advice)


def invalid_dns_challenge(home: Home) -> Iterator[Finding]:
    """The challenge is C(dns), but nobody or nothing is named by which the zone could be changed."""
    if not _text(home, "traefik_acme_email") or _text(home, "traefik_acme_challenge") != "dns":
        return
    if not re.fullmatch("[A-Za-z0-9-]+", _text(home, "traefik_acme_dns_provider")):
        yield Finding(
            "The challenge is dns, but it is not known who has the zone.",
            f"traefik_acme_dns_provider: {_text(home, 'traefik_acme_dns_provider') or 'none'}",
            "Set it to the code of your provider, see https://go-acme.github.io/lego/dns/.",
        )
    secrets = home.controller.setting("traefik_acme_dns_secrets")
    for name, value in secrets.items() if isinstance(secrets, Mapping) else ():
        if not _VARIABLE.fullmatch(str(name)) or not is_text(value):
            yield Finding(
                "traefik_acme_dns_secrets has what can be no variable of an environment.",
                f"{name}{'' if is_text(value) else ': its value is not a text'}",
                "Name each as your provider's page says, and put its value in quotes.",
            )


def invalid_dashboard(home: Home) -> Iterator[Finding]:
    """Traefik's dashboard has a name, but no password."""
    if _text(home, "traefik_dashboard_host") and not _text(home, "traefik_dashboard_password"):
        yield Finding(
            "Traefik's dashboard would be open to everybody.",
            f"traefik_dashboard_host: {_text(home, 'traefik_dashboard_host')}; traefik_dashboard_password: none",
            "Set traefik_dashboard_password, best in a file that ansible-vault has encrypted.",
        )


def invalid_traefik_address(home: Home) -> Iterator[Finding]:
    """C(traefik_address) is none or in no pool, C(traefik_pool) does not exist, or both are given."""
    address, pool = _text(home, "traefik_address"), _text(home, "traefik_pool")
    seen = f"traefik_address: {address or 'none'}, traefik_pool: {pool or 'none'}"
    ranges = pool_ranges(home)
    if address and pool:
        yield Finding("Traefik asks for an address and for a pool.", seen, "Leave one of them out.")
    elif address and not _is_address(address):
        yield Finding("traefik_address is no address.", seen, "Write one address, such as 192.168.1.200.")
    elif address and ranges and not any(part.holds(Range.address(address)) for _name, part in ranges):
        there = ", ".join(f"{name} ({part.text})" for name, part in ranges)
        yield Finding("Traefik asks for an address of no pool.", f"{seen}; pools: {there}", "Choose one of a pool.")
    elif pool and ranges and pool not in [entry["name"] for entry in metallb_pools(home)]:
        there = ", ".join(entry["name"] for entry in metallb_pools(home))
        yield Finding("Traefik asks for a pool that does not exist.", f"{seen}; pools: {there}", "Name one of these.")
    for service in present(home):
        if address and service["type"] == "LoadBalancer" and service["address"] == address:
            yield finding(service, "asks for the address of Traefik", seen, "Give each an address of its own.")


def invalid_entry_point(home: Home) -> Iterator[Finding]:
    """A further entry point of Traefik is not written as the role reads it, or has the name or a port of another."""
    taken: set[object] = {80, 443}
    for entry_point, problems in read_items("traefik_entry_points", home.controller.setting("traefik_entry_points")):
        found = [*problems, *([] if problems else _entry_point_problems(entry_point, taken))]
        for problem in found:
            yield Finding(
                f'The entry point "{entry_point.get("name", "")}" of Traefik cannot be.',
                problem,
                "Write each as {name: smtp, port: 2525, exposed_port: 25}, with a name and ports of its own.",
            )
        if not found:
            taken |= {entry_point["name"], _outside(entry_point)}


def _entry_point_problems(entry_point: Item, taken: set[object]) -> Iterator[str]:
    if not is_dns_label(entry_point["name"]) or len(entry_point["name"]) > 15:
        yield "its name is none of at most 15 lower case letters, digits and dashes"
    if entry_point["name"] in taken | _OWN_ENTRY_POINTS:
        yield "its name is taken"
    if not 1024 <= entry_point["port"] <= 65535 or entry_point["port"] in (8000, 8080, 8443, 9100):
        yield f"port: {entry_point['port']}: not of 1024 to 65535, or one that Traefik has already"
    if not 1 <= _outside(entry_point) <= 65535 or _outside(entry_point) in taken:
        yield f"exposed_port: {_outside(entry_point)}: taken, or not of 1 to 65535"


def _outside(entry_point: Item) -> int:
    return int(entry_point["exposed_port"] or entry_point["port"])


def traefik_disabled(home: Home) -> Iterator[Finding]:
    """k3s is told not to bring Traefik, but something needs it."""
    if not home.hosts or "traefik" not in words(home.cluster_config.get("disable", [])):
        return
    needed = [f"hosts of the web service {names([service])}" for service in present(home) if service["hosts"]]
    needed += [key for key in ("traefik_acme_email", "traefik_dashboard_host") if _text(home, key)]
    if needed:
        yield Finding(
            "k3s is told not to bring Traefik, but it is needed.",
            f"k3s_config: disable: traefik; needed for {', '.join(needed)}",
            'Take "traefik" out of "disable", or leave these out.',
        )


def _text(home: Home, name: str) -> str:
    value = home.controller.setting(name)
    return value if isinstance(value, str) else ""


def _redirects(home: Home) -> bool:
    given = home.controller.given.get("traefik_redirect")
    return bool(_text(home, "traefik_acme_email")) if given is None else bool(given)


def _is_address(text: str) -> bool:
    try:
        Range.address(text)
    except ValueError:
        return False
    return True
