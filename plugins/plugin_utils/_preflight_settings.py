# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of what an inventory says.

Private to the collection.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import KINDS, as_list, key_of, words
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_model import (
    CLUSTER_NETWORKS,
    Finding,
    Home,
    Host,
    is_endpoint,
    is_kubernetes_name,
)

RESERVED = {
    "token": "Give the token by k3s_token.",
    "token-file": "Give the token by k3s_token.",
    "server": "Give the address of the server by k3s_api_endpoint.",
    "https-listen-port": "The nodes and the controller look for the API at port 6443.",
    "disable-agent": "The collection makes a node of each host, also of a server.",
    "cluster-reset": "k3s would reset the cluster and stop, at every start. Give it by hand to one k3s, once.",
    "cluster-reset-restore-path": "k3s would restore the snapshot at every start. Give it by hand to one k3s, once.",
}
_OF_THE_CONTROLLER = (
    "kubeconfig_context",
    "kubeconfig_path",
    "kubeconfig_server",
    "metallb_pools",
    "traefik_acme_email",
    "web_service_services",
)
EQUAL_ON_SERVERS = (
    "agent-token",
    "agent-token-file",
    "cluster-cidr",
    "cluster-dns",
    "cluster-domain",
    "datastore-endpoint",
    "disable",
    "disable-cloud-controller",
    "disable-helm-controller",
    "disable-network-policy",
    "egress-selector-mode",
    "embedded-registry",
    "flannel-backend",
    "flannel-external-ip",
    "flannel-ipv6-masq",
    "secrets-encryption",
    "secrets-encryption-provider",
    "service-cidr",
    "supervisor-metrics",
)
"""See https://docs.k3s.io/installation/ha-embedded, and for the database the notes on external ones there."""
_SECRETS = ("agent-token", "datastore-endpoint")
_SECURE_TOKEN = re.compile(r"K10[0-9a-f]{64}::[^:\s]+(:[^:\s]+)?")


def wrong_groups(home: Home) -> Iterator[Finding]:
    """The group C(k3s_cluster) is not made up of the groups C(server) and C(agent), or a host is in both."""
    cluster, servers, agents = (set(home.groups.get(name, ())) for name in ("k3s_cluster", "server", "agent"))
    advice = 'Make "k3s_cluster" a group with the children "server" and "agent", and put each host into one of the two.'
    for host in home.hosts:
        groups = [name for name in ("k3s_cluster", "server", "agent") if host.name in home.groups.get(name, ())]
        evidence = f"groups of the inventory: {', '.join(groups)}"
        if host.name in servers & agents:
            yield Finding('The host is in both of the groups "server" and "agent".', evidence, advice, host.name)
        elif host.name not in cluster:
            yield Finding('The host is not in the group "k3s_cluster".', evidence, advice, host.name)
        elif host.name not in servers | agents:
            yield Finding('The host is in neither of the groups "server" and "agent".', evidence, advice, host.name)


def server_count(home: Home) -> Iterator[Finding]:
    """There is no server, or an even number of them, with which etcd survives no more failures than with one less."""
    servers = home.servers
    evidence = f'the group "server" of the inventory: {", ".join(host.name for host in servers) or "no host"}'
    if not servers:
        yield Finding("There is no server.", evidence, 'Put one host into the group "server", or three or five.')
    # A cluster that has lost a server goes on with those that are left.
    elif len(servers) % 2 == 0 and not home.has_other_datastore and not all(map(_is_member, servers)):
        problem = f"With {len(servers)} servers etcd survives no more failures than with {len(servers) - 1}."
        yield Finding(problem, evidence, 'Put one, three or five hosts into the group "server".')


def settings_differ(home: Home) -> Iterator[Finding]:
    """Servers have different settings where k3s wants the same on all of them."""
    for host in home.servers[1:]:
        first = home.servers[0]
        for key in EQUAL_ON_SERVERS:
            ours, theirs = (_said(server, key) for server in (host, first))
            if ours != theirs:
                yield Finding(
                    f"{key} in k3s_config is another than on {first.name}, and k3s wants it the same on all servers.",
                    f"{key}: {ours} here, {theirs} on {first.name}" if key not in _SECRETS else f"{key}: not shown",
                    'Set k3s_config for the whole group "server".',
                    host.name,
                )


