# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a lab as podman containers."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import sys
import tarfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from homelab import cable, internet
from homelab.build import Images
from homelab.model import Host, Lab
from homelab.network import ports, switch
from homelab.settings import INTERNET_ADDRESS, SSH_USER, Release, unified_cgroups
from homelab.shell import LabError, run, say

LABEL = "homecloud.lab"
READY_WITHIN = 60  # seconds


def engine_settings(unified: bool, limits: dict[str, int], hooks: Path) -> str:
    """A containers.conf: what depends on this machine. Every restart of a container reads it again."""
    runtime = [] if unified else ['runtime = "runc"']  # crun cannot work on cgroups of version 1
    ulimits = ", ".join(f'"{name}={limit}:{limit}"' for name, limit in limits.items())
    lines = [
        "[containers]",
        "no_hosts = true",
        f"default_ulimits = [{ulimits}]",
        "[engine]",
        *runtime,
        f"hooks_dir = [{json.dumps(str(hooks))}]",
    ]
    return "\n".join(lines) + "\n"


def hook_definition(interpreter: str, script: Path) -> str:
    return json.dumps(
        {
            "version": "1.0.0",
            "hook": {
                "path": interpreter,
                "args": [interpreter, "-I", str(script)],
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "when": {"annotations": {r"^homecloud\.lab\.switch$": ".+"}},
            "stages": ["createRuntime"],
        },
        indent=2,
    )


def write_engine(lab: Lab) -> None:
    """Podman's settings for this lab, with a copy of the hook: the lab outlives a moved checkout."""
    home = lab.state / "podman"
    hooks = home / "hooks.d"
    hooks.mkdir(parents=True, exist_ok=True)
    shutil.copy(cable.__file__, home / "cable.py")
    (hooks / "cable.json").write_text(hook_definition(os.path.realpath(sys.executable), home / "cable.py"))
    (home / "containers.conf").write_text(engine_settings(unified_cgroups(), hard_limits(), hooks))


def hard_limits() -> dict[str, int]:
    """As high as containers may go without the right to raise limits; podman asks for more."""
    processes = int(Path("/proc/sys/kernel/pid_max").read_text())
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    return {
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        "nproc": processes if hard == resource.RLIM_INFINITY else min(hard, processes),
    }


@dataclass(frozen=True)
class Podman:
    """Podman with the settings of one lab."""

    lab: Lab

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.lab.state / "podman" / "containers.conf")}

    def __call__(self, *words: str | Path, stdin: bytes | None = None) -> str:
        return run(["podman", *words], stdin=stdin, env=self.environment())


def containers(lab_name: str) -> dict[str, str]:
    """The containers of a lab and the state of each."""
    listed = json.loads(run(["podman", "ps", "--all", "--filter", f"label={LABEL}={lab_name}", "--format", "json"]))
    return {container["Names"][0]: container["State"] for container in listed}


def start_all(lab: Lab, images: Images, release: Release, mirror: Path) -> None:
    """Create what is missing and start what is stopped, the machines side by side."""
    write_engine(lab)
    podman = Podman(lab)
    present = containers(lab.name)
    cabled = ports(lab.name)

    def start(host: Host) -> None:
        if host.container not in present:
            create(podman, host, images.node if host.is_node else images.helper, release, mirror)
        if present.get(host.container) != "running":
            podman("start", host.container)
        elif not cabled.issuperset(cable.port(*entry) for entry in host.addresses.items()):
            # Somebody restarted it by hand, without the lab's settings and so without the hook.
            podman("restart", "--time", "5", host.container)

    with ThreadPoolExecutor() as pool:
        list(pool.map(start, lab.hosts))


def create(podman: Podman, host: Host, image: str, release: Release, mirror: Path) -> None:
    podman("create", *options(podman.lab, host, release, mirror), image, *program(podman.lab, host, release))
    try:
        podman("cp", "--archive=false", "-", f"{host.container}:/", stdin=personal_files(podman.lab, host, release))
    except BaseException:
        podman("rm", host.container)  # half made, it would never work
        raise


def options(lab: Lab, host: Host, release: Release, mirror: Path) -> list[str]:
    cables = {"switch": switch(lab.name), **host.addresses}
    if "internet" not in host.addresses:
        cables["gateway"] = lab.gateway
    words = ["--name", host.container, "--hostname", host.name, "--label", f"{LABEL}={lab.name}", "--restart", "always"]
    words += [word for key, value in cables.items() for word in ("--annotation", f"{cable.PREFIX}{key}={value}")]
    # Without a cgroup namespace of its own, a node's kubelet would clear away the pods of the others.
    words += [
        "--privileged",
        "--cgroupns",
        "private",
        "--network",
        release.router_network if host.role == "router" else "none",
    ]
    if host.is_node:
        # Overlay file systems, such as containers have, cannot be stacked on another: k3s's data lies on a volume.
        data = data_volume(host.container)
        run(["podman", "volume", "create", "--label", f"{LABEL}={lab.name}", data])
        words += ["--systemd", "always", "--tmpfs", "/tmp", "--volume", f"{data}:/var/lib/rancher:exec,dev,suid"]
        if Path("/lib/modules").is_dir():
            words += ["--volume", "/lib/modules:/lib/modules:ro"]
    else:
        words += ["--stop-signal", "KILL"]  # nothing to lose, and no init that would hear a polite one
    if host.role == "mirror":
        words += ["--volume", f"{mirror}:/srv/mirror:ro"]
    return words


