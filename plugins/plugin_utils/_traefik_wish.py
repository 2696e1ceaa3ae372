# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects by which Traefik becomes what the role's variables say, and what speaks against them.

Private to the collection. Settings are the role's variables by their names without its prefix, a reading is what
homecloud.k3s.traefik_info returns.
"""

from __future__ import annotations

import base64
import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._traefik import API, NAME, NAMESPACE
from ansible_collections.homecloud.k3s.plugins.plugin_utils._plain import plain
from ansible_collections.homecloud.k3s.plugins.plugin_utils._traefik_chart import (
    CA_CONFIG_MAP,
    CA_FILE,
    DNS_SECRET,
    Values,
    Wish,
    chart_values,
)

Thing = dict[str, t.Any]

# Not the name that the chart has for a route of its own.
_DASHBOARD: t.Final = "homecloud-dashboard"
# k3s 1.33 came with this one; older charts know other keys.
_FIRST_CHART: t.Final = 34


def traefik_wish(settings: Mapping[str, t.Any], state: str) -> dict[str, t.Any]:
    """What is wanted: the values, the objects with secrets, those that bring the values, those of the dashboard, those
    that shall not be there, and where Traefik keeps its certificates.
    """
    given = plain(settings)
    present = state == "present"
    wish = Wish.read(given) if present else Wish()
    values = chart_values(wish)
    has_dashboard = present and bool(given["dashboard_host"])
    acme = wish.acme
    secrets = {DNS_SECRET: _dns_secret(given)} if acme and acme.challenge == "dns" and acme.has_secrets else {}
    secrets |= {_DASHBOARD: _dashboard_secret(given)} if has_dashboard else {}
    configuration = [
        *([_config_map(given["acme_ca"])] if acme and acme.has_own_ca else []),
        *([_chart_config(values)] if values else []),
    ]
    dashboard = _dashboard(given["dashboard_host"], acme.resolver if acme else "") if has_dashboard else []
    wanted = {(thing["kind"], thing["metadata"]["name"]) for thing in (*secrets.values(), *configuration, *dashboard)}
    return {
        "chart_values": values,
        "secrets": list(secrets.values()),
        "configuration": configuration,
        "dashboard": dashboard,
        "absent": [thing for thing in _ALL if (thing["kind"], thing["metadata"]["name"]) not in wanted],
        "inputs": [thing for thing in _INPUTS if (thing["kind"], thing["metadata"]["name"]) in wanted],
        "storage": acme.storage if acme else "",
    }


def _thing(kind: str, api_version: str, name: str, **content: object) -> Thing:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **content}


_INPUTS: t.Final = (_thing("Secret", "v1", DNS_SECRET), _thing("ConfigMap", "v1", CA_CONFIG_MAP))
_ALL: t.Final = (
    _thing("HelmChartConfig", "helm.cattle.io/v1", NAME),
    *_INPUTS,
    _thing("IngressRoute", API, _DASHBOARD),
    _thing("Middleware", API, _DASHBOARD),
    _thing("Secret", "v1", _DASHBOARD),
)
"""All that the role can make, without content."""


def _dns_secret(settings: Mapping[str, t.Any]) -> Thing:
    return _thing("Secret", "v1", DNS_SECRET, data=_encoded(settings["acme_dns_secrets"]))


def _dashboard_secret(settings: Mapping[str, t.Any]) -> Thing:
    account = {"username": settings["dashboard_user"], "password": settings["dashboard_password"]}
    return _thing("Secret", "v1", _DASHBOARD, type="kubernetes.io/basic-auth", data=_encoded(account))


def _encoded(texts: Mapping[str, object]) -> dict[str, str]:
    return {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}


def _config_map(certificates: str) -> Thing:
    return _thing("ConfigMap", "v1", CA_CONFIG_MAP, data={CA_FILE: certificates})


def _chart_config(values: Values) -> Thing:
    text = yaml.safe_dump(values, sort_keys=False, width=160)
    return _thing("HelmChartConfig", "helm.cattle.io/v1", NAME, spec={"valuesContent": text})


def _dashboard(host: str, resolver: str) -> list[Thing]:
    route = {
        "kind": "Rule",
        "match": f"Host(`{host}`) && (PathPrefix(`/dashboard`) || PathPrefix(`/api`))",
        "middlewares": [{"name": _DASHBOARD}],
        "services": [{"kind": "TraefikService", "name": "api@internal"}],
    }
    return [
        _thing("Middleware", API, _DASHBOARD, spec={"basicAuth": {"secret": _DASHBOARD}}),
        _thing(
            "IngressRoute",
            API,
            _DASHBOARD,
            spec={"entryPoints": ["websecure"], "routes": [route], "tls": {"certResolver": resolver}},
        ),
    ]


def traefik_faults(reading: Mapping[str, t.Any], wish: Mapping[str, t.Any], take_over: bool) -> list[dict[str, t.Any]]:
    """What speaks against the wish, and what the user should know of before it hurts."""
    asked = bool(wish["chart_values"] or wish["dashboard"])
    faults = [*_unusable_chart(reading, asked), *_old_objects(reading), *_configuration(reading, wish, take_over)]
    return [asdict(fault) for fault in faults]


def _unusable_chart(reading: Mapping[str, t.Any], asked: bool) -> Iterator[Fault]:
    chart = reading["chart"]
    if asked and not chart:
        yield Fault(
            "no_traefik",
            "error",
            "k3s does not package Traefik on this cluster, so there is nothing to configure.",
            f"no HelmChart {NAMESPACE}/{NAME}",
            'Take "traefik" out of "disable" in k3s_config and run site.yml again, '
            "or leave the variables of the role out.",
        )
    elif asked and 0 < chart["major"] < _FIRST_CHART:
        yield Fault(
            "chart_too_old",
            "error",
            "The chart of Traefik is older than those that the role knows.",
            f"chart {chart['version']}",
            "Use k3s 1.33 or newer.",
        )


def _configuration(reading: Mapping[str, t.Any], wish: Mapping[str, t.Any], take_over: bool) -> Iterator[Fault]:
    there = reading["configuration"]
    if there and not there["ours"] and wish["chart_values"] and not take_over:
        yield Fault(
            "configuration_of_others",
            "error",
            "Somebody else has configured Traefik already.",
            f"HelmChartConfig {NAMESPACE}/{NAME} has {', '.join(there['settings']) or 'no values'}",
            "Put what you want to keep of it into the role's variables, or into traefik_values, and set "
            "traefik_take_over to true for one run. If it comes from a file in /var/lib/rancher/k3s/server/manifests "
            "of a server, remove that file first: k3s would bring it back.",
        )


def _old_objects(reading: Mapping[str, t.Any]) -> Iterator[Fault]:
    if reading["old_objects"]:
        yield Fault(
            "old_objects",
            "warning",
            "There are objects of the group traefik.containo.us, which no Traefik since version 3 looks at.",
            ", ".join(reading["old_objects"]),
            "Make each anew with apiVersion traefik.io/v1alpha1: the rest mostly stays as it is, but ipWhiteList is "
            "now ipAllowList, and in a rule each Host() has one name. Then delete the old ones.",
        )
