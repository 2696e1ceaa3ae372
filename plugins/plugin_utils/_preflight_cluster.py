# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of hosts against each other, and of the k3s that is on them already.

Private to the collection.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import merge_config, words
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    CLUSTER_NETWORKS,
    Finding,
    Home,
    Reading,
)
from ansible_collections.homecloud.k3s.plugins.plugin_utils._upgrade_step import Code, upgrade_step

_DEFAULTS = {**CLUSTER_NETWORKS, "flannel-backend": "vxlan"}
_OURS = {"disable": ["servicelb"]}
_DATA_DIR = "/var/lib/rancher/k3s"
_CLOCK_SECONDS = 60
_DRIFT_SECONDS = 2


def unreachable(home: Home) -> Iterator[Finding]:
    """A host that is not part of the run could not be read, so it was not checked."""
    for host in home.hosts:
        if not host.reading:
            yield Finding(
                "The host is not part of this run and could not be read, so it was not checked.",
                "no reading of the host",
                f'Switch it on, or take it out of the inventory. "ansible {host.name} -m ping" shows what is wrong.',
                host.name,
            )


def duplicate_machine_id(home: Home) -> Iterator[Finding]:
    """Two hosts have the same machine-id, as copies of one disk do."""
    for name, hosts in _same({host.name: reading["machine_id"] for host, reading in home.read}):
        yield Finding(
            f"{hosts} have the same machine-id, as copies of one disk do: the router may give them the same address.",
            f"/etc/machine-id: {name}",
            'On all but one run "rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup", and reboot.',
        )


def duplicate_hostname(home: Home) -> Iterator[Finding]:
    """Two hosts have the same host name. Nodes are named by the inventory, but the LAN cannot tell them apart."""
    for name, hosts in _same({host.name: reading["hostname"] for host, reading in home.read}):
        yield Finding(
            f"{hosts} have the same host name, so the LAN cannot tell them apart.",
            f"host name: {name}",
            'Give each its own, with "hostnamectl set-hostname NAME".',
        )


def clock_wrong(home: Home) -> Iterator[Finding]:
    """The clock of a host is more than a minute off the controller's, and no time service is about to set it."""
    for host, reading in home.read:
        offset = _clock_offset(home, reading)
        about_to_be_set = reading["time"]["service"] and not reading["time"]["synchronized"]
        if abs(offset) > _CLOCK_SECONDS and not about_to_be_set:
            yield Finding(
                "The clock is wrong, so certificates would be refused.",
                f"{_by_the_controller(offset)}; {_time_service(reading)}",
                'Look at "timedatectl" on the host, and at the clock of this machine. A Raspberry Pi has no clock that '
                "runs while it is off: it needs a time service, such as systemd-timesyncd.",
                host.name,
            )


def clock_adrift(home: Home) -> Iterator[Finding]:
    """The clock of a host is some seconds off the controller's, and no time service sets it right."""
    for host, reading in home.read:
        offset = _clock_offset(home, reading)
        kept = reading["time"]["synchronized"] or reading["time"]["service"]
        if _DRIFT_SECONDS < abs(offset) <= _CLOCK_SECONDS and not kept:
            yield Finding(
                "The clock runs away, and no time service sets it right.",
                f"{_by_the_controller(offset)}; {_time_service(reading)}",
                'Install a time service, such as "apt install systemd-timesyncd".',
                host.name,
            )


def not_adopted(home: Home) -> Iterator[Finding]:
    """Others have set up the k3s of the host, with flags in its unit or variables in files, which would be lost."""
    for host, reading in home.read:
        unit = reading["k3s"]["unit"]
        if unit["foreign"]:
            told = [*(f"--{flag}" for flag in unit["flags"]), *unit["environment_files"]]
            yield Finding(
                "This collection has not set up the k3s of the host, and would drop what its unit tells it.",
                f"{unit['path']}: {', '.join(told) or 'files with variables'}",
                "Run the playbook homecloud.k3s.adopt: it shows what will change, asks, and takes the cluster over.",
                host.name,
            )


def another_kind(home: Home) -> Iterator[Finding]:
    """The host runs a k3s server but is to be an agent, or the other way round."""
    for host, reading in home.read:
        k3s = reading["k3s"]
        if k3s["ca_sha256"] and k3s["kind"] not in ("", host.kind):
            yield Finding(
                f"The host is to be a k3s {host.kind}, but a k3s {k3s['kind']} was set up on it.",
                f"k3s {k3s['version']}, {k3s['kind']}",
                f'Put it into the group "{k3s["kind"]}", or remove the old k3s. {_removal(reading)}',
                host.name,
            )


def another_cluster(home: Home) -> Iterator[Finding]:
    """The host is a node of another cluster than that of the servers."""
    authorities = {host.name: reading["k3s"]["ca_sha256"] for host, reading in home.servers_read}
    server, theirs = next(((name, ca) for name, ca in authorities.items() if ca), (", ".join(authorities), ""))
    for host, reading in home.read:
        own = reading["k3s"]["ca_sha256"]
        if own and authorities and own != theirs:
            yield Finding(
                "The host is a node of another cluster, or of an earlier one.",
                f"sha256 of the cluster's authority: {own[:12]} here, {theirs[:12] or 'none'} on {server}",
                _removal(reading),
                host.name,
            )


