# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight's checks, each by inputs that it refuses and by their neighbours that it does not.

An input is the sound home below with some things changed, named by their path in it.
"""

from __future__ import annotations

import copy
import hashlib
import typing as t

import pytest
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._fault import fault_lines
from ansible_collections.homecloud.k3s.plugins.modules.k3s_info import RETURN
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import KINDS
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight import CODES, ERRORS
from ansible_collections.homecloud.k3s.plugins.plugin_utils._preflight_inventory import (
    preflight_faults,
    setting_faults,
)
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

VERSION = "v1.36.2+k3s1"
NOW = 1_790_000_000.0
GONE = object()
Changes = dict[str, t.Any]
DNS: t.Final = {"acme_email": "me@home.example", "acme_challenge": "dns", "acme_dns_provider": "hetzner"}


def reading(number: int) -> dict[str, t.Any]:
    """A node as bare Raspberry Pi OS is when the role node has been there."""
    return {
        "hostname": f"node{number}",
        "machine_id": f"{number:032x}",
        "python": "3.11.2",
        "architecture": "aarch64",
        "os": {"id": "debian", "id_like": [], "version_id": "12", "pretty_name": "Debian GNU/Linux 12 (bookworm)"},
        "memory": {"total_mib": 3796, "available_mib": 3500},
        "disk": {"path": "/var/lib", "total_mib": 29000, "free_mib": 20000},
        "boot": {"file": "/boot/firmware/cmdline.txt", "words": [], "kernel_words": ["cgroup_disable=memory"]},
        "cgroup": {"version": 2, "memory": True, "evidence": "/sys/fs/cgroup/cgroup.controllers: cpu memory"},
        "time": {"epoch": NOW, "synchronized": True, "service": "systemd-timesyncd"},
        "ports": [{"protocol": "tcp", "address": "0.0.0.0", "port": 22, "process": "sshd"}],
        "firewall": [],
        "interfaces": [
            {"name": "lo", "kind": "loopback", "addresses": ["127.0.0.1/8", "::1/128"]},
            {"name": "eth0", "kind": "ethernet", "addresses": [f"192.168.1.10{number}/24", f"fe80::{number}/64"]},
            {"name": "kube-ipvs0", "kind": "other", "addresses": ["192.168.1.200/32"]},
        ],
        "default_route": {"interface": "eth0", "gateway": "192.168.1.1", "address": f"192.168.1.10{number}"},
        "resolves": {"192.168.1.101": ["192.168.1.101"]},
        "k3s": {
            "installed": False,
            "version": "",
            "kind": "",
            "data_dir": "/var/lib/rancher/k3s",
            "config": {},
            "dropins": [],
            "unit": {"path": "", "flags": {}, "environment_files": [], "foreign": False},
            "problems": [],
            "token": {"present": False, "sha256": ""},
            "ca_sha256": "",
            "datastore": "",
        },
        "units": {"k3s": {"active": "inactive"}, "k3s-agent": {"active": "inactive"}},
    }


SOUND: t.Final[Changes] = {
    "readings": {f"node{number}": reading(number) for number in (1, 2, 3)},
    "hostvars": {
        **{f"node{number}": {"ansible_host": f"192.168.1.10{number}"} for number in (1, 2, 3)},
        "localhost": {"metallb_pools": [{"name": "home", "addresses": ["192.168.1.200-192.168.1.225"]}]},
    },
    "groups": {"k3s_cluster": ["node1", "node2", "node3"], "server": ["node1"], "agent": ["node2", "node3"]},
    "defaults": {"k3s_version": VERSION, "k3s_config": {}, "k3s_token": "", "metallb_pools": []},
    "started": NOW - 3,
    "finished": NOW + 3,
    "accept": [],
}


def changed(*changes: Changes) -> Changes:
    home = copy.deepcopy(SOUND)
    for path, value in (item for change in changes for item in change.items()):
        *parents, last = path.split(" ")
        place = home
        for parent in parents:
            place = place[parent]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return home


def faults(*changes: Changes) -> list[dict[str, t.Any]]:
    return preflight_faults(**changed(*changes))


def every_host(setting: str, value: object) -> Changes:
    return {f"hostvars {host} {setting}": value for host in SOUND["hostvars"]}


def config(**keys: object) -> Changes:
    return every_host("k3s_config", {key.replace("_", "-"): value for key, value in keys.items()})


def pools(*addresses: str) -> Changes:
    named = [{"name": f"pool{number}", "addresses": [text]} for number, text in enumerate(addresses)]
    return {"hostvars localhost metallb_pools": named}


def pool(**keys: object) -> Changes:
    return {"hostvars localhost metallb_pools": [{**SOUND["hostvars"]["localhost"]["metallb_pools"][0], **keys}]}


def selector(**parts: object) -> Changes:
    return pool(service_selectors=[parts])


def expression(**parts: object) -> Changes:
    return selector(matchExpressions=[parts])


def web(*services: Changes, **all_of_them: object) -> Changes:
    """Web services, one if none is given."""
    sound = {"name": "mysite", "image": "nginx:1.28", **all_of_them}
    return {"hostvars localhost web_service_services": [{**sound, **service} for service in services or ({},)]}


def traefik(**settings: object) -> Changes:
    return {f"hostvars localhost traefik_{key}": value for key, value in settings.items()}


def running(**server: object) -> Changes:
    """A cluster that runs."""
    there: Changes = {"version": VERSION, "installed": True, "ca_sha256": "c1" * 32, "config": {"node-name": "node1"}}
    return {
        f"readings {host} k3s": {**SOUND["readings"][host]["k3s"], **there, "kind": kind, **server}
        for host, kind in (("node1", "server"), ("node2", "agent"), ("node3", "agent"))
    }


def servers(*names: str) -> Changes:
    return {"groups server": list(names), "groups agent": [name for name in SOUND["readings"] if name not in names]}


def with_data(*names: str, active: str = "active") -> Changes:
    """Servers with the cluster's data in etcd."""
    return {
        change: value
        for name in names
        for change, value in (
            (f"readings {name} k3s datastore", "etcd"),
            (f"readings {name} units k3s active", active),
        )
    }