def token_for_datastore(home: Home) -> Iterator[Finding]:
    """Several servers with a database of others have no C(k3s_token), so each would make one of its own."""
    has_tokens = all(host.setting("k3s_token") for host in home.servers)
    if len(home.servers) > 1 and home.has_other_datastore and not has_tokens:
        yield Finding(
            "The servers share a database, but have no token in common.",
            "k3s_config has datastore-endpoint, and k3s_token is empty",
            "Set k3s_token to a long random word, the same for all hosts.",
        )


def invalid_version(home: Home) -> Iterator[Finding]:
    """C(k3s_version) is no release of k3s."""
    for host in home.hosts:
        if not host.version:
            yield Finding(
                "k3s_version is no release of k3s.",
                f"k3s_version: {host.setting('k3s_version')}",
                "Set it to a full tag such as v1.36.2+k3s1, see https://github.com/k3s-io/k3s/releases.",
                host.name,
            )


def agent_newer_than_server(home: Home) -> Iterator[Finding]:
    """An agent would run a newer k3s than the server, which Kubernetes does not support."""
    for host in home.hosts:
        for server in home.servers:
            if host.kind == "agent" and host.version and server.version and host.version > server.version:
                yield Finding(
                    "The agent would run a newer k3s than its server.",
                    f"k3s_version: {host.setting('k3s_version')}, on {server.name} {server.setting('k3s_version')}",
                    "Set k3s_version once for all hosts.",
                    host.name,
                )


def invalid_config(home: Home) -> Iterator[Finding]:
    """C(k3s_config) is not a map of keys to values or lists of values."""
    advice = "Write each key as KEY: VALUE or as KEY: [VALUE, VALUE]; a VALUE is a text, a number, true or false."
    for host in home.hosts:
        config = host.setting("k3s_config")
        if not isinstance(config, Mapping):
            yield Finding("k3s_config is not a map.", f"k3s_config is {_kind(config)}", advice, host.name)
        for key, value in host.k3s_config.items():
            wrong = next((item for item in as_list(value) if not isinstance(item, (str, int, float))), "")
            if wrong != "":
                problem = f'k3s_config has a value for "{key}" that k3s cannot read.'
                yield Finding(problem, f"{key}: {_kind(wrong)}", advice, host.name)


def unknown_config_key(home: Home) -> Iterator[Finding]:
    """C(k3s_config) has a key that k3s does not know. k3s would ignore it."""
    for host in home.hosts:
        for key in host.k3s_config:
            if key_of(key) not in KINDS:
                close = difflib.get_close_matches(key_of(key).replace("_", "-"), KINDS, 1)
                yield Finding(
                    f'k3s_config has the key "{key}", which k3s does not know and would ignore.',
                    f"k3s_config: {key}",
                    (f'Did you mean "{close[0]}"? ' if close else "")
                    + "The keys are the long flags of k3s without the dashes, see https://docs.k3s.io/cli/server.",
                    host.name,
                )


def reserved_config_key(home: Home) -> Iterator[Finding]:
    """C(k3s_config) has a key that the collection sets itself, or that must not stand in a file."""
    for host in home.hosts:
        for key in host.k3s_config:
            if key_of(key) in RESERVED:
                problem = f'k3s_config must not have the key "{key}".'
                yield Finding(problem, f"k3s_config: {key}", RESERVED[key_of(key)], host.name)


def invalid_token(home: Home) -> Iterator[Finding]:
    """C(k3s_token) is not a text that can be a token."""
    for host in home.hosts:
        token = host.setting("k3s_token")
        if not isinstance(token, str):
            problem = f"k3s_token is {_kind(token)}, not a text"
        elif re.search(r"[:\s]", token) and not _SECURE_TOKEN.fullmatch(token):
            problem = "k3s_token has a colon or white space in it, but is not of the form K10HASH::USER:PASSWORD"
        else:
            continue
        yield Finding(
            "k3s_token cannot be a token.",
            problem,
            "Take a long random word in quotes, or leave k3s_token out: then the server makes one.",
            host.name,
        )