def servers_down(home: Home) -> Iterator[Finding]:
    """A server that is to join comes before all that have the data of the cluster, and k3s runs on none of these."""
    servers = list(home.servers_read)
    holders = [host.name for host, reading in servers if reading["k3s"]["datastore"]]
    runs = any(reading["units"]["k3s"]["active"] == "active" for host, reading in servers if host.name in holders)
    for host, _reading in servers:
        if not holders or runs or host.name == holders[0]:
            return
        names = ", ".join(holders)
        yield Finding(
            f"The server cannot join the cluster: its data are on {names}, and k3s runs on none of them.",
            f"no data of a cluster here, and k3s is not active on {names}",
            f'Start it there with "systemctl start k3s", or run this playbook with --limit={names} first. '
            "Should these data be lost, remove k3s there.",
            host.name,
        )


def downgrade(home: Home) -> Iterator[Finding]:
    """The k3s of the host is newer than C(k3s_version). k3s cannot go back."""
    return _steps(home, "downgrade")


def minor_skipped(home: Home) -> Iterator[Finding]:
    """The k3s of the host is more than one minor version older than C(k3s_version)."""
    return _steps(home, "minor_skipped")


def upgrade(home: Home) -> Iterator[Finding]:
    """The k3s of the host is older than C(k3s_version). The playbook upgrade is for that."""
    return _steps(home, "upgrade")


def another_token(home: Home) -> Iterator[Finding]:
    """C(k3s_token) is not the token of the cluster."""
    for host, reading in home.servers_read:
        token, given = reading["k3s"]["token"], str(host.setting("k3s_token") or "")
        if given and token["present"] and token["sha256"] != _password_sha256(given):
            yield Finding(
                "k3s_token is not the token of the cluster.",
                f"k3s_token differs from the token on {host.name}",
                'Leave k3s_token out, or set it to what "sudo cat /var/lib/rancher/k3s/server/token" shows there. '
                '"k3s token rotate" changes the token of a cluster.',
                host.name,
            )


def network_changed(home: Home) -> Iterator[Finding]:
    """C(cluster-cidr), C(service-cidr) or C(flannel-backend) would change in a cluster that has started."""
    for host, reading in home.servers_read:
        config = reading["k3s"]["config"] if reading["k3s"]["ca_sha256"] else {}
        for key, default in _DEFAULTS.items():
            old, new = words(config.get(key, default)), words(host.config.get(key, default))
            if config and old != new:
                yield Finding(
                    f"{key} would change, but the cluster has started with another.",
                    f"{key}: {', '.join(old)} on the host, {', '.join(new)} in k3s_config",
                    f"Set {key} in k3s_config to {', '.join(old)}. It can only be chosen before the first start.",
                    host.name,
                )


def data_dir_moved(home: Home) -> Iterator[Finding]:
    """C(data-dir) of C(k3s_config) is not where the data of the host's k3s is. k3s would begin anew."""
    for host, reading in home.read:
        config = reading["k3s"]["config"]
        old, new = (str(c.get("data-dir", _DATA_DIR)) for c in (config, host.config))
        if config and old != new:
            yield Finding(
                "data-dir would change, so k3s would leave its data behind and begin anew.",
                f"data-dir: {old} on the host, {new} in k3s_config",
                f"Set data-dir in k3s_config to {old}.",
                host.name,
            )


def dropin_overrides(home: Home) -> Iterator[Finding]:
    """A file in C(config.yaml.d) of the host overrides C(k3s_config), or turns the service load balancer on."""
    for host, reading in home.read:
        k3s = reading["k3s"]
        # Secrets are read as their hashes.
        there = {key: value for key, value in k3s["config"].items() if not str(value).startswith("sha256:")}
        wanted = merge_config(_OURS, host.k3s_config, host.kind)
        wrong = [key for key, value in wanted.items() if words(there.get(key, value)) != words(value)]
        if k3s["dropins"] and wrong and not k3s["unit"]["foreign"]:
            yield Finding(
                f"Files beside config.yaml override what the collection writes there: {', '.join(wrong)}.",
                ", ".join(k3s["dropins"]),
                "Move what they say into k3s_config and remove them.",
                host.name,
            )


def _same(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The values that several hosts have, and these hosts."""
    hosts = defaultdict(list)
    for host, value in values.items():
        hosts[value].append(host)
    return ((value, " and ".join(same)) for value, same in hosts.items() if value and len(same) > 1)


def _clock_offset(home: Home, reading: Reading) -> float:
    """How many seconds the clock of a host is ahead of the controller's, at least; behind if negative.

    The host was read at some time from started to finished. Only what no such time explains is an offset, so hosts
    that are slow to answer make the check less sharp, but never wrong.
    """
    epoch = reading["time"]["epoch"]
    return max(epoch - home.finished, 0.0) + min(epoch - home.started, 0.0)


def _by_the_controller(offset: float) -> str:
    return f"at least {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the clock of the controller"


def _time_service(reading: Reading) -> str:
    return f"time service: {reading['time']['service'] or 'none'}"


def _removal(reading: Reading) -> str:
    script = f"/usr/local/bin/k3s{'-agent' if reading['k3s']['kind'] == 'agent' else ''}-uninstall.sh"
    return f'"sudo {script}" on the host removes its k3s and the data of it.'


def _steps(home: Home, code: Code) -> Iterator[Finding]:
    """The steps of this kind from the k3s of nodes; a program that has never made a node may be replaced by any."""
    for host, reading in home.read:
        step = upgrade_step(reading["k3s"]["version"], host.setting("k3s_version"))
        if step and step[0] == code and reading["k3s"]["ca_sha256"]:
            yield replace(step[1], host=host.name)


def _password_sha256(token: str) -> str:
    """The hash of the part of a token that is the secret."""
    return hashlib.sha256(token.rpartition(":")[2].encode()).hexdigest()