def node2(path: str, value: object) -> Changes:
    return {f"readings node2 {path}": value}


def socket(protocol: str, port: int, process: str) -> list[dict[str, t.Any]]:
    return [{"protocol": protocol, "address": "0.0.0.0", "port": port, "process": process}]


def firewall(kind: str, *opens: tuple[str, int, int, str]) -> list[dict[str, t.Any]]:
    openings = [{"protocol": p, "ports": [first, last], "source": source} for p, first, last, source in opens]
    return [{"kind": kind, "evidence": "its default is to refuse", "opens": openings}]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


ALL_SERVERS = servers("node1", "node2", "node3")
K3S2 = "readings node2 k3s "
OF_OTHERS: t.Final = {"path": "k3s.service", "flags": {"v": "2"}, "environment_files": ["x.env"], "foreign": True}
SECURE_TOKEN = f"K10{'a' * 64}::server:secret"
ALL_OPEN = ("any", 0, 65535, "any")
WIFI = [{"name": "wlan0", "kind": "wifi", "addresses": ["192.168.1.102/24"]}]
BY_WIFI = {"interface": "wlan0", "gateway": "192.168.1.1", "address": "192.168.1.102"}
ELSEWHERE = [{"name": "eth0", "kind": "ethernet", "addresses": ["192.168.2.102/24"]}]
V1 = {"version": 1, "memory": True, "evidence": "/proc/mounts: cgroup memory"}
NO_MEMORY = {"version": 2, "memory": False, "evidence": "/sys/fs/cgroup/cgroup.controllers: cpu"}
V1_ALLOWED = {"kubelet_arg": ["fail-cgroupv1=false"]}

