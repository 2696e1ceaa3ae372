# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab that Molecule has made, and playbooks as their user runs them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import yaml

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COLLECTION = Path(__file__).parents[3]
LAB = COLLECTION / "tests/lab/lab.py"
ROLE = Path(__file__).with_name("role.yml")
METALLB = "metallb-system"
PAGE = "mysite, served by the pod"

Pool = dict[str, t.Any]  # an item of metallb_pools
Task = t.Mapping[str, t.Any]
Answer = dict[str, t.Any]  # of a module


def refused(done: Result, code: str, *words: str) -> None:
    """Make sure that a run has failed for this reason, and has named these things."""
    assert done.code != 0
    missing = [word for word in (f"ERROR {code}", *words) if word not in done.output]
    assert not missing, f"{missing}\n{done.output}"


def guarded_on(node: str, name: str) -> list[dict[str, t.Any]]:
    """A workload that can run on one node only, and must not pause."""
    labels = {"matchLabels": {"app": name}}
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [{"name": "nginx", "image": "docker.io/library/nginx:1.22"}],
    }
    metadata = {"name": name, "namespace": "default"}
    template = {"metadata": {"labels": labels["matchLabels"]}, "spec": pod}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": labels, "template": template}}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"selector": labels, "minAvailable": 1},
    }
    return [{**deployment, "metadata": metadata}, {**budget, "metadata": metadata}]


def load_balanced(name: str, namespace: str = "default", **metadata: object) -> dict[str, t.Any]:
    """A Service that asks for an address of the LAN; there, mysite answers."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"type": "LoadBalancer", "selector": {"app.kubernetes.io/name": "mysite"}, "ports": [{"port": 80}]},
    }


def pool_of_others(lab: Lab) -> dict[str, t.Any]:
    """A pool that somebody has made by hand."""
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "of-others", "namespace": METALLB},
        "spec": {"addresses": [f"{lab.at(245)}-{lab.at(246)}"]},
    }


def wait_until(condition: Callable[[], object], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.5)


def running(line: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Lab:
    """A shell on the hosts of the lab that needs neither SSH nor the inventory."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def facts(self) -> dict[str, t.Any]:
        facts: dict[str, t.Any] = json.loads(self._run("status", "--json"))
        return facts

    @property
    def settings(self) -> dict[str, t.Any]:
        """What the inventory of the lab has beyond the sample home."""
        places = Path(self.facts["paths"]["inventory"], "group_vars/all")
        settings: dict[str, t.Any] = {}
        for name in ("lab.yml", "scenario.yml"):
            settings |= yaml.safe_load((places / name).read_text())
        return settings

    @property
    def nodes(self) -> list[str]:
        return [name for name, host in self.facts["hosts"].items() if host["role"] in ("server", "agent")]

    def have_nodes(self, count: int, servers: int = 1) -> None:
        """Add nodes, which are bare, or remove the last ones."""
        self._run("up", "--nodes", str(count), "--servers", str(servers))

    def off(self, host: str) -> None:
        """Pull the plug."""
        self._run("off", host)

    def off_for_good(self, host: str, boot_id: str) -> float:
        """Wait until a host switches itself off, and say when. The lab would switch it on again: it cannot tell that
        from a reboot.
        """
        wait_until(lambda: self.boot_id(host) != boot_id, within=180)
        moment = time.monotonic()
        wait_until(lambda: self.has_rebooted(host, boot_id))
        self.off(host)
        return moment

    def switch_on(self) -> None:
        self._run("up")

    def on(self, host: str, *command: str, stdin: str | None = None) -> str:
        return self._run("shell", host, "--", *command, stdin=stdin)

    def sh(self, host: str, script: str, stdin: str | None = None) -> str:
        return self.on(host, "sh", "-euc", script, stdin=stdin)

    def running(self, host: str, *command: str) -> subprocess.Popen[str]:
        """A command on a host, beside what else is done."""
        return running(self._line("shell", host, "--", *command))

    def tree(self, host: str) -> set[str]:
        """The files of a host where k3s leaves some.

        What systemd, kubectl and Ansible keep for themselves does not count, nor what containerd, CNI and iptables
        share until the next boot with other programs of their kind.
        """
        places = "/boot /etc /root /run /usr/local /var/lib /var/log"
        keepers = ("*/systemd*", "*/journal*", "*/.ansible*", "/root/.kube*")
        shared = ("/run/containerd*", "/run/netns", "/run/xtables.lock")
        ours = " ".join(f"-not -path '{pattern}'" for pattern in (*keepers, *shared))
        return set(self.sh(host, f"find {places} {ours}").splitlines())

    def address(self, host: str) -> str:
        return str(self.facts["hosts"][host]["address"])

    def at(self, number: int) -> str:
        """An address on the LAN."""
        return str(self.facts["subnet"]).replace(".0/24", f".{number}")

    def page(self, url: str, within: int = 5) -> str:
        """What the LAN client gets."""
        return self.on("client", "curl", "--fail", "--silent", "--show-error", "--max-time", str(within), url)

    def has_page(self, url: str) -> bool:
        """Whether the LAN client gets a page."""
        try:
            return bool(self.page(url))
        except subprocess.CalledProcessError:
            return False

    def answering(self, address: str) -> set[str]:
        """The nodes whose interfaces answer on the LAN for an address."""
        # A node may be asked for its own address only by others, so the client asks.
        interface = self.on("client", "ip", "-oneline", "route", "get", address).split(" dev ")[1].split()[0]
        replies = self.on("client", "arping", "-I", interface, "-c", "3", "-w", "5", address)
        macs = {line.split("[")[1].split("]")[0].lower() for line in replies.splitlines() if "reply from" in line}
        links = {node: self.on(node, "ip", "-json", "link", "show", "dev", interface) for node in self.nodes}
        nodes = {json.loads(link)[0]["address"]: node for node, link in links.items()}
        return {nodes.get(mac, mac) for mac in macs}

    def boot_id(self, host: str) -> str:
        try:
            return self.on(host, "cat", "/proc/sys/kernel/random/boot_id").strip()
        except subprocess.CalledProcessError:
            return ""  # it is off

    def has_rebooted(self, host: str, old_boot_id: str) -> bool:
        return self.boot_id(host) not in ("", old_boot_id)

    def _run(self, command: str, *arguments: str, stdin: str | None = None) -> str:
        line = self._line(command, *arguments)
        return subprocess.run(line, check=True, input=stdin, stdout=subprocess.PIPE, text=True, timeout=120).stdout

    def _line(self, command: str, *arguments: str) -> list[str]:
        return [str(LAB), command, "--name", self.name, *arguments]


