# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what Ansible knows to what preflight checks.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from ansible.errors import AnsibleError
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import Kind
from ansible_collections.homecloud.k3s.plugins.plugin_utils._plain import plain
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight import find_faults, find_setting_faults
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Home, Host, Reading, Settings
from jinja2 import TemplateError

Variables = Mapping[str, t.Any]

_SETTINGS = (
    "api_vip_address",
    "api_vip_state",
    "k3s_api_endpoint",
    "k3s_config",
    "k3s_token",
    "k3s_version",
    "metallb_pools",
    "metallb_state",
    "traefik_acme_authority",
    "traefik_acme_ca",
    "traefik_acme_challenge",
    "traefik_acme_dns_provider",
    "traefik_acme_dns_secrets",
    "traefik_acme_email",
    "traefik_acme_resolver",
    "traefik_address",
    "traefik_dashboard_host",
    "traefik_dashboard_password",
    "traefik_entry_points",
    "traefik_pool",
    "traefik_redirect",
    "web_service_services",
)


def preflight_faults(
    readings: Mapping[str, Reading],
    hostvars: Mapping[str, Variables],
    groups: Mapping[str, Sequence[str]],
    defaults: Settings,
    started: float,
    finished: float,
    accept: Sequence[str],
) -> list[dict[str, t.Any]]:
    """What is wrong with the hosts of an inventory."""
    names = dict.fromkeys(name for group in ("k3s_cluster", "server", "agent") for name in groups.get(group, ()))
    servers = groups.get("server", ())
    home = Home(
        hosts=[
            _host(name, "server" if name in servers else "agent", hostvars[name], defaults, readings.get(name))
            for name in names
        ],
        groups=groups,
        controller=_host("localhost", "server", hostvars["localhost"], defaults),
        started=started,
        finished=finished,
    )
    return [asdict(fault) for fault in find_faults(home, accept)]


def setting_faults(settings: Variables, accept: Collection[str]) -> list[dict[str, t.Any]]:
    """What is wrong with the settings of what runs on the cluster."""
    return [asdict(fault) for fault in find_setting_faults(plain(settings), accept)]


def _host(name: str, kind: Kind, variables: Variables, defaults: Settings, reading: Reading | None = None) -> Host:
    given, unreadable = {}, {}
    for setting in _SETTINGS:
        if setting in variables:
            try:
                given[setting] = plain(variables[setting])
            except (AnsibleError, TemplateError) as error:
                unreadable[setting] = str(error.__cause__ or error)
    return Host(name, kind, given, defaults, reading, frozenset(variables), unreadable)