WRONG: t.Final[list[tuple[str, Changes]]] = [
    ("wrong_groups", {"groups agent": ["node1", "node2", "node3"]}),
    ("wrong_groups", {"groups k3s_cluster": ["node1", "node2"]}),
    ("wrong_groups", {"groups agent": ["node2"]}),
    ("server_count", {"groups server": [], "groups agent": ["node1", "node2", "node3"]}),
    ("server_count", servers("node1", "node2")),
    ("server_count", servers("node1", "node2") | with_data("node1")),
    ("settings_differ", ALL_SERVERS | {"hostvars node2 k3s_config": {"cluster-domain": "home"}}),
    (
        "settings_differ",
        ALL_SERVERS | every_host("metallb_state", "absent") | {"hostvars node2 k3s_config": {"disable": []}},
    ),
    ("token_for_datastore", ALL_SERVERS | config(datastore_endpoint="postgres://me:geheim@db.home.example/k3s")),
    ("misplaced_setting", {"hostvars node1 kubeconfig_path": "~/.kube/home"}),
    ("invalid_version", every_host("k3s_version", "1.36")),
    ("invalid_version", every_host("k3s_version", 1.36)),
    ("invalid_version", every_host("k3s_version", "latest")),
    ("invalid_version", every_host("k3s_version", "v1.36.2+k3s1 ")),
    ("agent_newer_than_server", {"hostvars node2 k3s_version": "v1.36.2+k3s2"}),
    ("invalid_config", every_host("k3s_config", "disable: traefik")),
    ("invalid_config", every_host("k3s_config", None)),
    ("invalid_config", config(kubelet_arg={"max-pods": 50})),
    ("invalid_config", config(kubelet_arg=[["max-pods=50"]])),
    ("invalid_config", config(cluster_domain=None)),
    ("unknown_config_key", every_host("k3s_config", {"node_label": ["a=b"]})),
    ("unknown_config_key", every_host("k3s_config", {"diasble+": ["traefik"]})),
    ("unknown_config_key", every_host("k3s_config", {1: "a"})),
    ("reserved_config_key", config(token="secret")),
    ("reserved_config_key", every_host("k3s_config", {"server+": "https://192.168.1.9:6443"})),
    ("reserved_config_key", config(cluster_reset=True)),
    ("reserved_config_key", config(https_listen_port=443)),
    ("reserved_config_key", config(disable_agent=True)),
    ("invalid_network", config(cluster_cidr="10.42.0.0/33")),
    ("invalid_network", config(service_cidr=["10.43.0.0/16", "home"])),
    ("invalid_token", every_host("k3s_token", 1234)),
    ("invalid_token", every_host("k3s_token", "two words")),
    ("invalid_token", every_host("k3s_token", "a:b")),
    ("invalid_token", every_host("k3s_token", SECURE_TOKEN + ":x")),
    (
        "invalid_api_endpoint",
        {**every_host("k3s_api_endpoint", "https://node1"), **node2("resolves", {"https://node1": []})},
    ),
    ("invalid_api_endpoint", every_host("k3s_api_endpoint", "192.168.1.101:6443")),
    ("invalid_api_endpoint", every_host("k3s_api_endpoint", "")),
    ("invalid_api_endpoint", every_host("k3s_api_endpoint", "192.168.1.999")),
    ("invalid_node_name", {"hostvars node2 k3s_config": {"node-name": "Node_2"}}),
    ("invalid_node_name", {"hostvars node2 k3s_config": {"node-name": "n" * 254}}),
    ("duplicate_node_name", config(node_name="node")),
    ("servicelb_enabled", config(disable=["traefik"])),
    ("unsupported_os", node2("os id", "fedora")),
    ("unsupported_os", node2("os version_id", "10")),
    ("unsupported_os", node2("os", {"id": "ubuntu", "id_like": ["debian"], "version_id": "20.04", "pretty_name": ""})),
    ("unsupported_architecture", node2("architecture", "armv6l")),
    ("python_too_old", node2("python", "3.8.10")),
    ("no_memory_cgroup", {**node2("cgroup", NO_MEMORY), **node2("boot file", None)}),
    ("no_memory_cgroup", {**node2("cgroup", NO_MEMORY), **node2("boot kernel_words", ["cgroup_enable=memory"])}),
    ("cgroup_v1", node2("cgroup", V1)),
    ("cgroup_v1", {**node2("cgroup", V1), **every_host("k3s_version", "v1.35.0+k3s1")}),
    ("cgroup_v1", {**node2("cgroup", V1), **config(kubelet_arg="max-pods=50")}),
    ("disk_full", node2("disk free_mib", 2047)),
    ("port_taken", {"readings node1 ports": socket("tcp", 6443, "haproxy")}),
    ("port_taken", node2("ports", socket("tcp", 10250, "kubelet"))),
    ("port_taken", node2("ports", socket("udp", 7946, "dockerd"))),
    ("port_taken", {"readings node1 ports": socket("tcp", 2379, "etcd"), **config(cluster_init=True)}),
    ("port_taken", ALL_SERVERS | node2("ports", socket("tcp", 2380, "etcd"))),
    ("config_unreadable", {K3S2 + "problems": ["/etc/rancher/k3s/config.yaml, line 3: not KEY: VALUE"]}),
    ("duplicate_machine_id", node2("machine_id", f"{1:032x}")),
    ("clock_wrong", node2("time epoch", NOW + 64)),
    ("clock_wrong", node2("time epoch", NOW - 3600)),
    ("clock_wrong", node2("time", {"epoch": 0.0, "synchronized": False, "service": ""})),
    ("not_adopted", {**running(), K3S2 + "unit": OF_OTHERS}),
    ("not_adopted", running(unit={**OF_OTHERS, "flags": {}, "environment_files": []})),
    ("another_kind", {**running(), K3S2 + "kind": "server"}),
    ("another_kind", {**running(), "readings node1 k3s kind": "agent"}),
    ("another_cluster", {**running(), K3S2 + "ca_sha256": "c2" * 32}),
    ("another_cluster", {K3S2 + "ca_sha256": "c2" * 32}),
    ("another_cluster", ALL_SERVERS | {K3S2 + "ca_sha256": "c2" * 32, "readings node3 k3s ca_sha256": "c3" * 32}),
    ("servers_down", ALL_SERVERS | with_data("node2", "node3", active="failed")),
    ("servers_down", ALL_SERVERS | with_data("node3", active="inactive")),
    ("downgrade", running(version="v1.36.3+k3s1")),
    ("downgrade", {**running(), **every_host("k3s_version", "v1.36.2-rc1+k3s1")}),
    ("upgrade", running(version="v1.36.2-rc2+k3s1")),
    ("upgrade", {**running(), K3S2 + "version": "v1.35.9+k3s1"}),
    ("minor_skipped", {**running(), K3S2 + "version": "v1.34.9+k3s1"}),
    ("another_token", {**running(token={"present": True, "sha256": sha256("old")}), **every_host("k3s_token", "new")}),
    ("network_changed", {**running(), **config(cluster_cidr="10.52.0.0/16")}),
    ("network_changed", running(config={"service-cidr": ["10.53.0.0/16"]})),
    ("network_changed", {**running(), **config(flannel_backend="host-gw")}),
    ("data_dir_moved", {**running(), **config(data_dir="/data/k3s")}),
    ("data_dir_moved", running(config={"data-dir": "/data/k3s"})),
    ("no_default_route", node2("default_route", None)),
    ("another_lan", node2("interfaces", ELSEWHERE)),
    ("unresolved_endpoint", node2("resolves", {"node1.local": []})),
    ("unresolved_endpoint", node2("resolves", {"node1": ["127.0.1.1"]})),
    ("unresolved_endpoint", ALL_SERVERS | node2("resolves", {"node1": []})),
    ("invalid_api_vip", every_host("api_vip_address", "192.168.1")),
    ("invalid_api_vip", every_host("api_vip_address", "fd00::100")),
    ("invalid_api_vip", every_host("api_vip_address", "192.168.1.102")),
    ("invalid_api_vip", every_host("api_vip_address", "192.168.2.100")),
    ("firewall_blocks", node2("firewall", firewall("ufw"))),
    ("firewall_blocks", ALL_SERVERS | node2("firewall", firewall("ufw", ("any", 6443, 65535, "any")))),
    ("firewall_blocks", node2("firewall", firewall("firewalld", ("tcp", 0, 65535, "any")))),
    ("firewall_blocks", node2("firewall", firewall("ufw", ("any", 0, 65535, "192.168.1.101"), ("any", 0, 65535, "x")))),
    ("networks_overlap", config(service_cidr="10.42.128.0/17")),
    ("networks_overlap", config(cluster_cidr="192.168.0.0/16")),
    ("networks_overlap", {**pools("10.43.0.200-10.43.0.210"), "accept": ["pool_outside_lan"]}),
    ("invalid_pool", {"hostvars localhost metallb_pools": "192.168.1.200-192.168.1.225"}),
    ("invalid_pool", {"hostvars localhost metallb_pools": [{"name": "home"}]}),
    ("invalid_pool", {"hostvars localhost metallb_pools": [{"name": "home", "addresses": "192.168.1.200/32"}]}),
    ("invalid_pool", {"hostvars localhost metallb_pools": [{"name": "a", "addresses": []}] * 2}),
    ("invalid_pool", {"hostvars localhost metallb_pools": [{"name": "Home", "addresses": []}]}),
    ("invalid_pool", pools("192.168.1.225-192.168.1.200")),
    ("invalid_pool", pools("192.168.1.200-fe80::1")),
    ("invalid_pool", pools("192.168.1.200")),
    ("invalid_pool", pools("192.168.1.200-225")),
    ("pool_outside_lan", pools("192.168.2.200-192.168.2.225")),
    ("pool_outside_lan", pools("fd00::200-fd00::225")),
    ("pool_holds_lan_address", pools("192.168.1.240/28")),
    ("pool_holds_host", pools("192.168.1.103-192.168.1.110")),
    ("pool_holds_host", pools("192.168.1.1-192.168.1.9")),
    ("pool_holds_host", {"readings node2 resolves": {"k3s": ["192.168.1.210"]}}),
    ("pools_overlap", pools("192.168.1.200-192.168.1.210", "192.168.1.208/29")),
    ("invalid_pool", pool(addreses=[])),
    ("invalid_pool", pool(priority=-1)),
    ("invalid_pool", pool(priority="low")),
    ("invalid_pool", pool(namespaces=["Web"])),
    ("invalid_pool", pool(namespaces="web")),
    ("invalid_pool", pool(advertise={"interfaces": [""]})),
    ("invalid_pool", pool(advertise={"interface": ["eth0"]})),
    ("invalid_selector", pool(service_selectors=[{"app": "web"}])),
    ("invalid_selector", pool(advertise={"node_selectors": [{"matchLabels": {"zone": True}}]})),
    ("invalid_selector", pool(namespace_selectors=[{"matchLabels": {"a b": "c"}}])),
    ("invalid_selector", selector(matchLabels=["web"])),
    ("invalid_selector", selector(matchLabels={"app": "a b"})),
    ("invalid_selector", selector(matchLabels={"Example.org/app": "web"})),
    ("invalid_selector", selector(matchExpressions={"key": "app"})),
    ("invalid_selector", selector(matchExpressions=["app"])),
    ("invalid_selector", expression(key="app", operator="in", values=["web"])),
    ("invalid_selector", expression(key="app", operator="In")),
    ("invalid_selector", expression(key="app", operator="Exists", values=["web"])),
    ("invalid_selector", expression(operator="Exists")),
    ("invalid_web_service", {"hostvars localhost web_service_services": "mysite"}),
    ("invalid_web_service", {"hostvars localhost web_service_services": [{"image": "nginx"}]}),
    ("invalid_web_service", web(imgae="nginx")),
    ("invalid_web_service", web(port="http")),
    ("invalid_web_service", web(type="loadbalancer")),
    ("invalid_web_service", web(replicas=-1)),
    ("invalid_web_service", web(env="A=b")),
    ("invalid_web_service", web(namespace=5)),
    ("invalid_web_service", web(probes={"ready": {}})),
    ("invalid_service_name", web(name="MySite")),
    ("invalid_service_name", web(name="1site")),
    ("invalid_service_name", web(name="m" * 64)),
    ("invalid_service_name", web(namespace="my.home")),
    ("duplicate_service", web({}, {"image": "httpd"})),
    ("duplicate_service", web({}, {"state": "absent"})),
    ("invalid_image", web(image="")),
    ("invalid_image", web(image="nginx 1.28")),
    ("invalid_image", {"hostvars localhost web_service_services": [{"name": "mysite"}]}),
    ("invalid_port", web(port=0)),
    ("invalid_port", web(service_port=65536)),
    ("invalid_port", web(type="NodePort", node_port=8080)),
    ("invalid_port", web(type="ClusterIP", node_port=30080)),
    ("invalid_port", web(node_port=30080) | config(service_node_port_range="31000-32000")),
    ("node_port_taken", web({}, {"name": "two"}, node_port=30080)),
    ("invalid_environment", web(env={"MY VAR": "a"})),
    ("invalid_environment", web(env={1: "a"})),
    ("invalid_environment", web(env={"DEBUG": True})),
    ("invalid_environment", web(secrets={"PASSWORD": None})),
    ("invalid_environment", web(env={"PASSWORD": "a"}, secrets={"PASSWORD": "b"})),
    ("invalid_labels", web(labels={"a/b/c": "d"})),
    ("invalid_labels", web(labels={"tier": "front end"})),
    ("invalid_labels", web(labels={"tier": 1.5})),
    ("invalid_labels", web(labels={"app.kubernetes.io/name": "other"})),
    ("invalid_resources", web(resources={"requests": {"memory": "64 MB"}})),
    ("invalid_resources", web(resources={"memory": "64Mi"})),
    ("invalid_resources", web(resources={"limits": {"cpu": True}})),
    ("invalid_probe", web(probes={"liveness": {}})),
    ("invalid_probe", web(probes={"readiness": {"periodSeconds": 5}})),
    ("invalid_probe", web(probes={"readiness": {"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}})),
    ("invalid_probe", web(probes={"startup": {"httpGet": {"port": 80}, "period": 5}})),
    ("invalid_probe", web(probes={"startup": {"httpGet": 80}})),
    ("invalid_file", web(files={"index.html": "hello"})),
    ("invalid_file", web(files={"/srv/": "hello"})),
    ("invalid_file", web(files={"/srv/a:b": "hello"})),
    ("invalid_file", web(files={"/srv/index.html": {"a": 1}})),
    ("invalid_address", web(address="home")),
    ("invalid_address", web(address="192.168.1.210,192.168.1.211")),
    ("invalid_address", web(address="192.168.1.210", type="NodePort")),
    ("invalid_address", web(pool="home", type="ClusterIP")),
    ("address_outside_pools", web(address="192.168.1.199")),
    (
        "address_outside_pools",
        web(address="192.168.1.200", pool="pool1") | pools("192.168.1.200-192.168.1.201", "192.168.1.202/32"),
    ),
    ("address_taken", web({}, {"name": "two"}, address="192.168.1.210")),
    ("unknown_pool", web(pool="hoem")),
    ("no_pool_for_service", web() | pool(namespaces=["prod"])),
    ("no_pool_for_service", web(address="192.168.1.210") | pool(namespaces=["prod"])),
    ("no_pool_for_service", web(pool="home") | pool(namespaces=["prod"])),
    ("no_pool_for_service", web() | pool(auto_assign=False)),
    ("invalid_host", web(hosts=["https://mysite.home.example/"])),
    ("invalid_host", web(hosts=["*.home.example"])),
    ("invalid_host", web(hosts=["my_site`) || Host(`b"])),
    ("invalid_host", traefik(dashboard_host="192.168.1.200:8080", dashboard_password="geheim")),
    ("host_taken", web({}, {"name": "two"}, hosts=["mysite.home.example"])),
    ("host_taken", web({}, {"name": "two", "hosts": ["MySite.home.example"]}, hosts=["mysite.home.example"])),
    (
        "host_taken",
        web(hosts=["a.home.example"]) | traefik(dashboard_host="A.home.example", dashboard_password="geheim"),
    ),
    ("invalid_route", web(hosts=["a.home.example"], path="wiki")),
    ("invalid_route", web(hosts=["a.home.example"], path="/a`b")),
    ("invalid_route", web(hosts=["a.home.example"], middlewares=["default/auth"])),
    ("invalid_route", web(path="/wiki")),
    ("invalid_route", web(tls=False)),
    ("invalid_route", web(middlewares=["auth"])),
    ("invalid_route", web(basic_auth={"username": "me", "password": "geheim"})),
    ("redirected_to_nothing", web(hosts=["a.home.example"], tls=False) | traefik(acme_email="me@home.example")),
    ("redirected_to_nothing", web(hosts=["a.home.example"], tls=False) | traefik(redirect=True)),
    ("invalid_volume", web(volume={"path": "data", "size": "1Gi"})),
    ("invalid_volume", web(volume={"path": "/data", "size": "1Gi"}, files={"/data": "a"})),
    ("invalid_volume", web(volume={"path": "/data", "size": "1 GB"})),
    ("invalid_volume", web(volume={"path": "/data", "size": "1Gi"}, replicas=2)),
    ("invalid_acme", traefik(acme_email="me")),
    ("invalid_acme", traefik(acme_email="me@example.org")),
    ("invalid_acme", traefik(acme_email="me@home.example", acme_authority="prod")),
    ("invalid_acme", traefik(acme_email="me@home.example", acme_authority="http://ca.home.example/")),
    ("invalid_acme", traefik(acme_email="me@home.example", acme_resolver="my le")),
    ("invalid_acme", traefik(acme_email="me@home.example", acme_ca="/etc/ssl/ca.pem")),
    ("invalid_dns_challenge", traefik(acme_email="me@home.example", acme_challenge="dns")),
    ("invalid_dns_challenge", traefik(**DNS, acme_dns_secrets={"MY KEY": "a"})),
    ("invalid_dns_challenge", traefik(**DNS, acme_dns_secrets={"KEY": None})),
    ("invalid_dashboard", traefik(dashboard_host="traefik.home.example")),
    ("invalid_traefik_address", traefik(address="192.168.1.210", pool="home")),
    ("invalid_traefik_address", traefik(address="home")),
    ("invalid_traefik_address", traefik(address="192.168.1.99")),
    ("invalid_traefik_address", traefik(pool="dmz")),
    ("invalid_traefik_address", traefik(address="192.168.1.210") | web(address="192.168.1.210")),
    ("invalid_entry_point", traefik(entry_points=[{"name": "smtp"}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "web", "port": 2525}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "a b", "port": 2525}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "smtp", "port": 25}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "smtp", "port": 8443}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "smtp", "port": 2525, "exposed_port": 443}])),
    ("invalid_entry_point", traefik(entry_points=[{"name": n, "port": 2525} for n in ("smtp", "mail")])),
    ("invalid_entry_point", traefik(entry_points=[{"name": "smtp", "port": p} for p in (2525, 2526)])),
    ("traefik_disabled", web(hosts=["a.home.example"]) | config(disable="traefik,servicelb")),
    ("traefik_disabled", traefik(acme_email="me@home.example") | config(disable="traefik,servicelb")),
]

