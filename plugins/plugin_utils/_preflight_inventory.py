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
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight import find_faults, find_setting_faults
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Home, Host, Reading, Settings
from jinja2 import TemplateError

Variables = Mapping[str, t.Any]

_SETTINGS = (
    "k3s_api_endpoint",
    "k3s_config",
    "k3s_token",
    "k3s_version",
    "metallb_pools",
    "metallb_state",
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
    return [asdict(fault) for fault in find_setting_faults(_plain(settings), accept)]


def _host(name: str, kind: Kind, variables: Variables, defaults: Settings, reading: Reading | None = None) -> Host:
    given, unreadable = {}, {}
    for setting in _SETTINGS:
        if setting in variables:
            try:
                given[setting] = _plain(variables[setting])
            except (AnsibleError, TemplateError) as error:
                unreadable[setting] = str(error.__cause__ or error)
    return Host(name, kind, given, defaults, reading, frozenset(variables), unreadable)


def _plain(value: t.Any) -> t.Any:  # noqa: ANN401 (whatever an inventory holds)
    """The value with all its templates worked out: Ansible does that, and fails, only when they are looked at."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
