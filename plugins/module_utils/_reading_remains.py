# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What there is of k3s on a node besides the files that are told by themselves, be it at work
# or left over: places, processes, mounts, links, rules.
#
# The lists are those of what k3s and its network plugin make, see https://docs.k3s.io/installation/uninstall.

from __future__ import annotations

import glob
import re
import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

IPTABLES_COMMANDS = (("iptables-save",), ("ip6tables-save",))
NFT_COMMAND = ("nft", "list", "tables")
NETNS_COMMAND = ("ip", "netns")

_PLACES = (
    "/etc/rancher/k3s",
    "/etc/rancher/node",
    "/run/k3s",
    "/run/flannel",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "{data_dir}",
)
_LINKS = re.compile(r"cni0|flannel(?:\.1|-v6\.1|-wg|-wg-v6)|kube-ipvs0")
# By the program: many others may be told of a file of k3s. Of containerd k3s gives the name alone, without its place.
_PROCESS = r"/usr/local/bin/k3s\b|{data_dir}/|containerd\b.*[ =](?:{data_dir}|/run/k3s)/"
_MOUNT = re.compile(r"/run/k3s/|/var/lib/kubelet/(?:pods|plugins)/|/run/netns/cni-")
# Names of chains, and comments of rules that stand in chains of others.
_RULE = re.compile(r"^-A .*(?:KUBE-|CNI-|flannel|FLANNEL)", re.MULTILINE)
_TABLE = re.compile(r"^table (ip6? kube-proxy)$", re.MULTILINE)
_NAMESPACE = re.compile(r"^cni-\S+", re.MULTILINE)


def remains(tree: Tree, data_dir: str, outputs: t.Mapping[tuple[str, ...], str]) -> list[str]:
    """Return what there is of k3s, in words. outputs: what the commands of this module have printed."""
    return [
        *_places(tree, data_dir),
        *_processes(tree, data_dir),
        *(f"mount {place}" for place in _mounts(tree)),
        *(f"link {name}" for name in sorted(map(_last, tree.glob("/sys/class/net/*"))) if _LINKS.fullmatch(name)),
        *(f"network namespace {name}" for name in _NAMESPACE.findall(outputs[NETNS_COMMAND])),
        *_rules(outputs),
        *(f"table {name} of nftables" for name in _TABLE.findall(outputs[NFT_COMMAND])),
    ]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _places(tree: Tree, data_dir: str) -> t.Iterator[str]:
    """Directories that hold something: an empty one may be where a disk is mounted."""
    for pattern in _PLACES:
        place = pattern.format(data_dir=data_dir)
        if tree.glob(f"{glob.escape(place)}/*"):
            yield f"directory {place}"


def _processes(tree: Tree, data_dir: str) -> t.Iterator[str]:
    of_k3s = re.compile(_PROCESS.format(data_dir=re.escape(data_dir)))
    for name in tree.glob("/proc/[0-9]*/cmdline"):
        command = tree.text(name).replace("\0", " ").strip()
        if of_k3s.match(command):
            yield f"process {name.split('/')[2]}: {command[:80]}"


def _mounts(tree: Tree) -> list[str]:
    lines = tree.text("/proc/self/mounts").splitlines()
    return [place for line in lines if _MOUNT.match(f"{(place := line.split()[1])}/")]


def _rules(outputs: t.Mapping[tuple[str, ...], str]) -> t.Iterator[str]:
    for command in IPTABLES_COMMANDS:
        if count := len(_RULE.findall(outputs[command])):
            yield f"{count} rules of {command[0][: -len('-save')]}"