DUBIOUS: t.Final[list[tuple[str, Changes]]] = [
    ("unreachable", {"readings node3": GONE}),
    ("little_disk", node2("disk free_mib", 4095)),
    ("little_memory", node2("memory total_mib", 400)),
    ("little_memory", {"readings node1 memory total_mib": 1000}),
    ("wifi", {**node2("interfaces", WIFI), **node2("default_route", BY_WIFI)}),
    ("duplicate_hostname", node2("hostname", "node1")),
    ("clock_adrift", node2("time", {"epoch": NOW + 10, "synchronized": False, "service": ""})),
    ("dropin_overrides", {**running(dropins=["x.yaml"], config={"debug": "true"}), **config(debug=False)}),
    ("dropin_overrides", {**running(dropins=["x.yaml"], config={"disable": ["traefik"]})}),
    ("firewall_unclear", node2("firewall", firewall("nftables"))),
    ("no_pool", {"hostvars localhost metallb_pools": GONE}),
]

FINE: t.Final[list[Changes]] = [
    {},
    running(),
    {"groups agent": [], "groups k3s_cluster": ["node1"]},
    ALL_SERVERS,
    every_host("api_vip_address", ""),
    every_host("api_vip_address", "192.168.1.100"),
    every_host("api_vip_address", "192.168.9.9") | every_host("api_vip_state", "absent"),
    ALL_SERVERS | with_data("node2"),
    ALL_SERVERS | with_data("node1", active="inactive"),
    ALL_SERVERS | with_data("node1", "node2", "node3", active="inactive"),
    ALL_SERVERS | {"hostvars node2 k3s_config": {"disable+": ["traefik"], "node-label": ["a=b"]}},
    ALL_SERVERS | config(datastore_endpoint="mysql://") | every_host("k3s_token", "word"),
    servers("node1", "node2") | with_data("node1", "node2"),
    servers("node1", "node2") | config(datastore_endpoint="mysql://") | every_host("k3s_token", "word"),
    every_host("kubeconfig_path", "~/.kube/home"),
    every_host("k3s_version", "v1.34.1-rc2+k3s10"),
    {"hostvars node2 k3s_version": "v1.36.1+k3s1"},
    every_host("k3s_config", {"node-label+": ["a=b"], "debug": True, "v": 2, "disable+": "traefik", "tls-san": ""}),
    config(disable="traefik,servicelb"),
    {**config(disable="traefik"), **every_host("metallb_state", "absent"), **every_host("metallb_pools", [])},
    config(cluster_cidr="10.52.0.0/16,fd52::/56", service_cidr=["10.53.0.0/16", "fd53::/112"]),
    every_host("k3s_token", "correct-horse-battery-staple"),
    every_host("k3s_token", SECURE_TOKEN),
    every_host("k3s_api_endpoint", "192.168.1.101"),
    every_host("k3s_api_endpoint", "fd00::101"),
    every_host("k3s_api_endpoint", "K3s.example.org"),
    {"hostvars node2 k3s_config": {"node-name": "a-2.example"}},
    node2("os", {"id": "raspbian", "id_like": ["debian"], "version_id": "11", "pretty_name": ""}),
    node2("os", {"id": "ubuntu", "id_like": ["debian"], "version_id": "22.04", "pretty_name": ""}),
    node2("os", {"id": "linuxmint", "id_like": ["ubuntu", "debian"], "version_id": "1", "pretty_name": ""}),
    node2("os version_id", ""),
    node2("architecture", "armv7l"),
    node2("python", "3.9.2"),
    node2("cgroup", NO_MEMORY),
    {**node2("cgroup", V1), **every_host("k3s_version", "v1.34.9+k3s1")},
    {**node2("cgroup", V1), **config(**V1_ALLOWED)},
    {**node2("disk free_mib", 1), K3S2 + "installed": True},
    node2("memory total_mib", 450),
    node2("memory total_mib", 0),
    {"readings node1 memory total_mib": 1800},
    node2("ports", socket("tcp", 6443, "haproxy")),
    node2("ports", socket("tcp", 10250, "k3s-agent")),
    node2("ports", socket("udp", 7946, "speaker")),
    node2("ports", socket("udp", 8472, "")),
    {"readings node1 ports": socket("tcp", 2379, "etcd")},
    {**node2("machine_id", ""), "readings node3 machine_id": ""},
    node2("time epoch", NOW + 62),
    node2("time", {"epoch": 0.0, "synchronized": False, "service": "chrony"}),
    node2("time", {"epoch": NOW + 4, "synchronized": False, "service": ""}),
    node2("time", {"epoch": NOW + 10, "synchronized": True, "service": ""}),
    {"readings node2 k3s version": "v1.36.3+k3s1", K3S2 + "installed": True},
    running(version="not known"),
    {**running(token={"present": True, "sha256": sha256("secret")}), **every_host("k3s_token", SECURE_TOKEN)},
    every_host("k3s_token", "new"),
    {**running(config={"cluster-cidr": ["10.52.0.0/16"]}), **config(cluster_cidr="10.52.0.0/16")},
    {**running(config={}), **config(cluster_cidr="10.52.0.0/16")},
    {**running(dropins=["x.yaml"], config={"debug": "true", "v": 2}), **config(debug=True, v="2")},
    {**running(dropins=["x.yaml"], config={"agent-token": "sha256:1"}), **config(agent_token="secret")},
    running(dropins=["x.yaml"]),
    {
        **running(dropins=["x.yaml"], config={"disable": "servicelb,traefik"}),
        **every_host("k3s_config", {"disable+": "traefik"}),
    },
    node2("firewall", firewall("ufw", ALL_OPEN)),
    node2("firewall", firewall("nftables", ALL_OPEN)),
    node2(
        "firewall",
        firewall(
            "ufw",
            ("udp", 8472, 8472, "192.168.1.0/24"),
            ("any", 7946, 7946, "192.168.1.0/24"),
            ("tcp", 10000, 11000, "192.168.1.0/24"),
            ("tcp", 10000, 11000, "10.0.0.0/8"),
        ),
    ),
    {
        "readings node1 firewall": firewall("ufw", ("any", 6443, 10250, "any")),
        **config(flannel_backend="host-gw"),
    },
    {"readings node1 resolves": {"node1": ["127.0.1.1"]}},
    node2("default_route gateway", ""),
    node2("default_route address", ""),
    {**node2("default_route", None), **node2("interfaces", [])},
    pools("192.168.1.192/28", "192.168.1.208-192.168.1.215"),
    node2("interfaces", [*ELSEWHERE, *SOUND["readings"]["node2"]["interfaces"][1:]]) | config(node_label=["a=b"]),
    pool(priority=10, namespaces=["prod"], advertise={"interfaces": ["eth0"]}),
    selector(matchLabels={"app.example.org/tier": "front", "empty": ""}),
    expression(key="tier", operator="In", values=["front", "back"]),
    expression(key="tier", operator="DoesNotExist"),
    {"hostvars localhost web_service_services": []},
    web({}, {"name": "two", "port": "8080", "service_port": 8080}),
    web({}, {"namespace": "web"}),
    {"hostvars localhost web_service_services": [{"name": "mysite", "state": "absent"}]},
    web(type="NodePort", node_port=30080),
    web(node_port=31080) | config(service_node_port_range="31000-32000"),
    web({"type": "ClusterIP"}, {"name": "two", "type": "ClusterIP"}),
    web(env={"PORT": 8080, "_debug": "true"}, secrets={"MY.PASSWORD": "secret", "PIN": 1234}),
    web(labels={"example.org/tier": "front", "empty": "", "version": 2}),
    web(resources={"requests": {"cpu": 0.5, "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "1e9"}}),
    web(probes={"readiness": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5}, "startup": None}),
    web(files={"/srv/index.html": "hello"}),
    web(address="192.168.1.210"),
    web(address="192.168.1.210", pool="home"),
    web(pool="home") | pool(auto_assign=False),
    web(namespace="prod") | pool(namespaces=["prod"]),
    web() | pool(namespaces=["prod"], namespace_selectors=[{"matchLabels": {"public": "yes"}}]),
    web({}, {"name": "old", "state": "absent", "address": "10.0.0.1"}),
    web(hosts=["a.home.example", "B.home.example"], path="/wiki", middlewares=["auth"], tls=True),
    web({"path": "/a"}, {"name": "two", "path": "/b"}, hosts=["a.home.example"]),
    web({}, {"name": "two", "state": "absent"}, hosts=["a.home.example"]),
    web(hosts=["a.home.example"], basic_auth={"username": "me", "password": "geheim"}),
    web(hosts=["a.home.example"], tls=False) | traefik(acme_email="me@home.example", redirect=False),
    web(volume={"path": "/data", "size": "500Mi"}, files={"/etc/a": "b"}),
    web(hosts=["a.home.example"], type="LoadBalancer", address="192.168.1.210"),
    traefik(acme_email="me@home.example", acme_ca="-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"),
    traefik(acme_email="me@example.org", acme_authority="https://ca.home.example:14000/dir"),
    traefik(acme_email="", acme_authority="prod"),
    traefik(**DNS, acme_dns_secrets={"HETZNER_API_KEY": "a", "TTL": 60}),
    traefik(dashboard_host="traefik.home.example", dashboard_password="geheim"),
    traefik(address="192.168.1.210"),
    traefik(pool="home"),
    traefik(entry_points=[{"name": "smtp", "port": 2525, "exposed_port": 25}, {"name": "imap", "port": 1143}]),
]
"""What comes near to a fault and is none."""


def name(value: object) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("code", "change"), WRONG, ids=name)
def test_an_error_is_found(code: str, change: Changes) -> None:
    found = faults(change)
    assert {fault["code"] for fault in found if fault["severity"] == "error"} == {code}
    assert all(fault["message"] and fault["evidence"] and fault["advice"] for fault in found)


@pytest.mark.parametrize(("code", "change"), DUBIOUS, ids=name)
def test_a_warning_is_found(code: str, change: Changes) -> None:
    assert [(fault["severity"], fault["code"]) for fault in faults(change)] == [("warning", code)]


@pytest.mark.parametrize("change", FINE, ids=repr)
def test_what_can_work_has_no_fault(change: Changes) -> None:
    assert faults(change) == []


def test_every_check_is_tested() -> None:
    assert sorted({code for code, _change in WRONG}) == sorted(
        {check.__name__ for check in ERRORS} - {"unreadable_setting"}
    )
    assert sorted({code for code, _change in WRONG + DUBIOUS}) == sorted({*CODES} - {"unreadable_setting"})


class Templates(dict[str, t.Any]):
    """Variables as Ansible gives them: a template is worked out when it is looked at."""

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if value == "{{ missing }}":
            raise UndefinedError("'missing' is undefined")
        return value


def undocumented(value: object, documented: Changes) -> list[str]:
    value = value[0] if isinstance(value, list) and value else value
    if not isinstance(value, dict):
        return []
    unknown = [key for key in value if key not in documented]
    parts = [(value[key], part["contains"]) for key, part in documented.items() if "contains" in part and key in value]
    return unknown + [key for part in parts for key in undocumented(*part)]


def test_a_reading_is_what_k3s_info_returns() -> None:
    assert undocumented(reading(1), yaml.safe_load(RETURN)) == []


def test_a_template_that_fails_is_an_error() -> None:
    found = faults({"hostvars node2": Templates(k3s_token="{{ missing }}")})
    assert [(fault["code"], fault["host"]) for fault in found] == [("unreadable_setting", "node2")]
    assert found[0]["evidence"] == "'missing' is undefined"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda junk: st.lists(junk, max_size=3) | st.dictionaries(st.text(max_size=3), junk, max_size=3),
    max_leaves=4,
)