@dataclass(frozen=True)
class Kubectl:
    """A client of the cluster that waits for nothing and survives the absence of its server."""

    program: Path
    kubeconfig: str

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        line = self.line(*words)
        return subprocess.run(line, check=True, input=stdin, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def line(self, *words: str) -> list[str]:
        return [str(self.program), f"--kubeconfig={self.kubeconfig}", "--request-timeout=5s", *words]

    def apply(self, *objects: Mapping[str, t.Any], options: Sequence[str] = ()) -> None:
        document = {"apiVersion": "v1", "kind": "List", "items": objects}
        self("apply", "--filename=-", *options, stdin=json.dumps(document))

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, t.Any]:
        """An object; empty if there is none."""
        options = (f"--namespace={namespace}", "--ignore-not-found", "--output=json")
        return dict(json.loads(self("get", kind, name, *options) or "{}"))

    def objects(self, kinds: str, *options: str) -> list[dict[str, t.Any]]:
        """All objects of these kinds in all namespaces."""
        items = json.loads(self("get", kinds, "--all-namespaces", "--output=json", *options))["items"]
        return [dict(item) for item in items]

    def status(self, kind: str, name: str, namespace: str = "default") -> dict[str, t.Any]:
        """The status of an object; empty if there is no such object, or no answer."""
        try:
            return dict(json.loads(self("get", kind, name, f"--namespace={namespace}", "--output=json"))["status"])
        except subprocess.CalledProcessError:
            return {}

    def address(self, name: str, namespace: str = "default") -> str:
        """The address that a load balancer has given a Service."""
        ingress = self.status("service", name, namespace).get("loadBalancer", {}).get("ingress", [{}])
        return str(ingress[0].get("ip", ""))

    def announcing(self, name: str, namespace: str = "default") -> list[str]:
        """The nodes that say that they announce the address of a Service."""
        statuses = [thing.get("status", {}) for thing in self.objects("servicel2statuses.metallb.io")]
        of = [s for s in statuses if (s.get("serviceNamespace"), s.get("serviceName")) == (namespace, name)]
        return [str(status["node"]) for status in of]

    def has_restarted(self, node: str, since: float) -> bool:
        """Whether all pods of a node are ready and have started since it was switched on."""
        try:
            pods = [pod for pod in self.objects("pods") if pod["spec"].get("nodeName") == node]
        except subprocess.CalledProcessError:
            return False  # the API is not back
        containers = [container for pod in pods for container in pod["status"].get("containerStatuses", [])]
        moment = datetime.fromtimestamp(int(since), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        started = [container["state"].get("running", {}).get("startedAt", "") >= moment for container in containers]
        return all(started) and all(container["ready"] for container in containers)

    def specs(self, kinds: str) -> list[dict[str, t.Any]]:
        return [thing["spec"] for thing in self.objects(kinds)]

    def pools(self) -> dict[str, list[t.Any]]:
        """What the pools and their advertisements say, by their names."""
        pools: dict[str, list[t.Any]] = {}
        for thing in self.objects("ipaddresspools,l2advertisements"):
            pools.setdefault(thing["metadata"]["name"], []).append(thing["spec"])
        return pools

    def is_complete(self, kind: str, name: str, namespace: str) -> bool:
        """Whether all pods of a Deployment or DaemonSet are ready."""
        status = self.status(kind, name, namespace)
        wanted = status.get("replicas", status.get("desiredNumberScheduled"))
        return wanted is not None and wanted == status.get("readyReplicas", status.get("numberReady"))

    def is_ready(self, kind: str, name: str) -> bool:
        conditions = self.status(kind, name).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def fetch_kubectl(lab: Lab, version: str, directory: Path) -> Kubectl:
    """The kubectl of the cluster's version, as the mirror has it."""
    url = f"{lab.facts['mirror_url']}/kubernetes/{version.partition('+')[0]}/bin/linux/amd64/kubectl"
    with urllib.request.urlopen(url, timeout=60) as answer:
        program = answer.read()
    with urllib.request.urlopen(url + ".sha256", timeout=60) as answer:
        assert hashlib.sha256(program).hexdigest() == answer.read().decode().strip()
    path = directory / "kubectl"
    path.write_bytes(program)
    path.chmod(0o755)
    return Kubectl(path, lab.facts["paths"]["kubeconfig"])


@dataclass(frozen=True)
class Result:
    """How a playbook ended."""

    code: int
    output: str

    @property
    def end(self) -> str:
        """What it said last: where a task has failed, this names it, and logs that are cut short still have it."""
        return "\n".join(self.output.splitlines()[-60:])

    @property
    def changed(self) -> dict[str, int]:
        """The number of changes of each host."""
        return {host: int(count) for host, count in re.findall(r"^(\S+) +: ok=.* changed=(\d+)", self.output, re.M)}


@dataclass(frozen=True)
class Controller:
    """The machine from which the lab is made a cluster."""

    lab: Lab

    def site(self, *options: str, **variables: object) -> Result:
        return self.play("site.yml", options, variables)

    def role(self, name: str, *options: str, **variables: object) -> Result:
        """One of the roles for what runs on the cluster, and no other."""
        return self.play(str(ROLE), options, {"tested_role": name, **variables})

    def play(
        self, playbook: str, options: Sequence[str], variables: Mapping[str, object], home: Path | None = None
    ) -> Result:
        line, environment = self._command(playbook, options, variables)
        environment |= {"HOME": str(home)} if home else {}
        done = subprocess.run(
            line, cwd=COLLECTION, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=1200, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout)

    def tasks(self, *tasks: Task, at_once: bool = False) -> list[Answer]:
        """What tasks answer, one by one or all AT_ONCE. If one fails, the others run all the same."""
        names = [f"answer_{number}" for number in range(len(tasks))]
        asked = beside_each_other(tasks, names) if at_once else one_by_one(tasks, names)
        with tempfile.TemporaryDirectory() as directory:
            answers = Path(directory, "answers.json")
            write = {"content": f"{{{{ [{', '.join(names)}] }}}}", "dest": str(answers)}
            done = self.run([*asked, {"ansible.builtin.copy": write}])
            assert done.code == 0, done.end
            found: list[Answer] = json.loads(answers.read_text())
        return found

    def run(self, tasks: Sequence[Task]) -> Result:
        """Tasks that have to do with the cluster, as in a play of a user."""
        with tempfile.TemporaryDirectory() as directory:
            cluster = {"kubeconfig": "{{ kubeconfig_path }}", "context": "{{ kubeconfig_context }}"}
            play = {
                "hosts": "localhost",
                "gather_facts": False,
                "vars": {"ansible_async_dir": f"{directory}/async"},
                "module_defaults": {"group/homecloud.k3s.k3s": cluster},
                "tasks": tasks,
            }
            playbook = Path(directory, "tasks.json")
            playbook.write_text(json.dumps([play]))
            return self.play(str(playbook), [], {})

    def site_killed_at(self, task: str, *options: str, after: float = 0, **variables: object) -> None:
        self.play_killed_at(task, "site.yml", options, variables, after)

    def play_killed_at(
        self, task: str, playbook: str, options: Sequence[str], variables: Mapping[str, object], after: float = 0
    ) -> None:
        """A run that is cut off while this task goes on, like one whose controller loses power."""
        line, environment = self._command(playbook, options, variables)
        with subprocess.Popen(
            line, cwd=COLLECTION, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:
            assert run.stdout
            output = []
            for text in run.stdout:
                output.append(text)
                if text.startswith("TASK [") and f"{task}]" in text:
                    time.sleep(after)
                    cut_off(run)
                    break
            else:
                raise AssertionError("".join(output))

    def play_killed_after(self, seconds: float, playbook: str, **variables: object) -> bool:
        """A run that is cut off after a time, unless it has ended by then. Whether it was."""
        line, environment = self._command(playbook, [], variables)
        none = subprocess.DEVNULL
        with subprocess.Popen(line, cwd=COLLECTION, env=environment, stdin=none, stdout=none, stderr=none) as run:
            try:
                run.wait(seconds)
            except subprocess.TimeoutExpired:
                cut_off(run)
                return True
        return False

    def _command(
        self, playbook: str, options: Sequence[str], variables: Mapping[str, object]
    ) -> tuple[list[str], dict[str, str]]:
        program = Path(sys.executable).with_name("ansible-playbook")
        line = [str(program), playbook, f"--inventory={self.lab.facts['paths']['inventory']}", *options]
        line += [f"--extra-vars={json.dumps(variables)}"] if variables else []
        plain = {name: value for name, value in os.environ.items() if name != "ANSIBLE_FORCE_COLOR"}
        return line, {**plain, "ANSIBLE_NOCOLOR": "1"}


def one_by_one(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    return [{**task, "register": name, "ignore_errors": True} for task, name in zip(tasks, names)]


def beside_each_other(tasks: Sequence[Task], names: Sequence[str]) -> list[Task]:
    return [
        *({**task, "register": name, "async": 120, "poll": 0} for task, name in zip(tasks, names)),
        *(
            {
                "ansible.builtin.async_status": {"jid": f"{{{{ {name}.ansible_job_id }}}}"},
                "register": name,
                "until": f"{name} is finished",
                "retries": 120,
                "delay": 1,
                "ignore_errors": True,
            }
            for name in names
        ),
    ]


def cut_off(run: subprocess.Popen[t.Any]) -> None:
    """End a run as a loss of power would, with all that it has started."""
    # Stopped first, it starts no process that is not seen. Those it has are in sessions of their own.
    run.send_signal(signal.SIGSTOP)
    for pid in family(run.pid):
        os.kill(pid, signal.SIGKILL)


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in family(int(child)))]
