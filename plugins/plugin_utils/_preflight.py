# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of preflight's checks, and what is made of what they find.

Private to the collection. A check is a function that finds the faults of one kind. Its name is their code, the first
line of its documentation says what they are. It decides by what it is given and reads nothing itself.
"""

from __future__ import annotations

import typing as t
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_cluster as cluster
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_host as host
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_network as network
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_settings as settings
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_sites as sites
from ansible_collections.homecloud.k3s.plugins.plugin_utils import _preflight_web as web
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import Finding, Home, Host, Settings

Check = Callable[[Home], Iterator[Finding]]
Severity = t.Literal["error", "warning"]

OF_THE_CLUSTER: tuple[Check, ...] = (
    network.invalid_pool,
    network.invalid_selector,
    network.pools_overlap,
    web.invalid_web_service,
    web.invalid_service_name,
    web.duplicate_service,
    web.invalid_image,
    web.invalid_port,
    web.node_port_taken,
    web.invalid_environment,
    web.invalid_labels,
    web.invalid_resources,
    web.invalid_probe,
    web.invalid_file,
    web.invalid_address,
    web.address_outside_pools,
    web.address_taken,
    web.unknown_pool,
    web.no_pool_for_service,
    sites.invalid_host,
    sites.host_taken,
    sites.invalid_route,
    sites.redirected_to_nothing,
    sites.invalid_volume,
    sites.invalid_acme,
    sites.invalid_dns_challenge,
    sites.invalid_dashboard,
    sites.invalid_traefik_address,
    sites.invalid_entry_point,
    sites.traefik_disabled,
)
"""The errors that need no more than the settings of what runs on the cluster."""
ERRORS: tuple[Check, ...] = (
    # what the inventory says
    settings.wrong_groups,
    settings.server_count,
    settings.settings_differ,
    settings.token_for_datastore,
    settings.unreadable_setting,
    settings.misplaced_setting,
    settings.invalid_version,
    settings.agent_newer_than_server,
    settings.invalid_config,
    settings.unknown_config_key,
    settings.reserved_config_key,
    settings.invalid_network,
    settings.invalid_token,
    settings.invalid_api_endpoint,
    settings.invalid_node_name,
    settings.duplicate_node_name,
    settings.servicelb_enabled,
    # what each host is
    host.unsupported_os,
    host.unsupported_architecture,
    host.python_too_old,
    host.no_memory_cgroup,
    host.cgroup_v1,
    host.disk_full,
    host.port_taken,
    host.config_unreadable,
    # what the hosts are to each other
    cluster.duplicate_machine_id,
    cluster.clock_wrong,
    # the k3s that is there
    cluster.not_adopted,
    cluster.another_kind,
    cluster.another_cluster,
    cluster.servers_down,
    cluster.downgrade,
    cluster.minor_skipped,
    cluster.upgrade,
    cluster.another_token,
    cluster.network_changed,
    cluster.data_dir_moved,
    # networks
    network.no_default_route,
    network.another_lan,
    network.unresolved_endpoint,
    network.invalid_api_vip,
    network.firewall_blocks,
    network.networks_overlap,
    network.pool_outside_lan,
    network.pool_holds_lan_address,
    network.pool_holds_host,
    # pools and web services
    *OF_THE_CLUSTER,
)
WARNINGS: tuple[Check, ...] = (
    cluster.unreachable,
    host.little_disk,
    host.little_memory,
    host.wifi,
    cluster.duplicate_hostname,
    cluster.clock_adrift,
    cluster.dropin_overrides,
    network.firewall_unclear,
    network.no_pool,
)
CODES: t.Final = tuple(check.__name__ for check in (*ERRORS, *WARNINGS))


def find_faults(home: Home, accepted: Collection[str]) -> list[Fault]:
    """All faults, errors first. An error whose code is accepted becomes a warning."""
    faults = [_unknown_code(code) for code in accepted if code not in CODES]
    for check in ERRORS:
        faults += _run(check, home, "warning" if check.__name__ in accepted else "error")
    for check in WARNINGS:
        faults += _run(check, home, "warning")
    return sorted(faults, key=lambda fault: fault.severity)


def find_setting_faults(settings: Settings, accepted: Collection[str]) -> list[Fault]:
    """The errors, but for accepted ones, of the settings of what runs on the cluster, as far as these are given."""
    controller = Host("localhost", "server", settings)
    home = Home(hosts=[], groups={}, controller=controller, started=0, finished=0)
    return [fault for check in OF_THE_CLUSTER if check.__name__ not in accepted for fault in _run(check, home, "error")]


def _run(check: Check, home: Home, severity: Severity) -> Iterator[Fault]:
    """The faults that a check finds; what all hosts have in common is one."""
    hosts = defaultdict(list)
    for finding in check(home):
        hosts[replace(finding, host="")].append(finding.host)
    for finding, names in hosts.items():
        everywhere = len(home.hosts) > 1 and {host.name for host in home.hosts} <= set(names)
        for name in [""] if everywhere else names:
            yield Fault(check.__name__, severity, finding.message, finding.evidence, finding.advice, name)


def _unknown_code(code: str) -> Fault:
    return Fault(
        "unknown_code",
        "error",
        "preflight_accept names a fault that does not exist.",
        f"preflight_accept: {code}",
        "Take the code from the line that shows the fault.",
    )