OF_A_SERVICE = ("name", "image", "type", "env", "secrets", "labels", "resources", "probes", "files", "address", "pool")


@given(
    config=JUNK | st.dictionaries(st.sampled_from([*KINDS]), JUNK),
    pools=JUNK | st.lists(st.fixed_dictionaries({"name": JUNK, "addresses": JUNK | st.lists(JUNK)}), max_size=3),
    services=JUNK | st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(OF_A_SERVICE, JUNK)), max_size=2),
    others=st.fixed_dictionaries(dict.fromkeys(("k3s_api_endpoint", "k3s_token", "k3s_version"), JUNK)),
)
def test_no_setting_makes_a_check_fail(config: object, pools: object, services: object, others: Changes) -> None:
    everything = {"k3s_config": config, "metallb_pools": pools, "web_service_services": services, **others}
    for fault in faults(running(), {"hostvars": dict.fromkeys(SOUND["hostvars"], everything)}):
        assert fault["code"] in CODES


def test_what_all_hosts_have_in_common_is_one_fault() -> None:
    (found,) = faults(every_host("k3s_version", "latest"))
    assert found["host"] == ""
    assert [fault["host"] for fault in faults({f"readings node{n} architecture": "mips" for n in (1, 2)})] == [
        "node1",
        "node2",
    ]
    alone = {"groups agent": [], "groups k3s_cluster": ["node1"], "readings node1 architecture": "mips"}
    assert [fault["host"] for fault in faults(alone)] == ["node1"]