def invalid_api_endpoint(home: Home) -> Iterator[Finding]:
    """C(k3s_api_endpoint) is not a bare host name or address."""
    for host in home.hosts:
        endpoint = host.given.get("k3s_api_endpoint", host.name)
        if not is_endpoint(endpoint):
            yield Finding(
                "k3s_api_endpoint is not a host name or an address.",
                f"k3s_api_endpoint: {endpoint}",
                "Write it without https://, port and path, as 192.168.1.101 or k3s.example.org.",
                host.name,
            )


def misplaced_setting(home: Home) -> Iterator[Finding]:
    """A variable that only the controller uses is set for the nodes, where it has no effect."""
    for host in home.hosts:
        for name in _OF_THE_CONTROLLER:
            if name in host.variables and name not in home.controller.variables:
                yield Finding(
                    f"{name} has no effect: it is set for the nodes, but the controller uses it.",
                    f"{name} is not set for localhost",
                    f"Set {name} for all hosts, as in group_vars/all.yml: then localhost has it too.",
                    host.name,
                )


def unreadable_setting(home: Home) -> Iterator[Finding]:
    """A variable has no value: its template fails, or its vault cannot be opened."""
    for host in (*home.hosts, home.controller):
        for name, problem in host.unreadable.items():
            advice = f"Mend the template of {name}, or give Ansible the password of its vault."
            yield Finding(f"The value of {name} cannot be worked out.", problem, advice, host.name)


def invalid_node_name(home: Home) -> Iterator[Finding]:
    """The name of a node is no name that Kubernetes takes."""
    for host in home.hosts:
        if not is_kubernetes_name(host.node_name):
            yield Finding(
                "Kubernetes takes no node of this name.",
                f"node name: {host.node_name}",
                "Name the host in the inventory with lower case letters, digits, dashes and dots only, "
                "or give it a node-name in a k3s_config of its own.",
                host.name,
            )


def duplicate_node_name(home: Home) -> Iterator[Finding]:
    """Two hosts would be nodes of the same name."""
    hosts = defaultdict(list)
    for host in home.hosts:
        hosts[host.node_name].append(host.name)
    for name, same in hosts.items():
        if len(same) > 1:
            yield Finding(
                f'{len(same)} hosts would be the node "{name}".',
                f"hosts: {', '.join(same)}",
                "Give each host its own name in the inventory, and a node-name only in a k3s_config of its own.",
            )


def invalid_network(home: Home) -> Iterator[Finding]:
    """C(cluster-cidr) or C(service-cidr) of C(k3s_config) is no network."""
    for host in home.hosts:
        for key in CLUSTER_NETWORKS:
            for text in words(host.config.get(key, [])):
                try:
                    Range.network(text)
                except ValueError as error:
                    yield Finding(
                        f"{key} in k3s_config is no network.",
                        f"{key}: {error}",
                        "Write it as ADDRESS/LENGTH, such as 10.42.0.0/16.",
                        host.name,
                    )


def servicelb_enabled(home: Home) -> Iterator[Finding]:
    """The service load balancer of k3s would run beside MetalLB."""
    for host in home.servers if home.has_metallb else ():
        if "disable" in host.k3s_config and "servicelb" not in words(host.config["disable"]):
            yield Finding(
                'k3s_config replaces "disable" without "servicelb", so the load balancer of k3s will run. '
                "MetalLB is not deployed beside it.",
                f"disable: {', '.join(words(host.config['disable'])) or 'nothing'}",
                'Add servicelb to the list, or write "disable+", which adds to what the role disables.',
                host.name,
            )


def _is_member(host: Host) -> bool:
    return host.reading is not None and host.reading["k3s"]["datastore"] == "etcd"


def _said(host: Host, key: str) -> str:
    """What the user says of a key; of "disable" only the part on which servers have to agree."""
    said = words(host.config.get(key, []))
    if key == "disable":
        said = ["servicelb"] if "servicelb" in said or key not in host.k3s_config else []
    return ", ".join(said) or "nothing"


def _kind(value: object) -> str:
    """What a value is, in words: it may be a secret and is never shown."""
    kinds: dict[str, type | tuple[type, ...]]
    kinds = {"a map": Mapping, "a list": list, "true or false": bool, "a number": (int, float), "a text": str}
    return next((name for name, kind in kinds.items() if isinstance(value, kind)), "empty")
