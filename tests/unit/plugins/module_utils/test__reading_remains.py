# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_remains import (
    IPTABLES_COMMANDS,
    NETNS_COMMAND,
    NFT_COMMAND,
    remains,
)
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]

COMMANDS: t.Final[tuple[tuple[str, ...], ...]] = (*IPTABLES_COMMANDS, NETNS_COMMAND, NFT_COMMAND)
DATA_DIR: t.Final = "/var/lib/rancher/k3s"
# As on a host with a firewall and containers of its own.
OF_OTHERS: t.Final[Files] = {
    "/etc/rancher/rke2/config.yaml": "",
    "/proc/1/cmdline": "/sbin/init\0",
    "/proc/20/cmdline": "/usr/bin/containerd-shim-runc-v2\0-address\0/run/containerd/containerd.sock\0",
    "/proc/21/cmdline": "vi\0/etc/k3s-notes\0",
    "/proc/22/cmdline": "/usr/bin/curl\0--cacert\0/var/lib/rancher/k3s/server/tls/server-ca.crt\0",
    "/proc/23/cmdline": "/usr/bin/tail\0--follow\0/run/k3s/log\0",
    "/proc/self/mounts": "/dev/sda2 / ext4 rw 0 0\n/dev/sdb1 /var/lib/rancher ext4 rw 0 0\n",
    "/sys/class/net/eth0": "",
    "/sys/class/net/docker0": "",
    "/sys/class/net/cni01": "",
}
RULES: t.Final = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"


def found(tree: Tree, data_dir: str = DATA_DIR, **printed: str) -> list[str]:
    """printed: what programs print, by their names."""
    outputs = {command: printed.get(command[0].replace("-", "_"), "") for command in COMMANDS}
    return remains(tree, data_dir, outputs)


def test_a_host_without_k3s(make_tree: MakeTree) -> None:
    tables = "table ip filter\ntable inet kube-proxy-of-mine\n"
    assert found(make_tree(OF_OTHERS), iptables_save=RULES, ip6tables_save=RULES, nft=tables, ip="of-others\n") == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({f"{DATA_DIR}/server/token": "x"}, f"directory {DATA_DIR}"),
        ({"/etc/rancher/node/password": "x"}, "directory /etc/rancher/node"),
        ({"/var/lib/kubelet/config": "x"}, "directory /var/lib/kubelet"),
        ({"/proc/7/cmdline": "/usr/local/bin/k3s server\0\0\0"}, "process 7: /usr/local/bin/k3s server"),
        (
            {"/proc/8/cmdline": f"{DATA_DIR}/data/current/bin/containerd-shim-runc-v2\0-id\0abc\0"},
            f"process 8: {DATA_DIR}/data/current/bin/containerd-shim-runc-v2 -id abc",
        ),
        (
            {"/proc/9/cmdline": f"containerd\0-c\0{DATA_DIR}/agent/etc/containerd/config.toml\0"},
            f"process 9: containerd -c {DATA_DIR}/agent/etc/containerd/config.toml",
        ),
        ({"/proc/self/mounts": "shm /run/k3s/containerd/x/shm tmpfs rw 0 0\n"}, "mount /run/k3s/containerd/x/shm"),
        ({"/proc/self/mounts": "tmpfs /var/lib/kubelet/pods tmpfs rw 0 0\n"}, "mount /var/lib/kubelet/pods"),
        ({"/sys/class/net/flannel.1": ""}, "link flannel.1"),
    ],
)
def test_what_is_left_in_files(make_tree: MakeTree, files: Files, expected: str) -> None:
    assert found(make_tree({**OF_OTHERS, **files})) == [expected]


@pytest.mark.parametrize(
    ("program", "printed", "expected"),
    [
        ("iptables_save", f"{RULES}-A INPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL -j DROP\n", "2 rules of iptables"),
        ("ip6tables_save", '-A FORWARD -m comment --comment "flanneld forward" -j X\n', "1 rules of ip6tables"),
        ("nft", "table ip6 kube-proxy\n", "table ip6 kube-proxy of nftables"),
        ("ip", "cni-1f2e (id: 3)\n", "network namespace cni-1f2e"),
    ],
)
def test_what_is_left_in_the_kernel(make_tree: MakeTree, program: str, printed: str, expected: str) -> None:
    assert found(make_tree(OF_OTHERS), **{program: printed}) == [expected]


def test_a_directory_without_anything_may_be_where_a_disk_is_mounted(make_tree: MakeTree) -> None:
    tree = make_tree(OF_OTHERS)
    tree.path("/mnt/[k3s]").mkdir(parents=True)
    assert found(tree, "/mnt/[k3s]") == []
    tree.path("/mnt/[k3s]/agent").mkdir()
    assert found(tree, "/mnt/[k3s]") == ["directory /mnt/[k3s]"]