def test_an_error_that_is_accepted_is_a_warning() -> None:
    wrong = {**node2("architecture", "mips"), **node2("python", "3.8.1")}
    found = [(fault["severity"], fault["code"]) for fault in faults(wrong, {"accept": ["unsupported_architecture"]})]
    assert found == [("error", "python_too_old"), ("warning", "unsupported_architecture")]


def test_only_faults_that_exist_can_be_accepted() -> None:
    assert [(f["severity"], f["code"]) for f in faults({"accept": ["wifi", "unsuported_os"]})] == [
        ("error", "unknown_code")
    ]


def test_an_unknown_key_is_explained_by_a_known_one() -> None:
    advices = [faults(every_host("k3s_config", {key: 1}))[0]["advice"] for key in ("node_label", "tls-sna+", "xyzzy")]
    assert [advice.split("?")[0] for advice in advices[:2]] == ['Did you mean "node-label"', 'Did you mean "tls-san"']
    assert "Did you mean" not in advices[2]


def test_no_secret_is_shown() -> None:
    wrong = [
        every_host("k3s_token", "hunter2 hunter2"),
        config(token="hunter2"),
        config(datastore_endpoint={"password": "hunter2"}),
        {**running(token={"present": True, "sha256": sha256("old")}), **every_host("k3s_token", "hunter2")},
        web(secrets={"PASSWORD": {"is": "hunter2"}}),
        web(secrets={"MY PASSWORD": "hunter2"}, env={"A": "b"}),
        web(secrets="hunter2"),
        web(secrets=["hunter2"], imgae="x"),
    ]
    for change in wrong:
        assert "hunter2" not in str(faults(change)), change


