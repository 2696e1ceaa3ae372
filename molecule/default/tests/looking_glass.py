# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Service whose pods tell where they are asked from, and what kube_path_info says of its ways."""

from __future__ import annotations

import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Lab, Task

GLASS = "default/looking-glass"
NODE_PORT = 30092
KINDS = ("cluster_ip", "node_port", "load_balancer")
# The table that there is while the kernel traces.
TRACING = "homecloud-trace-"
DRIFT = {
    "missing_jump", "dangling_jump", "missing_rule", "extra_rule", "stale_endpoint", "skewed_share", "duplicate_rule",
}  # fmt: skip


@dataclass(frozen=True)
class Glass:
    """A Service whose pods tell where they are asked from."""

    cluster_ip: str
    load_balancer: str
    pods: dict[str, str]  # the pods' addresses by their nodes

    def door(self, kind: str, node: str) -> str:
        """The URL of one of its front ends."""
        ends = {"cluster_ip": f"{self.cluster_ip}:80", "load_balancer": f"{self.load_balancer}:80"}
        return f"http://{ends.get(kind, f'{node}:{NODE_PORT}')}/"


def way(node: str, **options: object) -> Task:
    return {"homecloud.k3s.kube_path_info": {"node_name": node, **options}, "delegate_to": node, "become": True}


def in_pod(lab: Lab, node: str, address: str, *command: str) -> str:
    """Run a command in the network of a pod."""
    script = f"""
        for name in $(ip netns list | cut -d' ' -f1); do
            if ip netns exec "$name" ip -oneline address | grep -q " {address}/"; then
                exec ip netns exec "$name" "$@"
            fi
        done
        exit 9
    """
    return lab.on(node, "sh", "-euc", script, "sh", *command)


def seen(lab: Lab, glass: Glass, asker: str, url: str, times: int = 50) -> set[tuple[str, str]]:
    """Which pods answer, and whom, when someone asks often: a pod or a node by the node's name, or the LAN client."""
    # Each by a connection of its own, so often that no endpoint is left out by chance.
    quiet = ("--silent", "--show-error", "--fail", "--max-time", "5")
    curl = ("curl", *quiet, "--header", "Connection: close", *[url] * times)
    if asker.startswith("pod on "):
        node = asker[7:]
        text = in_pod(lab, node, glass.pods[node], *curl)
    else:
        text = lab.on(asker, *curl)
    return {(pod, source) for pod, _blank, source in (line.partition(" ") for line in text.splitlines())}


@contextmanager
def client_by(lab: Lab, glass: Glass, node: str) -> Iterator[None]:
    """The LAN client asks for a cluster IP, and for an address that another node may announce, by way of a node."""
    places = (glass.cluster_ip, glass.load_balancer)
    lab.sh("client", "; ".join(f"ip route add {place} via {lab.address(node)}" for place in places))
    try:
        yield
    finally:
        lab.sh("client", "; ".join(f"ip route del {place}" for place in places))


def rules(lab: Lab, node: str) -> str:
    """All rules of a node, without counters and the date."""
    shown = (
        "iptables-save; ip6tables-save; nft list tables; "
        "for it in 'nft list table ip kube-proxy' 'cat /proc/net/ip_tables_names /proc/net/ip6_tables_names'; do "
        "$it 2> /dev/null || echo nothing; done"
    )
    return "\n".join(line for line in lab.sh(node, shown).splitlines() if not line.startswith(("#", ":")))
