# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of k3s: which keys there are, and how a user's is laid over ours.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

Config = Mapping[str, t.Any]
Kind = t.Literal["server", "agent"]

# The flags of k3s, which are the keys of its configuration file, as they stand in its source,
# https://github.com/k3s-io/k3s/tree/master/pkg/cli/cmds (server.go, agent.go, log.go); not those that are deprecated.
_BOTH = """
    alsologtostderr airgap-extra-registry container-runtime-endpoint data-dir debug default-runtime
    disable-default-registry-endpoint docker enable-pprof flannel-cni-conf flannel-conf flannel-iface
    image-credential-provider-bin-dir image-credential-provider-config image-service-endpoint kube-proxy-arg kubelet-arg
    lb-server-port log node-external-dns node-external-ip node-internal-dns node-ip node-label node-name node-taint
    nonroot-devices pause-image prefer-bundled-bin private-registry protect-kernel-defaults resolv-conf rootless selinux
    server snapshotter token token-file v vmodule vpn-auth vpn-auth-file with-node-id
"""
_SERVER = """
    advertise-address advertise-port agent-token agent-token-file bind-address cluster-cidr cluster-dns cluster-domain
    cluster-init cluster-reset cluster-reset-restore-path datastore-cafile datastore-certfile datastore-endpoint
    datastore-keyfile default-local-storage-path disable disable-agent disable-apiserver disable-cloud-controller
    disable-controller-manager disable-etcd disable-helm-controller disable-kube-proxy disable-network-policy
    disable-scheduler egress-selector-mode embedded-registry etcd-arg etcd-disable-snapshots etcd-expose-metrics etcd-s3
    etcd-s3-access-key etcd-s3-bucket etcd-s3-bucket-lookup-type etcd-s3-config-secret etcd-s3-endpoint
    etcd-s3-endpoint-ca etcd-s3-folder etcd-s3-insecure etcd-s3-proxy etcd-s3-region etcd-s3-retention
    etcd-s3-secret-key etcd-s3-session-token etcd-s3-skip-ssl-verify etcd-s3-timeout etcd-snapshot-compress
    etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-reconcile-interval etcd-snapshot-retention
    etcd-snapshot-schedule-cron flannel-backend flannel-external-ip flannel-ip-masq-disable-random-fully
    flannel-ipv6-masq helm-job-image https-listen-port kine-tls kube-apiserver-arg kube-cloud-controller-manager-arg
    kube-controller-manager-arg kube-scheduler-arg secrets-encryption secrets-encryption-provider service-cidr
    service-node-port-range servicelb-namespace supervisor-metrics system-default-registry tls-san tls-san-security
    write-kubeconfig write-kubeconfig-group write-kubeconfig-mode
"""
_AGENT = "disable-apiserver-lb"

KINDS: t.Final[Mapping[str, frozenset[Kind]]] = {
    **dict.fromkeys(_BOTH.split(), frozenset[Kind](("server", "agent"))),
    **dict.fromkeys(_SERVER.split(), frozenset[Kind](("server",))),
    **dict.fromkeys(_AGENT.split(), frozenset[Kind](("agent",))),
}
"""The known keys, each with the kinds of k3s that take it."""


def key_of(key: str) -> str:
    """The key that KEY sets: k3s appends to it where KEY ends with a plus."""
    return key[:-1] if key.endswith("+") else key


def as_list(value: object) -> list[t.Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def words(value: object) -> list[str]:
    """The values of a key as k3s reads them, whose lists may also be written with commas."""
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in as_list(value)]
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def merge_config(ours: Config, users: Config, kind: Kind) -> dict[str, t.Any]:
    """Lay the user's configuration over ours as k3s lays one file over another, without what KIND does not take.

    So one configuration serves servers and agents. A key that is not known goes through: k3s may be newer than we are.
    """
    merged = dict(ours)
    for key, value in users.items():
        name = key_of(key)
        merged[name] = as_list(merged[name]) + as_list(value) if key != name and name in merged else value
    return {name: value for name, value in merged.items() if kind in KINDS.get(name, (kind,))}
