# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._traefik import MARKER
from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_chart import (
    Acme,
    Values,
    Wish,
    chart_values,
)

ACME: t.Final = Acme("me@home.example.net")


def own_values(wish: Wish) -> Values:
    """The values without the mark."""
    values = chart_values(wish)
    annotations = values["deployment"].pop("annotations")
    assert annotations.pop(MARKER)
    assert annotations == {}
    return {key: value for key, value in values.items() if value}


def arguments(wish: Wish) -> list[str]:
    return t.cast("list[str]", chart_values(wish).get("additionalArguments", []))


def of_acme(acme: Acme) -> dict[str, str]:
    prefix = f"--certificatesresolvers.{acme.resolver}.acme."
    own = (argument[len(prefix) :] for argument in arguments(Wish(acme)) if argument.startswith(prefix))
    return dict(argument.split("=", 1) for argument in own)


def test_where_nothing_is_wished_the_chart_is_told_nothing() -> None:
    assert chart_values(Wish()) == {}


def test_certificates_are_kept_by_one_traefik() -> None:
    values = own_values(Wish(ACME))
    assert values["deployment"] == {"kind": "Deployment", "replicas": 1}
    assert values["updateStrategy"] == {"type": "Recreate", "rollingUpdate": None}
    assert values["persistence"] == {"enabled": True, "path": "/data"}


def test_other_values_have_another_mark() -> None:
    def mark(wish: Wish) -> str:
        return str(chart_values(wish)["deployment"]["annotations"][MARKER])

    assert mark(Wish(ACME)) == mark(Wish(ACME))
    assert len({mark(Wish(ACME)), mark(Wish(ACME, redirects=True)), mark(Wish(pool="home")), mark(Wish(pool="b"))}) == 4


@pytest.mark.parametrize(
    ("authority", "directory", "storage"),
    [
        ("staging", "https://acme-staging-v02.api.letsencrypt.org/directory", "/data/acme-staging.json"),
        ("production", "https://acme-v02.api.letsencrypt.org/directory", "/data/acme.json"),
        ("https://acme-v02.api.letsencrypt.org/directory", None, "/data/acme.json"),
        ("https://ca.home.example.net/acme/directory", None, "/data/acme-0a66b280.json"),
    ],
)
def test_each_authority_has_a_file_of_its_own(authority: str, directory: str | None, storage: str) -> None:
    acme = replace(ACME, authority=authority)
    told = of_acme(acme)
    assert (told["caserver"], told["storage"]) == (directory or authority, storage)
    assert acme.storage == storage


@pytest.mark.parametrize(
    ("acme", "challenge"),
    [
        (replace(ACME, challenge="tls"), {"tlschallenge": "true"}),
        (ACME, {"httpchallenge.entrypoint": "web"}),
        (replace(ACME, challenge="dns", provider="hetzner"), {"dnschallenge.provider": "hetzner"}),
        (
            replace(ACME, challenge="dns", provider="rfc2136", resolvers=("192.0.2.1:53", "192.0.2.2:53")),
            {"dnschallenge.provider": "rfc2136", "dnschallenge.resolvers": "192.0.2.1:53,192.0.2.2:53"},
        ),
    ],
)
def test_challenges(acme: Acme, challenge: dict[str, str]) -> None:
    told = of_acme(acme)
    assert {name: value for name, value in told.items() if "challenge" in name} == challenge
    assert told["email"] == "me@home.example.net"


def test_secrets_are_only_pointed_to() -> None:
    acme = replace(ACME, challenge="dns", provider="hetzner", has_secrets=True)
    assert chart_values(Wish(acme))["envFrom"] == [{"secretRef": {"name": "traefik-acme-dns"}}]
    for other in (replace(acme, challenge="http"), replace(acme, has_secrets=False)):
        assert "envFrom" not in chart_values(Wish(other))


def test_an_authority_of_ones_own_is_trusted() -> None:
    acme = replace(ACME, has_own_ca=True)
    assert chart_values(Wish(acme))["volumes"] == [
        {"name": "traefik-acme-ca", "mountPath": "/acme-ca", "type": "configMap"}
    ]
    assert of_acme(acme)["cacertificates"] == "/acme-ca/ca.crt"
    assert "cacertificates" not in of_acme(ACME)
    assert "volumes" not in chart_values(Wish(ACME))


def test_clients_are_redirected_to_the_port_they_can_reach() -> None:
    assert "--entryPoints.web.http.redirections.entryPoint.to=:443" in arguments(Wish(redirects=True))
    assert not any("redirections" in argument for argument in arguments(Wish(ACME)))


@pytest.mark.parametrize(
    ("wish", "argument"),
    [
        (Wish(log_level="DEBUG"), "--log.level=DEBUG"),
        (Wish(has_access_log=True), "--accesslog=true"),
        (Wish(has_metrics=False), "--metrics.prometheus=false"),
    ],
)
def test_other_settings(wish: Wish, argument: str) -> None:
    assert own_values(wish) == {"additionalArguments": [argument]}


def test_the_service_is_as_asked_for() -> None:
    assert own_values(Wish(address="192.168.1.200", traffic_policy="Local")) == {
        "service": {
            "annotations": {"metallb.io/loadBalancerIPs": "192.168.1.200"},
            "spec": {"externalTrafficPolicy": "Local"},
        }
    }
    assert own_values(Wish(pool="home")) == {"service": {"annotations": {"metallb.io/address-pool": "home"}}}


def test_further_entry_points_are_on_the_service_too() -> None:
    smtp = {"name": "smtp", "port": 2525, "exposed_port": 25, "protocol": "TCP"}
    dns = {"name": "dns", "port": 5353, "exposed_port": None, "protocol": "UDP"}
    assert own_values(Wish(entry_points=[smtp, dns]))["ports"] == {
        "smtp": {"port": 2525, "exposedPort": 25, "protocol": "TCP", "expose": {"default": True}},
        "dns": {"port": 5353, "exposedPort": 5353, "protocol": "UDP", "expose": {"default": True}},
    }


def test_values_of_the_user_come_last() -> None:
    extra = {
        "additionalArguments": ["--ping.entrypoint=web"],
        "service": {"spec": {"externalTrafficPolicy": "Local"}, "labels": {"a": "b"}},
        "persistence": {"size": "1Gi"},
        "updateStrategy": None,
    }
    values = chart_values(Wish(ACME, extra=extra))
    assert values["additionalArguments"] == [*arguments(Wish(ACME)), "--ping.entrypoint=web"]
    assert values["service"] == {"spec": {"externalTrafficPolicy": "Local"}, "labels": {"a": "b"}}
    assert values["persistence"] == {"enabled": True, "path": "/data", "size": "1Gi"}
    assert values["updateStrategy"] is None
    assert extra["persistence"] == {"size": "1Gi"}
