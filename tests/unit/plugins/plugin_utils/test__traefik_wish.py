# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_wish import traefik_faults, traefik_wish

if t.TYPE_CHECKING:
    from collections.abc import Mapping

SPECS = yaml.safe_load((Path(__file__).parents[4] / "roles/traefik/meta/argument_specs.yml").read_text())
DEFAULTS = {
    name.removeprefix("traefik_"): option.get("default")
    for name, option in SPECS["argument_specs"]["main"]["options"].items()
    if "default" in option
}
NOTHING = DEFAULTS
DNS = {
    **NOTHING,
    "acme_email": "me@home.example.net",
    "acme_challenge": "dns",
    "acme_dns_provider": "hetzner",
    "acme_dns_secrets": {"HETZNER_API_KEY": "k3y"},
}
DASHBOARD = {**NOTHING, "dashboard_host": "traefik.home.example.net", "dashboard_password": "pa55"}


def named(things: list[dict[str, t.Any]]) -> set[str]:
    return {f"{thing['kind']} {thing['metadata']['name']}" for thing in things}


ALL = {
    "HelmChartConfig traefik",
    "Secret traefik-acme-dns",
    "ConfigMap traefik-acme-ca",
    "IngressRoute homecloud-dashboard",
    "Middleware homecloud-dashboard",
    "Secret homecloud-dashboard",
}


@pytest.mark.parametrize(
    ("settings", "state"), [(NOTHING, "present"), ({**DNS, **DASHBOARD, "redirect": True}, "absent")]
)
def test_where_nothing_is_wanted_nothing_is_to_be_there(settings: Mapping[str, t.Any], state: str) -> None:
    wish = traefik_wish(settings, state)
    assert named(wish["absent"]) == ALL
    assert {key: value for key, value in wish.items() if value and key != "absent"} == {}


@pytest.mark.parametrize(
    "settings", [DNS, DASHBOARD, {**DNS, "acme_ca": "PEM"}, {**NOTHING, "values": {"a": 1}}, {**DNS, **DASHBOARD}]
)
def test_what_is_not_wanted_is_to_be_absent(settings: Mapping[str, t.Any]) -> None:
    wish = traefik_wish(settings, "present")
    wanted = named([*wish["secrets"], *wish["configuration"], *wish["dashboard"]])
    assert wanted | named(wish["absent"]) == ALL
    assert not wanted & named(wish["absent"])


def test_the_chart_is_told_the_values_and_no_secret() -> None:
    wish = traefik_wish({**DASHBOARD, **DNS, "dashboard_host": "t.home", "dashboard_password": "pa55"}, "present")
    (config,) = wish["configuration"]
    assert yaml.safe_load(config["spec"]["valuesContent"]) == wish["chart_values"]
    told = json.dumps([wish["chart_values"], wish["configuration"], wish["dashboard"]])
    for secret in ("k3y", "pa55"):
        assert secret not in told
        assert base64.b64encode(secret.encode()).decode() not in told
    values = [value for secret in wish["secrets"] for value in secret["data"].values()]
    assert {base64.b64decode(value).decode() for value in values} == {"k3y", "admin", "pa55"}


def test_what_traefik_reads_only_when_it_starts() -> None:
    wish = traefik_wish({**DNS, "acme_ca": "PEM"}, "present")
    assert named(wish["inputs"]) == {"Secret traefik-acme-dns", "ConfigMap traefik-acme-ca"}
    assert traefik_wish(DASHBOARD, "present")["inputs"] == []
    assert wish["storage"] == "/data/acme-staging.json"


@pytest.mark.parametrize(("email", "resolver"), [("", ""), ("me@home.example.net", "le")])
def test_the_dashboard_asks_for_a_password(email: str, resolver: str) -> None:
    wish = traefik_wish({**DASHBOARD, "acme_email": email}, "present")
    route = next(thing for thing in wish["dashboard"] if thing["kind"] == "IngressRoute")
    (rule,) = route["spec"]["routes"]
    assert route["spec"]["tls"] == {"certResolver": resolver}
    assert rule["match"].startswith("Host(`traefik.home.example.net`) && (")
    middleware = next(thing for thing in wish["dashboard"] if thing["kind"] == "Middleware")
    assert rule["middlewares"] == [{"name": middleware["metadata"]["name"]}]
    (secret,) = wish["secrets"]
    assert middleware["spec"] == {"basicAuth": {"secret": secret["metadata"]["name"]}}
    assert secret["type"] == "kubernetes.io/basic-auth"
    assert secret["data"].keys() == {"username", "password"}


ASKED: t.Final = {"chart_values": {"additionalArguments": ["--accesslog=true"]}, "dashboard": []}
READING: t.Final[dict[str, t.Any]] = {
    "chart": {"version": "39.0.701+up39.0.7", "major": 39},
    "configuration": None,
    "old_objects": [],
}
OTHERS: t.Final = {"ours": False, "settings": {"logs": {}}}


@pytest.mark.parametrize(
    ("reading", "wish", "codes"),
    [
        (READING, ASKED, []),
        ({**READING, "chart": None}, ASKED, ["no_traefik"]),
        ({**READING, "chart": None}, {"chart_values": {}, "dashboard": [{}]}, ["no_traefik"]),
        ({**READING, "chart": None}, {"chart_values": {}, "dashboard": []}, []),
        ({**READING, "chart": {"version": "27.0.201", "major": 27}}, ASKED, ["chart_too_old"]),
        ({**READING, "chart": {"version": "34.2.1", "major": 34}}, ASKED, []),
        ({**READING, "chart": {"version": "", "major": 0}}, ASKED, []),
        ({**READING, "configuration": OTHERS}, ASKED, ["configuration_of_others"]),
        ({**READING, "configuration": OTHERS}, {"chart_values": {}, "dashboard": []}, []),
        ({**READING, "configuration": {**OTHERS, "ours": True}}, ASKED, []),
        ({**READING, "old_objects": ["IngressRoute default/mysite"]}, ASKED, ["old_objects"]),
    ],
)
def test_what_speaks_against_it(reading: Mapping[str, t.Any], wish: Mapping[str, t.Any], codes: list[str]) -> None:
    assert [fault["code"] for fault in traefik_faults(reading, wish, take_over=False)] == codes


def test_what_others_have_made_is_taken_over_when_asked() -> None:
    reading = {**READING, "configuration": OTHERS}
    assert traefik_faults(reading, ASKED, take_over=True) == []
    (fault,) = traefik_faults(reading, ASKED, take_over=False)
    assert fault["evidence"] == "HelmChartConfig kube-system/traefik has logs"


@pytest.mark.parametrize(
    ("settings", "redirects"),
    [
        (NOTHING, False),
        (DNS, True),
        ({**DNS, "redirect": False}, False),
        ({**NOTHING, "redirect": True}, True),
    ],
)
def test_clients_are_redirected_where_there_are_certificates(settings: Mapping[str, t.Any], redirects: bool) -> None:
    values = traefik_wish(settings, "present")["chart_values"]
    assert any("redirections" in argument for argument in values.get("additionalArguments", [])) is redirects


def test_what_an_entry_point_leaves_out_is_as_the_argument_specs_say() -> None:
    settings = {**NOTHING, "entry_points": [{"name": "smtp", "port": 2525}]}
    assert traefik_wish(settings, "present")["chart_values"]["ports"] == {
        "smtp": {"port": 2525, "exposedPort": 2525, "protocol": "TCP", "expose": {"default": True}}
    }
