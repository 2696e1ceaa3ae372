# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import time
import typing as t
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _reading
from ansible_collections.homecloud.k3s.plugins.module_utils._reading import Request, read
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_kernel import BOOT_FILES

NODES = Path(__file__).parent.parent / "data" / "nodes"
REQUEST = Request(boot_files=list(BOOT_FILES), data_dir=None, files=[], resolve=[], sysctls=[])

# What the programs print is in files of these names. `ip` and `iptables-save` are known by their arguments.
OUTPUTS = {
    ("systemctl",): "systemctl",
    ("ip", "-json", "-details"): "ip-address",
    ("ip", "-json", "-4"): "ip-route-4",
    ("ip", "-json", "-6"): "ip-route-6",
    ("iptables-save",): "iptables-save",
    ("nft",): "nft",
    ("/usr/local/bin/k3s",): "k3s-version",
}

# What is to be read on each of the nodes.
READINGS: dict[str, dict[str, t.Any]] = {
    "raspberrypi-os-bullseye": {
        "os": ("debian", "11"),
        "model": "Raspberry Pi Compute Module 4 Rev 1.1",
        "boot": "/boot/cmdline.txt",
        "cgroup": (2, False),
        "swap": [("/var/swap", "file", 99)],
        "returning swap": [("dphys_swapfile", "/etc/dphys-swapfile")],
        "modules": ("available", "available", "available"),
        "default_route": ("eth0", "192.168.1.1", "192.168.1.101"),
        "kinds": {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi"},
        "time service": "systemd-timesyncd",
    },
    "raspberrypi-os-bookworm": {
        "os": ("debian", "12"),
        "model": "Raspberry Pi Compute Module 4 Rev 1.1",
        "boot": "/boot/firmware/cmdline.txt",
        "cgroup": (2, False),
        "swap": [("/var/swap", "file", 511)],
        "returning swap": [("dphys_swapfile", "/etc/dphys-swapfile")],
        "modules": ("available", "available", "available"),
        "default_route": ("wlan0", "192.168.1.1", "192.168.1.102"),
        "kinds": {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi"},
        "time service": "systemd-timesyncd",
    },
    "raspberrypi-os-trixie": {
        "os": ("debian", "13"),
        "model": "Raspberry Pi Compute Module 4 Rev 1.1",
        "boot": "/boot/firmware/cmdline.txt",
        "cgroup": (2, True),
        "swap": [("/dev/zram0", "zram", 2047)],
        "returning swap": [("rpi_swap", "/etc/rpi/swap.conf")],
        "modules": ("available", "available", "available"),
        "default_route": ("eth0", "192.168.1.1", "192.168.1.103"),
        "kinds": {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi"},
        "time service": "systemd-timesyncd",
    },
    "ubuntu-22.04": {
        "os": ("ubuntu", "22.04"),
        "model": "Raspberry Pi Compute Module 4 Rev 1.1",
        "boot": "/boot/firmware/cmdline.txt",
        "cgroup": (2, False),
        "swap": [],
        "returning swap": [],
        "modules": ("available", "loaded", "missing"),
        "default_route": ("eth0", "192.168.1.1", "192.168.1.104"),
        "kinds": {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi"},
        "time service": "systemd-timesyncd",
    },
    "ubuntu-24.04": {
        "os": ("ubuntu", "24.04"),
        "model": "Raspberry Pi Compute Module 4 Rev 1.1",
        "boot": "/boot/firmware/cmdline.txt",
        "cgroup": (2, True),
        "swap": [],
        "returning swap": [],
        "modules": ("available", "loaded", "available"),
        "default_route": ("eth0", "192.168.1.1", "192.168.1.105"),
        "kinds": {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi"},
        "time service": "systemd-timesyncd",
        "firewalls": ["ufw"],
    },
    "debian-12": {
        "os": ("debian", "12"),
        "model": "",
        "boot": None,
        "cgroup": (2, True),
        "swap": [("/dev/sda5", "partition", 974)],
        "returning swap": [("fstab", "/etc/fstab")],
        "modules": ("loaded", "loaded", "available"),
        "default_route": ("enp1s0", "192.168.1.1", "192.168.1.106"),
        "kinds": {"lo": "loopback", "enp1s0": "ethernet"},
        "time service": "chrony",
    },
    "debian-13": {
        "os": ("debian", "13"),
        "model": "",
        "boot": None,
        "cgroup": (2, True),
        "swap": [("/dev/nvme0n1p3", "partition", 8191)],
        "returning swap": [("fstab", "/etc/fstab")],
        "modules": ("available", "available", "available"),
        "default_route": ("enp2s0", "192.168.1.1", "192.168.1.107"),
        "kinds": {"lo": "loopback", "enp2s0": "ethernet"},
        "time service": "systemd-timesyncd",
        "firewalls": ["nftables", "nftables"],
    },
    "debian-12-container": {
        "os": ("debian", "12"),
        "model": "",
        "boot": None,
        "cgroup": (1, True),
        "swap": [],
        "returning swap": [],
        "modules": ("builtin", "builtin", "builtin"),
        "default_route": ("eth0", "192.168.100.1", "192.168.100.101"),
        "kinds": {"lo": "loopback", "eth0": "virtual", "flannel.1": "tunnel", "cni0": "bridge"}
        | dict.fromkeys(("vethe176e4e2", "veth62908d1d"), "virtual"),
        "time service": "",
        "k3s": "server",
    },
}


@pytest.fixture(name="root")
def root_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty node, whose programs print what is put into `output/`."""

    def run(*command: str) -> str:
        (name,) = (name for start, name in OUTPUTS.items() if command[: len(start)] == start)
        file = tmp_path / "output" / name
        return file.read_text() if file.exists() else ""

    monkeypatch.setattr(_reading, "run", run)
    return tmp_path


@pytest.mark.parametrize(("node", "expected"), READINGS.items(), ids=READINGS)
def test_read(root: Path, node: str, expected: dict[str, t.Any]) -> None:
    shutil.copytree(NODES / node, root, dirs_exist_ok=True)
    reading = read(REQUEST, root)
    route = reading.default_route
    assert {
        "os": (reading.os.id, reading.os.version_id),
        "model": reading.model,
        "boot": reading.boot.file,
        "cgroup": (reading.cgroup.version, reading.cgroup.memory),
        "swap": [(swap["device"], swap["kind"], swap["size_mib"]) for swap in asdict(reading)["swap"]["active"]],
        "returning swap": [(swap["kind"], swap["path"]) for swap in asdict(reading)["swap"]["configured"]],
        "modules": tuple(reading.modules.values()),
        "default_route": route and (route.interface, route.gateway, route.address),
        "kinds": {interface.name: interface.kind for interface in reading.interfaces},
        "time service": reading.time.service,
        "firewalls": [firewall.kind for firewall in reading.firewall],
        "k3s": reading.k3s.kind,
    } == {"firewalls": [], "k3s": "", **expected}
    assert reading.kernel == (root / "proc/sys/kernel/osrelease").read_text().strip()
    assert reading.memory.total_mib > reading.memory.available_mib > 0
    assert reading.boot.kernel_words
    assert bool(reading.boot.words) == bool(reading.boot.file)


def test_each_node_is_read() -> None:
    assert {path.name for path in NODES.iterdir() if path.is_dir()} == READINGS.keys()


def test_read_nothing(root: Path) -> None:
    """There is a value for all that is not known."""
    reading = asdict(read(REQUEST, root))
    for key in ("hostname", "machine_id", "boot_id", "kernel", "model"):
        assert reading[key] == ""
    assert reading["os"] == {"id": "", "id_like": [], "version_id": "", "pretty_name": ""}
    assert reading["memory"] == {"total_mib": 0, "available_mib": 0}
    assert reading["disk"]["path"] == "/"
    assert reading["boot"] == {"file": None, "words": [], "kernel_words": []}
    assert (reading["cgroup"]["version"], reading["cgroup"]["memory"]) == (1, False)
    assert reading["swap"] == {"active": [], "configured": []}
    assert set(reading["modules"].values()) == {"missing"} or set(reading["modules"].values()) == {"unknown"}
    assert reading["default_route"] is None
    assert [reading[key] for key in ("ports", "firewall", "interfaces")] == [[], [], []]
    assert reading["time"]["service"] == ""
    assert reading["units"]["k3s"] == reading["units"]["k3s-agent"]
    assert reading["units"]["k3s"] == {
        "loaded": False,
        "enabled": False,
        "active": "inactive",
        "needs_reload": False,
        "outdated": [],
    }
    assert reading["files"] == {}
    assert not reading["k3s"]["installed"]


def put(root: Path, name: str, text: str = "") -> Path:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_data_directory(root: Path) -> None:
    assert read(REQUEST, root).k3s.data_dir == "/var/lib/rancher/k3s"
    put(root, "/etc/rancher/k3s/config.yaml", "data-dir: /mnt/ssd/k3s/\n")
    put(root, "/mnt/ssd/k3s/agent/images/a[1].tar")
    reading = read(REQUEST, root)
    assert reading.k3s.data_dir == "/mnt/ssd/k3s"
    assert reading.disk.path == "/mnt/ssd/k3s"
    assert "/mnt/ssd/k3s/agent/images/a[1].tar" in reading.files
    put(root, "/mnt/[x]/server/token", "secret")
    given = read(Request([], "/mnt/[x]", [], [], []), root)
    assert (given.k3s.data_dir, list(given.files)[-1]) == ("/mnt/[x]", "/mnt/[x]/server/token")


def test_files(root: Path) -> None:
    put(root, "/usr/local/bin/k3s", "program").chmod(0o755)
    (root / "usr/local/bin/kubectl").symlink_to("k3s")
    put(root, "/etc/rancher/k3s/config.yaml", "token: secret\n").chmod(0o600)
    put(root, "/etc/rancher/k3s/config.yaml.d/10-own.yaml", "debug: true\n")
    put(root, "/var/lib/rancher/k3s/server/token", "secret\n")
    (root / "var/lib/rancher/k3s/server/agent-token").symlink_to("token")
    put(root, "/etc/own", "mine")
    reading = read(Request([], None, ["/etc/own", "/etc/missing"], [], []), root)
    files = reading.files
    assert list(files) == [
        "/etc/rancher/k3s/config.yaml",
        "/etc/rancher/k3s/config.yaml.d/10-own.yaml",
        "/usr/local/bin/k3s",
        "/usr/local/bin/kubectl",
        "/var/lib/rancher/k3s/server/agent-token",
        "/var/lib/rancher/k3s/server/token",
        "/etc/own",
    ]
    assert (files["/usr/local/bin/k3s"].mode, files["/usr/local/bin/k3s"].link) == ("0755", None)
    assert (files["/usr/local/bin/kubectl"].sha256, files["/usr/local/bin/kubectl"].link) == (None, "k3s")
    token, agent_token = (files[f"/var/lib/rancher/k3s/server/{name}"] for name in ("token", "agent-token"))
    assert token.sha256 is not None
    assert token.sha256 == agent_token.sha256
    assert agent_token.link == "token"
    assert reading.k3s.installed


def test_outdated_files(root: Path) -> None:
    """A file is newer than k3s by the clock of now, and only what k3s reads when it starts matters."""
    shown = (NODES / "debian-12-container/output/systemctl").read_text()
    started = time.monotonic() - 100
    put(root, "output/systemctl", shown.replace("12028928783", str(int(started * 1e6))))
    old = put(root, "/usr/local/bin/k3s")
    os.utime(old, (time.time() - 200,) * 2)
    names = [
        "/etc/rancher/k3s/config.yaml",
        "/etc/rancher/k3s/config.yaml.d/own.yaml",
        "/etc/rancher/k3s/registries.yaml",
        "/etc/rancher/k3s/token",
        "/etc/systemd/system/k3s.service",
        "/var/lib/rancher/k3s/agent/images/a.tar",
    ]
    for name in [*names, "/etc/systemd/system/k3s-agent.service", "/usr/local/bin/k3s-killall.sh"]:
        put(root, name)
    (root / "var/lib/rancher/k3s/agent/images/gone.tar").symlink_to("nowhere")
    units = read(REQUEST, root).units
    assert sorted(units["k3s"].outdated) == names
    assert units["k3s-agent"].outdated == []


def test_requested(root: Path) -> None:
    put(root, "/proc/sys/net/ipv4/ip_forward", "1\n")
    put(root, "/boot/own.txt", "a b\n")
    reading = read(
        Request(
            ["/boot/none.txt", "/boot/own.txt"], None, [], ["127.0.0.1", "no name"], ["net.ipv4.ip_forward", "no.x"]
        ),
        root,
    )
    assert reading.boot.words == ["a", "b"]
    assert reading.resolves == {"127.0.0.1": ["127.0.0.1"], "no name": []}
    assert reading.sysctls == {"net.ipv4.ip_forward": "1", "no.x": None}