def data_volume(container: str) -> str:
    return f"{container}-rancher"


def program(lab: Lab, host: Host, release: Release) -> list[str]:
    """What the machine runs; only nodes have an init."""
    if host.is_node:
        return ["/usr/local/sbin/power-on"]
    if host.role == "mirror":
        return ["python3", "-m", "http.server", "80", "--directory", "/srv/mirror"]
    if host.role == "router":
        return ["/lab/router/power-on", lab.sites, release.nameserver]
    if host.role == "internet":
        return ["/lab/internet/power-on"]
    return ["sleep", "infinity"]


def personal_files(lab: Lab, host: Host, release: Release) -> bytes:
    """A tar with what makes one machine differ from another."""
    files = {
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n",
        "etc/resolv.conf": f"nameserver {INTERNET_ADDRESS if 'internet' in host.addresses else lab.gateway}\n",
    }
    if host.is_node:
        files["home/pi/.ssh/authorized_keys"] = lab.ssh_key.with_suffix(".pub").read_text()
        files["etc/ssh/ssh_host_ed25519_key"] = host_key(lab, host).read_text()
        if release.mirrored:
            files["etc/apt/sources.list"] = f"deb [trusted=yes] {lab.mirror_url}/debian ./\n"
    if host.role == "internet":
        files |= internet.personal_files(lab)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(text.encode()), int(time.time())
            entry.mode = 0o600 if "key" in name else 0o644
            entry.uid = entry.gid = 1000 if name.startswith("home/") else 0
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def host_key(lab: Lab, host: Host) -> Path:
    return lab.state / "host_keys" / host.name


def write_keys(lab: Lab) -> None:
    """The user's key and each node's own: whoever connects knows from the start whom to trust."""
    (lab.state / "host_keys").mkdir(exist_ok=True)
    for key in [lab.ssh_key, *(host_key(lab, node) for node in lab.nodes)]:
        if not key.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"homecloud-lab-{lab.name}", "-f", key])
    public = {node.address: host_key(lab, node).with_suffix(".pub").read_text().split()[:2] for node in lab.nodes}
    lab.known_hosts.write_text("".join(f"{address} {' '.join(key)}\n" for address, key in public.items()))


def ssh_options(lab: Lab) -> list[str]:
    options = {
        "UserKnownHostsFile": str(lab.known_hosts),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        # A shared connection to a node that is gone must not outlive it: the next lab has the same addresses.
        "ServerAliveInterval": "5",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def wait_ready(lab: Lab) -> None:
    """Until every node lets us in and has finished booting."""

    def wait(node: Host) -> None:
        deadline = time.monotonic() + READY_WITHIN
        command = ["ssh", *ssh_options(lab), "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-i", str(lab.ssh_key)]
        command += [f"{SSH_USER}@{node.address}", "systemctl", "is-system-running", "--wait"]
        while True:
            answer = run(command, check=False)
            if answer == "running":
                return
            if answer == "degraded" or time.monotonic() > deadline:
                raise LabError(
                    f"{node.name} ({node.address}) is not ready: {answer or 'no answer by SSH'}. "
                    f"`lab.py logs --name {lab.name} {node.name}` may tell why"
                )
            time.sleep(0.5)

    with ThreadPoolExecutor() as pool:
        for node, _ready in zip(lab.nodes, pool.map(wait, lab.nodes), strict=True):
            say(f"{node.name} answers at {node.address}")


def pull_plug(lab: Lab, host: Host) -> None:
    """Stop a machine at once. Podman would start it again if it had stopped by itself."""
    Podman(lab)("stop", "--time", "0", host.container)


def remove_surplus(lab: Lab) -> None:
    """Remove the nodes of a lab that is to have fewer."""
    surplus = containers(lab.name).keys() - {host.container for host in lab.hosts}
    if surplus:
        run(["podman", "rm", "--force", "--time", "0", *surplus])
        run(["podman", "volume", "rm", "--force", *map(data_volume, surplus)])


def remove_all(lab_name: str) -> None:
    names = list(containers(lab_name))
    if names:
        run(["podman", "rm", "--force", "--time", "0", *names])
    volumes = run(["podman", "volume", "ls", "--quiet", "--filter", f"label={LABEL}={lab_name}"]).split()
    if volumes:
        run(["podman", "volume", "rm", "--force", *volumes])


def enter(host: Host, command: Sequence[str]) -> int:
    """Run a command on a machine with our own terminal; its exit code is ours."""
    terminal = ["--interactive", *(["--tty"] if sys.stdin.isatty() else [])]
    return os.spawnvp(os.P_WAIT, "podman", ["podman", "exec", *terminal, host.container, *command])
