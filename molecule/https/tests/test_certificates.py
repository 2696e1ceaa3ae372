# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates by each challenge and of another authority, and why there are none.

An authority that has seen a proof for a name asks for none for a while, so each test has names of its own.
"""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest
from scenario import refused
from world import SITE, web_service

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Kubectl, Lab
    from world import World

NOWHERE: t.Final = web_service("nowhere", hosts=["nowhere.example"])
ELSEWHERE: t.Final = web_service("elsewhere")
BY_TLS: t.Final = web_service("by-tls")
BY_DNS: t.Final = web_service("by-dns")


def host_of(service: dict[str, t.Any]) -> str:
    return str(service["hosts"][0])


def by_dns(lab: Lab) -> dict[str, t.Any]:
    """What Traefik needs to change the zone of the home."""
    internet, secret = lab.facts["internet"], Path(lab.facts["paths"]["tsig_secret"]).read_text()
    return {
        "traefik_acme_challenge": "dns",
        "traefik_acme_dns_provider": "rfc2136",
        "traefik_acme_dns_resolvers": [f"{internet['nameserver']}:53"],
        "traefik_acme_dns_secrets": {
            "RFC2136_NAMESERVER": f"{internet['nameserver']}:53",
            "RFC2136_TSIG_KEY": f"{internet['tsig_key']}.",
            "RFC2136_TSIG_ALGORITHM": f"{internet['tsig_algorithm']}.",
            "RFC2136_TSIG_SECRET": secret,
        },
    }


@pytest.fixture(scope="module", autouse=True)
def as_before(world: World) -> Iterator[None]:
    yield
    done = world.publish()
    assert done.code == 0, done.end
    world.remove(NOWHERE, ELSEWHERE, BY_TLS, BY_DNS)


def test_each_site_without_certificate_has_its_own_reason_and_gets_one_when_it_is_gone(world: World, lab: Lab) -> None:
    with lab.running("outside", "python3", "-m", "http.server", "80") as other:
        done = world.publish(NOWHERE, ELSEWHERE)
        other.terminate()
    refused(done, "acme_no_address", "of nowhere.example in the public DNS")
    refused(done, "acme_wrong_answer", "finds elsewhere.home.example, something else")
    assert world.serves()

    leads = "update delete elsewhere.home.example. A\nupdate add elsewhere.home.example. 1 A {}"
    world.lookups(leads.format(lab.facts["internet"]["public_address"]))
    try:
        done = world.publish({**NOWHERE, "state": "absent"}, ELSEWHERE)
        assert done.code == 0, done.end
        assert world.serves(host_of(ELSEWHERE))
    finally:
        world.lookups(leads.format(lab.address("outside")))


def test_by_tls_alpn_01_and_without_a_storm_where_it_fails(world: World, lab: Lab, kubectl: Kubectl) -> None:
    def tries() -> int:
        pod = world.pod()["metadata"]["name"]
        return kubectl("logs", "--namespace=kube-system", pod).count("Unable to obtain ACME certificate")

    with world.closed(80, 443):
        done = world.publish(BY_TLS, traefik_acme_challenge="tls")
        refused(done, "acme_port_closed", "cannot connect to by-tls.home.example on port 443")
        tried = tries()
        assert tried
        time.sleep(10)
        assert tries() == tried
    with world.closed(80):
        done = world.publish(BY_TLS, traefik_acme_challenge="tls")
        assert done.code == 0, done.end
    assert world.serves(host_of(BY_TLS))


def test_by_dns_01_with_nothing_open_to_the_world(world: World, lab: Lab) -> None:
    settings = by_dns(lab)
    with world.closed(80, 443):
        with world.authority_down():
            down = world.publish(BY_DNS, **settings)
            refused(down, "acme_authority_unreachable")
        done = world.publish(BY_DNS, **settings)
        assert done.code == 0, done.end
    assert world.serves(host_of(BY_DNS))
    for seen, word in (
        (down.output, BY_DNS["name"]),
        (world.values(), "rfc2136"),
        (" ".join(world.arguments()), "dnschallenge"),
    ):
        assert word in seen
        assert settings["traefik_acme_dns_secrets"]["RFC2136_TSIG_SECRET"] not in seen


def test_another_authority_gives_new_certificates_and_the_old_ones_come_back_with_theirs(
    world: World, lab: Lab
) -> None:
    """As from staging to production: the same authority by another URL is another one to Traefik."""
    before, storage = world.certificate(), world.storage
    done = world.publish(traefik_acme_authority=f"{lab.facts['internet']['acme_directory']}?production")
    assert done.code == 0, done.end
    assert world.storage != storage
    assert world.serves()
    assert world.certificate() != before

    assert world.publish().code == 0
    assert world.serves(SITE)
    assert world.certificate() == before


def test_before_there_is_an_authority_sites_are_reached_by_plain_http(world: World) -> None:
    """The guide's first step. Whoever wants TLS even so has what Traefik shows by itself."""
    done = world.publish(BY_TLS, {**BY_DNS, "tls": True}, traefik_acme_email="")
    assert done.code == 0, done.end
    assert world.get(f"http://{SITE}/").status == 200
    assert world.get(f"http://{host_of(BY_TLS)}/").status == 200
    assert "TRAEFIK DEFAULT CERT" in world.certificate(host_of(BY_DNS))
