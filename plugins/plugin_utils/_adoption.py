# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of a k3s that others have set up when this collection takes it over, and what speaks against it.

Private to the collection. Readings are of homecloud.k3s.k3s_info, objects are as the API gives them.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from ansible_collections.homecloud.k3s.plugins.module_utils._address_range import Range
from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import (
    SERVER,
    KubernetesObject,
    has_role,
    internal_addresses,
    name_of,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import Fault
from ansible_collections.homecloud.k3s.plugins.module_utils._metallb import Pool, annotation
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_config import SECRET_KEYS
from ansible_collections.homecloud.k3s.plugins.module_utils._service_pool import holds
from ansible_collections.homecloud.k3s.plugins.module_utils._service_state import asked_addresses
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import Config, as_list, key_of, words
from ansible_collections.homecloud.k3s.plugins.plugin_utils._plain import plain
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_settings import RESERVED

_SERVICELB: t.Final = "svccontroller.k3s.cattle.io/nodeselector"
_OF_SERVICE, _OF_NAMESPACE = "svccontroller.k3s.cattle.io/svcname", "svccontroller.k3s.cattle.io/svcnamespace"
_PROGRAM: t.Final = "/usr/local/bin/k3s"
_SECRET: t.Final = "sha256:"
# The token is read from the server, and what the configuration was read from is known.
_MOVED: t.Final = ("config", "token", "token-file")
# How a node came into the cluster, and who may read its kubeconfig, is not for an inventory to say.
_OF_THE_COLLECTION: t.Final = ("cluster-init", "server", "write-kubeconfig-mode")
_DEFAULTS: t.Final = {"write-kubeconfig-mode": ["0600"]}
_UNSUPPORTED: t.Final = {
    "docker": "Its containers are Docker's, which the collection neither stops nor looks for.",
    "rootless": "It belongs to a user, and the collection runs k3s as root.",
}


@dataclass(frozen=True)
class Takeover:
    """A host of the inventory whose k3s is taken over.

    was is what k3s was told, with hashes in place of secrets, will what it is going to be told, said what of this the
    inventory says. node is what the cluster knows of it, if it does.
    """

    name: str
    was: Config
    will: Config
    said: Config
    unit: Mapping[str, t.Any]
    node: KubernetesObject | None

    @property
    def changes(self) -> list[str]:
        return [
            f"{key}: {_shown(key, was)} -> {_shown(key, will)}"
            for key, was, will in self._differing
            if not self._lost(key)
        ]

    @property
    def lost(self) -> dict[str, t.Any]:
        """What k3s would not be told any more, as k3s_config has to have it."""
        found = [self._lost(key) for key, _was, _will in self._differing]
        return {key: value for lost in found for key, value in lost.items()}

    @property
    def _differing(self) -> Iterator[tuple[str, object, object]]:
        """What is another than it was, with both."""
        for key in sorted({*self.was, *self.will} - {*_MOVED}):
            was, will = self.was.get(key, self._default(key)), self.will.get(key)
            if sorted(_words(was)) != sorted(_words(_hashed(will) if _is_secret(was) else will)):
                yield key, was, will

    def _default(self, key: str) -> list[str]:
        """What k3s does where it is not told."""
        if key == "node-name" and self.node:
            return [self.node["metadata"]["name"]]
        if key == "node-ip" and self.node:
            return internal_addresses(self.node)
        return _DEFAULTS.get(key, [])

    def _lost(self, key: str) -> dict[str, t.Any]:
        """What of a key is lost that nobody has said is to be."""
        was, will = self.was.get(key, self._default(key)), self.will.get(key)
        if key in self.said or key in _OF_THE_COLLECTION or not _words(was):
            return {}
        if key == "with-node-id" and self.node:
            return {}  # the name that comes of it is compared
        if isinstance(will, list):
            missing = [word for word in _words(was) if word not in words(will)]
            return {f"{key}+": missing} if missing else {}
        return {key: was if key in self.was else ",".join(_words(was))}


def adoption_plan(
    readings: Mapping[str, Mapping[str, t.Any]],
    wishes: Mapping[str, Config],
    said: Mapping[str, Config],
    objects: Sequence[KubernetesObject],
    pools: Iterable[Mapping[str, t.Any]],
    addresses: Mapping[str, str],
) -> dict[str, t.Any]:
    """What changes by taking a cluster over, and what speaks against it.

    readings: of all hosts. wishes: what k3s is going to be told on each. said: what of this the inventory says.
    objects: nodes, Services and DaemonSets of the cluster. pools: as metallb_pools has them.
    addresses: those that are given to Services, as NAMESPACE/NAME, by others than themselves.
    """
    nodes = [thing for thing in objects if thing["kind"] == "Node"]
    daemonsets = [thing for thing in objects if _is_servicelb(thing)]
    taken = [
        Takeover(
            name=name,
            was=plain(reading["k3s"]["config"]),
            will=plain(wishes[name]),
            said=plain(said[name]),
            unit=reading["k3s"]["unit"],
            node=_node_of(reading, nodes),
        )
        for name, reading in readings.items()
        if reading["k3s"]["unit"]["foreign"]
    ]
    wanted = [Pool.wanted(pool) for pool in pools]
    moves = list(_moves(_served(objects, daemonsets), wanted, addresses))
    faults = [
        *(fault for host in taken for fault in _host_faults(host)),
        *_lost_faults(taken),
        *(_node_faults(readings, nodes) if taken else ()),
        *(_unserved(service) for service, _before, after in moves if not after),
    ]
    return {
        "hosts": [{"host": host.name, "changes": host.changes} for host in taken],
        "blocks": _blocks(taken),
        "daemonsets": [name_of(thing) for thing in daemonsets],
        "services": [f"{service}: {before} -> {after}" for service, before, after in moves if after],
        "faults": [asdict(fault) for fault in faults],
    }


def _node_of(reading: Mapping[str, t.Any], nodes: Iterable[KubernetesObject]) -> KubernetesObject | None:
    own = {address.partition("/")[0] for card in reading["interfaces"] for address in card["addresses"]}
    return next((node for node in nodes if own & {*internal_addresses(node)}), None)


def _host_faults(host: Takeover) -> Iterator[Fault]:
    unit = host.unit
    if unit["program"] != _PROGRAM:
        yield Fault(
            "another_program",
            "error",
            f"The unit does not run {_PROGRAM}, which is where the collection keeps k3s.",
            f"{unit['path']}: ExecStart={unit['program'] or 'nothing'}",
            f"Copy the program to {_PROGRAM}, name that in the unit, and restart k3s.",
            host.name,
        )
    if unit["overriding"]:
        yield Fault(
            "unit_overridden",
            "error",
            "Files beside the unit give k3s another command line, and would do so to the unit of the collection.",
            ", ".join(unit["overriding"]),
            "Put the command line into the unit itself, remove it from these files, and restart k3s.",
            host.name,
        )
    if unit["variables"]:
        yield Fault(
            "variables_lost",
            "error",
            "k3s would lose variables of its environment, which no configuration file of k3s can give it.",
            f"{', '.join(unit['variables'])} in {', '.join(unit['environment_files']) or unit['path']}",
            f"Move them into a file {unit['path']}.d/environment.conf, as lines Environment=NAME=VALUE "
            "below [Service]. The collection leaves such files alone.",
            host.name,
        )
    for key, reason in _UNSUPPORTED.items():
        if key in host.was:
            yield _cannot(host, key, reason)
    for key in host.lost:
        if key_of(key) in RESERVED:
            yield _cannot(host, key_of(key), RESERVED[key_of(key)])


def _cannot(host: Takeover, key: str, reason: str) -> Fault:
    return Fault(
        "cannot_be_adopted",
        "error",
        f'k3s was set up with "{key}", with which the collection cannot run it. {reason}',
        f"{key} on {host.name}",
        f'Change this on the host and restart k3s, or set the cluster up anew without "{key}".',
        host.name,
    )


def _to_say(host: Takeover) -> dict[str, t.Any]:
    """What k3s_config of a host lacks."""
    return {key: value for key, value in host.lost.items() if key_of(key) not in {*RESERVED, *_UNSUPPORTED}}


def _complete(host: Takeover) -> dict[str, t.Any]:
    """What k3s_config of a host has to be: all of it, since that of a host replaces that of its group."""
    added = {
        key: as_list(host.said[key]) + as_list(value) if key in host.said else value
        for key, value in _to_say(host).items()
    }
    return {**host.said, **added}


def _lost_faults(taken: Iterable[Takeover]) -> Iterator[Fault]:
    for host in taken:
        if _to_say(host):
            places = [host.unit["path"], *host.unit["environment_files"], "config.yaml"]
            yield Fault(
                "flags_not_in_inventory",
                "error",
                f"k3s would lose what the inventory does not say: {', '.join(_to_say(host))}.",
                f"told by {', '.join(places)}, and not in k3s_config",
                "Make k3s_config of the host, or of its group, what the lines below say.",
                host.name,
            )


def _blocks(taken: Iterable[Takeover]) -> list[dict[str, t.Any]]:
    """What to write for which hosts."""
    hosts = defaultdict(list)
    for host in taken:
        if _to_say(host):
            hosts["\n".join(_yaml(_complete(host)))].append(host.name)
    return [{"hosts": names, "lines": block.splitlines()} for block, names in hosts.items()]


def _yaml(config: Config) -> Iterator[str]:
    yield "k3s_config:"
    for key, value in config.items():
        yield f"  {key}: {json.dumps(value) if key not in SECRET_KEYS else '# as it is now; it is not shown here'}"


def _node_faults(readings: Mapping[str, Mapping[str, t.Any]], nodes: Sequence[KubernetesObject]) -> Iterator[Fault]:
    if not nodes:
        yield Fault(
            "api_silent",
            "error",
            "The API of the cluster does not answer, so nobody knows what the takeover means for it.",
            '"k3s kubectl get nodes" on a server',
            "The takeover begins with a cluster that runs. "
            'Look at "systemctl status k3s" and "journalctl -u k3s" on the servers.',
        )
    known = [node for reading in readings.values() if (node := _node_of(reading, nodes))]
    for node in (node for node in nodes if node not in known):
        is_server = has_role(node, SERVER)
        yield Fault(
            "node_not_in_inventory",
            "error" if is_server else "warning",
            f"The node {node['metadata']['name']} is in the cluster, but not in the inventory. "
            + ("As a server it would go on with the load balancer of k3s." if is_server else "It stays as it is."),
            f"its address is {', '.join(internal_addresses(node)) or 'not known'}",
            "Put it into the inventory, or remove it from the cluster by kubectl delete node if it is gone.",
        )


def _served(objects: Iterable[KubernetesObject], daemonsets: Iterable[KubernetesObject]) -> list[KubernetesObject]:
    """The Services that k3s's own load balancer serves."""
    labels = [thing["metadata"]["labels"] for thing in daemonsets]
    names = {f"{of.get(_OF_NAMESPACE)}/{of.get(_OF_SERVICE)}" for of in labels}
    return [thing for thing in objects if thing["kind"] == "Service" and name_of(thing) in names]


def _moves(
    services: Iterable[KubernetesObject], pools: Sequence[Pool], addresses: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """The Services with their addresses, and with what they get instead; empty if nothing."""
    for service in services:
        status = (service.get("status") or {}).get("loadBalancer") or {}
        has = [entry["ip"] for entry in status.get("ingress") or [] if "ip" in entry]
        given = addresses.get(name_of(service))
        asked = [given] if given else asked_addresses(service)
        yield name_of(service), ", ".join(has) or "none", _given(service, pools, asked)


def _given(service: KubernetesObject, pools: Sequence[Pool], asked: Sequence[str]) -> str:
    if asked:
        return ", ".join(asked) if all(_in(pools, address) for address in asked) else ""
    named, namespace = annotation(service, "address-pool"), service["metadata"].get("namespace")
    serving = [
        f"{pool.name} ({', '.join(pool.addresses)})"
        for pool in pools
        if (pool.name == named if named else pool.auto_assign)
        if pool.namespace_selectors or not pool.namespaces or namespace in pool.namespaces
    ]
    return f"an address of the pool {' or '.join(serving)}" if serving else ""


def _unserved(service: str) -> Fault:
    return Fault(
        "no_pool_for_service",
        "error",
        f"The Service {service} would lose its address: no pool of metallb_pools has one for it.",
        "it is of type LoadBalancer, and k3s's own load balancer goes",
        "Add a pool to metallb_pools that may serve it, or have it ask for an address of one. "
        "A Service that needs no address of the LAN may be of another type.",
    )


def _in(pools: Iterable[Pool], address: str) -> bool:
    with suppress(ValueError):
        return any(holds(pool, Range.address(address)) for pool in pools)
    return False


def _is_servicelb(thing: KubernetesObject) -> bool:
    return thing["kind"] == "DaemonSet" and _SERVICELB in (thing["metadata"].get("labels") or {})


def _is_secret(value: object) -> bool:
    return str(value).startswith(_SECRET)


def _hashed(value: object) -> str:
    return _SECRET + hashlib.sha256(str(value).encode()).hexdigest()


def _words(value: object) -> list[str]:
    return words([item for item in as_list(value) if item is not None])


def _shown(key: str, value: object) -> str:
    return "not shown" if value and key in SECRET_KEYS else ", ".join(_words(value)) or "none"