def test_only_settings_that_are_given_are_checked() -> None:
    pools = [{"name": "home", "addresses": ["192.168.1.200-192.168.1.225"]}]
    services = [{"name": "mysite", "image": "nginx:1.28", "address": "10.0.0.1", "node_port": 20000}]
    assert setting_faults({}, []) == setting_faults({"metallb_pools": pools}, []) == []
    assert setting_faults({"web_service_services": services}, []) == []
    assert setting_faults({"web_service_services": services, "metallb_pools": []}, []) == []
    home = {"web_service_services": services, "metallb_pools": pools}
    found = setting_faults(home, [])
    assert [(fault["severity"], fault["code"]) for fault in found] == [("error", "address_outside_pools")]
    assert setting_faults(home, ["address_outside_pools"]) == []
    assert [fault["code"] for fault in setting_faults({"metallb_pools": [*pools, *pools]}, [])] == [
        "invalid_pool",
        "pools_overlap",
    ]


def test_a_fault_is_three_lines_of_text() -> None:
    fault = {"code": "wifi", "severity": "warning", "message": "Bad.", "evidence": "wlan0", "advice": "Mend it."}
    assert fault_lines([{**fault, "host": "node1"}, {**fault, "host": ""}]) == [
        "WARNING wifi on node1: Bad.",
        "  seen: wlan0",
        "  to do: Mend it.",
        "WARNING wifi: Bad.",
        "  seen: wlan0",
        "  to do: Mend it.",
    ]


def test_what_servers_disagree_on_is_not_shown_where_it_is_secret() -> None:
    (found,) = faults(ALL_SERVERS | {"hostvars node2 k3s_config": {"agent-token": "geheim"}})
    assert (found["code"], found["host"]) == ("settings_differ", "node2")
    assert "geheim" not in str(found)
