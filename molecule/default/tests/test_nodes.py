# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may happen to a node, from the day it is bare to the day it leaves.

A fourth node is the guinea pig. The tests are its life: each begins with what the one before has left.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import yaml
from scenario import running, wait_until

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenario import Controller, Kubectl, Lab, Result

PIG = "agent3"
ON_PIG = f"--limit={PIG}"
BINARY = "/usr/local/bin/k3s"
CONFIG = "/etc/rancher/k3s/config.yaml"
BOOT_FILE = "/boot/firmware/cmdline.txt"
UNIT = "/etc/systemd/system/k3s-agent.service"
TOKEN = "/etc/rancher/k3s/token"
OURS = [
    *(BINARY, "/usr/local/bin/k3s-killall.sh", "/usr/local/bin/k3s-agent-uninstall.sh"),
    *(CONFIG, TOKEN, UNIT, BOOT_FILE, "/etc/sysctl.d/90-k3s.conf", "/etc/modules-load.d/k3s.conf"),
]


@pytest.fixture(scope="module", autouse=True)
def pig(lab: Lab, kubectl: Kubectl) -> Iterator[None]:
    """A node that is bare, and gone when the tests are over."""

    def forget() -> None:
        kubectl("delete", "node", PIG, "--ignore-not-found")
        Path(lab.facts["paths"]["inventory"], "host_vars", f"{PIG}.yml").unlink(missing_ok=True)
        lab.have_nodes(3)

    if PIG in lab.nodes:
        forget()
    lab.have_nodes(4)
    yield
    forget()


@pytest.fixture(scope="module", autouse=True)
def bare_tree(lab: Lab, pig: None) -> set[str]:
    """The files of the bare node."""
    return lab.tree(PIG)


@pytest.fixture
def fewer_pods(lab: Lab) -> None:
    """A wish of the user for the guinea pig, from now on."""
    inventory = Path(lab.facts["paths"]["inventory"])
    config = lab.settings.get("k3s_config", {})
    config["kubelet-arg"] = [*config.get("kubelet-arg", []), "max-pods=50"]
    wish = inventory / "host_vars" / f"{PIG}.yml"
    wish.parent.mkdir(exist_ok=True)
    wish.write_text(json.dumps({"k3s_config": config}))


def state(lab: Lab, host: str) -> str:
    """What changes as soon as something is written on a host or its k3s is restarted."""
    places = f"/boot /etc /usr/local {'/var/lib/rancher' if host == PIG else '/var/lib/rancher/k3s/agent/images'}"
    files = lab.sh(host, f"find {places} -printf '%p %l %m %U:%G %s %C@\\n' | sort")
    return files + lab.sh(host, "systemctl show k3s k3s-agent --property=MainPID,ExecMainStartTimestampMonotonic")


def states(lab: Lab) -> dict[str, str]:
    return {host: state(lab, host) for host in lab.nodes}


def contents(lab: Lab) -> str:
    """What the files are that the roles put onto the guinea pig."""
    files = " ".join(OURS)
    return lab.sh(PIG, f"sha256sum {files}; stat --format='%n %a %U %G' {files}")


def k3s_started(lab: Lab) -> int:
    """When the k3s of the guinea pig has started, in seconds."""
    word = lab.sh(PIG, "systemctl show k3s-agent --property=ExecMainStartTimestamp --value --timestamp=unix")
    return int(word.strip().removeprefix("@"))


def test_a_check_goes_through_and_changes_nothing(
    lab: Lab, controller: Controller, bare_tree: set[str], tmp_path: Path
) -> None:
    before = states(lab)
    # As from a controller that has fetched nothing yet.
    cache = {"k3s_cache_dir": str(tmp_path), "metallb_cache_dir": str(tmp_path)}
    done = controller.site("--check", **cache, k3s_airgap=False, k3s_image_archives=[])
    assert done.code == 0, done.end
    assert done.changed[PIG] > 0
    assert states(lab) == before


WRONG: dict[str, dict[str, t.Any]] = {
    "unknown_config_key": {"k3s_config": {"kubelet_arg": "max-pods=50"}},
    "invalid_version": {"k3s_version": "1.36"},
    "pool_outside_lan": {"metallb_pools": [{"name": "home", "addresses": ["10.11.12.13-10.11.12.20"]}]},
    "another_token": {"k3s_token": "the-token-of-another-cluster"},
    "upgrade": {"k3s_version": "v1.36.3+k3s1"},
}


@pytest.mark.parametrize("code", WRONG)
def test_wrong_input_is_refused_before_anything_is_changed(lab: Lab, controller: Controller, code: str) -> None:
    before = state(lab, PIG)
    done = controller.site(ON_PIG, **WRONG[code])
    assert done.code != 0
    assert f"ERROR {code}" in done.output, done.output
    assert "the-token-of" not in done.output
    assert state(lab, PIG) == before


def test_a_second_server_is_refused(lab: Lab, controller: Controller, tmp_path: Path) -> None:
    before = state(lab, PIG)
    more = tmp_path / "more.yml"
    more.write_text(json.dumps({"server": {"hosts": {PIG: {}}}}))
    done = controller.site(ON_PIG, f"--inventory={more}")
    assert done.code != 0
    assert "ERROR server_count" in done.output, done.output
    assert state(lab, PIG) == before


@pytest.fixture
def release(lab: Lab, k3s_version: str, tmp_path: Path) -> Path:
    """A release of k3s on a disk of the controller."""
    release = tmp_path / k3s_version
    release.mkdir()
    for name in ("k3s", "sha256sum-amd64.txt"):
        urllib.request.urlretrieve(f"{lab.facts['mirror_url']}/k3s/{k3s_version}/{name}", release / name)
    return release


def refusal(controller: Controller, release: Path) -> str:
    """What the user of a bad release reads."""
    done = controller.site(
        ON_PIG, k3s_mirror_url=release.parent.as_uri(), k3s_cache_dir=str(release.parent / "cache"),
        k3s_airgap=False, k3s_image_archives=[],
    )  # fmt: skip
    assert done.code != 0
    return done.output


def test_a_tampered_binary_is_refused(lab: Lab, controller: Controller, release: Path) -> None:
    with (release / "k3s").open("r+b") as binary:
        binary.seek(1000)
        byte = binary.read(1)
        binary.seek(1000)
        binary.write(bytes([byte[0] ^ 1]))
    output = refusal(controller, release)
    assert "checksum" in output, output
    assert BINARY not in lab.tree(PIG)
    assert not list(release.parent.glob("cache/k3s/*/k3s"))


def test_a_release_without_its_checksum_is_refused(lab: Lab, controller: Controller, release: Path) -> None:
    checksums = release / "sha256sum-amd64.txt"
    lines = checksums.read_text().splitlines()
    checksums.write_text("\n".join(line for line in lines if line.split()[-1] != "k3s") + "\n")
    output = refusal(controller, release)
    assert "sha256sum-amd64.txt" in output, output
    assert BINARY not in lab.tree(PIG)


@pytest.mark.parametrize(
    ("task", "seconds"),
    [
        ("Install the k3s command", 0.7),
        pytest.param("Write the unit", 0, marks=pytest.mark.soak),
        ("Wait until k3s has started", 0),
    ],
)
def test_a_run_can_be_cut_off(controller: Controller, task: str, seconds: float) -> None:
    controller.site_killed_at(task, ON_PIG, after=seconds)


def test_the_next_run_goes_on_and_touches_no_other_host(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    before = states(lab)
    done = controller.site(ON_PIG)
    assert done.code == 0, done.end
    assert kubectl.is_ready("node", PIG)
    after = states(lab)
    assert {host for host in lab.nodes if after[host] != before[host]} == {PIG}


def test_a_run_that_has_nothing_to_do_changes_nothing(lab: Lab, controller: Controller) -> None:
    before = contents(lab), k3s_started(lab)
    done = controller.site(ON_PIG)
    assert (done.code, done.changed) == (0, {PIG: 0}), done.output
    assert (contents(lab), k3s_started(lab)) == before


@pytest.mark.soak
def test_a_restart_that_was_cut_off_is_made_up_for(
    lab: Lab, controller: Controller, kubectl: Kubectl, fewer_pods: None
) -> None:
    controller.site_killed_at("Write the unit", ON_PIG)
    written = float(lab.sh(PIG, f"stat --format=%Y {CONFIG}"))
    assert k3s_started(lab) < written
    done = controller.site(ON_PIG)
    assert done.code == 0, done.end
    assert k3s_started(lab) >= written
    wait_until(lambda: kubectl.status("node", PIG).get("capacity", {}).get("pods") == "50")
    started = k3s_started(lab)
    done = controller.site(ON_PIG)
    assert (done.code, done.changed) == (0, {PIG: 0}), done.output
    assert k3s_started(lab) == started


DRIFT = f"""
cp {BINARY} {BINARY}.new; printf x >> {BINARY}.new; mv {BINARY}.new {BINARY}
echo 'node-label: [drift=yes]' >> {CONFIG}
chmod 0644 {CONFIG} {TOKEN}
echo '[Unit]' >> {UNIT}
rm /usr/local/bin/k3s-killall.sh
systemctl disable --now k3s-agent
sed -i 's/ cgroup_enable=memory//' {BOOT_FILE}
echo 'net.ipv4.ip_forward = 0' > /etc/sysctl.d/90-k3s.conf
"""


def test_drift_is_mended(lab: Lab, controller: Controller, kubectl: Kubectl) -> None:
    before = contents(lab), lab.boot_id(PIG)
    lab.sh(PIG, DRIFT)
    done = controller.site(ON_PIG)
    assert done.code == 0, done.end
    assert (contents(lab), lab.boot_id(PIG)) == before
    assert lab.sh(PIG, "systemctl is-enabled k3s-agent; systemctl is-active k3s-agent").split() == ["enabled", "active"]
    wait_until(lambda: kubectl.is_ready("node", PIG))
    done = controller.site(ON_PIG)
    assert (done.code, done.changed) == (0, {PIG: 0}), done.output


def read_secrets(lab: Lab) -> list[str]:
    """The token, its password, and what makes an administrator, as they are now."""
    token = lab.on("server1", "cat", "/var/lib/rancher/k3s/server/token").strip()
    admin = yaml.safe_load(lab.on("server1", "cat", "/etc/rancher/k3s/k3s.yaml"))["users"][0]["user"]
    return [token, token.rpartition(":")[2], admin["client-key-data"]]


@pytest.fixture
def secrets(lab: Lab) -> list[str]:
    return read_secrets(lab)


@pytest.fixture(scope="module")
def pod(kubectl: Kubectl) -> Iterator[str]:
    """A pod of the guinea pig, beside those of the DaemonSets."""
    metadata = {"name": "of-the-pig", "namespace": "default"}
    spec = {"nodeName": PIG, "containers": [{"name": "nginx", "image": "docker.io/library/nginx:1.22"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl("apply", "--filename=-", stdin=json.dumps(pod))
    wait_until(lambda: container_of(kubectl, "of-the-pig"))
    yield "of-the-pig"
    kubectl("delete", "pod", "of-the-pig", "--force")


def container_of(kubectl: Kubectl, pod: str) -> str:
    """The container of a pod that is ready."""
    statuses = kubectl.status("pod", pod).get("containerStatuses", [])
    return "".join(str(status["containerID"]) for status in statuses if status["ready"])


def pod_processes(lab: Lab) -> str:
    return lab.sh(PIG, "pgrep --list-full 'containerd|nginx|pause|speaker' || true")


def test_killall_stops_the_pods_and_a_start_brings_them_back(lab: Lab, kubectl: Kubectl, pod: str) -> None:
    before = container_of(kubectl, pod)
    assert "nginx" in pod_processes(lab)
    lab.on(PIG, "/usr/local/bin/k3s-killall.sh")
    assert pod_processes(lab) == ""
    lab.on(PIG, "systemctl", "start", "k3s-agent")
    wait_until(lambda: container_of(kubectl, pod) not in ("", before))


@pytest.mark.soak
def test_nodes_come_back_from_a_reboot(
    lab: Lab, controller: Controller, kubectl: Kubectl, mysite: str, pod: str
) -> None:
    hosts = ("server1", PIG)
    before = {host: lab.boot_id(host) for host in hosts}
    old_container = container_of(kubectl, pod)
    for host in hosts:
        lab.sh(host, "systemctl reboot &")
    for host in hosts:
        wait_until(partial(lab.has_rebooted, host, before[host]))
    wait_until(lambda: container_of(kubectl, pod) not in ("", old_container), within=120)
    for host in hosts:
        wait_until(partial(kubectl.is_ready, "node", host))
    # A node is Ready before its speaker and its Services are.
    wait_until(partial(lab.has_page, f"http://{mysite}/"))
    done = controller.site("--diff", "-vvv")
    assert not [secret for secret in read_secrets(lab) if secret in done.output]
    assert done.code == 0, done.end
    assert set(done.changed.values()) == {0}, done.output


def test_uninstall_leaves_nothing(lab: Lab, bare_tree: set[str], pod: str) -> None:
    foreign = "INPUT -p tcp -m tcp --dport 65000 -j DROP"
    lab.sh(PIG, f"iptables -A {foreign}")
    lab.on(PIG, "/usr/local/bin/k3s-agent-uninstall.sh")
    assert pod_processes(lab) == ""
    assert lab.sh(PIG, "pgrep --list-full k3s || true") == ""
    assert "/run/k3s" not in lab.on(PIG, "cat", "/proc/mounts")
    assert "/var/lib/kubelet" not in lab.on(PIG, "cat", "/proc/mounts")
    assert {link["ifname"] for link in json.loads(lab.on(PIG, "ip", "-json", "link"))} == {"lo", "eth0"}
    rules = lab.on(PIG, "iptables-save")
    assert f"-A {foreign}" in rules
    assert not re.search("kube|cni|flannel", rules, re.IGNORECASE)
    by_the_role_node = {"/etc/modules-load.d/k3s.conf", "/etc/sysctl.d/90-k3s.conf"}
    for_the_next_join = {"/etc/rancher", "/etc/rancher/node", "/etc/rancher/node/password"}
    assert lab.tree(PIG) - bare_tree == by_the_role_node | for_the_next_join


# Reads secrets, looks at all processes until its input ends, and tells which of the secrets it has seen.
SPY = """
import json, pathlib, select, sys
secrets = json.loads(sys.stdin.readline())
seen = set()
while not select.select([sys.stdin], [], [], 0.2)[0]:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                content = (process / name).read_bytes()
            except OSError:
                continue
            seen.update(secret for secret in secrets if secret.encode() in content)
print(json.dumps(list(seen)))
"""
CANARY = "a-secret-of-the-spy-itself"


def test_a_run_that_joins_a_node_shows_no_secret(
    lab: Lab, controller: Controller, secrets: list[str], kubectl: Kubectl, pod: str
) -> None:
    with ExitStack() as stack:
        # All that the nodes run are processes of this machine too, but its user may not see their environment.
        spies = [stack.enter_context(lab.running(host, "python3", "-c", SPY, CANARY)) for host in ("server1", PIG)]
        spies.append(stack.enter_context(running([sys.executable, "-c", SPY, CANARY])))
        for spy in spies:
            assert spy.stdin
            spy.stdin.write(json.dumps([*secrets, CANARY]) + "\n")
            spy.stdin.flush()
        done = controller.site(ON_PIG, "--diff", "-vvv")
        seen = [json.loads(spy.communicate(timeout=10)[0]) for spy in spies]
    assert done.code == 0, done.end
    assert done.changed[PIG] > 0
    assert kubectl.is_ready("node", PIG)
    assert not [secret for secret in secrets if secret in done.output]
    assert seen == [[CANARY]] * len(spies)
    wait_until(lambda: container_of(kubectl, pod))


def test_no_file_that_others_may_read_has_a_secret(lab: Lab, secrets: list[str]) -> None:
    # Files are searched by a user of the group root, who is nobody else.
    search = "grep --recursive --files-with-matches --no-messages --fixed-strings --file=-"
    places = "/etc /home /root /run /tmp /usr/local /var/lib /var/log"
    stranger = ["setpriv", "--reuid=nobody", "--regid=root", "--clear-groups"]
    lines = "\n".join([*secrets, "fs.inotify.max_user_instances = 8192"])  # the last is no secret
    for host, token in (("server1", "/var/lib/rancher/k3s/server/token"), (PIG, TOKEN)):
        assert token in lab.on(host, "sh", "-c", f"{search} {Path(token).parent}", stdin=lines).split()
        found = lab.on(host, *stranger, "sh", "-c", f"{search} {places} || true", stdin=lines).split()
        assert found == ["/etc/sysctl.d/90-k3s.conf"], host
        journal = "exec 3<&0; journalctl --output=cat | grep --fixed-strings --file=/dev/fd/3 || true"
        assert lab.on(host, "sh", "-c", journal, stdin="\n".join(secrets)) == "", host


def files_below(place: Path) -> Iterator[Path]:
    return (Path(directory, name) for directory, _directories, names in os.walk(place) for name in names)


def holds(path: Path, secrets: list[str]) -> bool:
    """Whether a file that is not too large for it has one of the secrets."""
    try:
        text = path.read_bytes() if path.is_file() and path.stat().st_size < 2**20 else b""
    except FileNotFoundError:
        return False  # the run of somebody else has ended
    return any(secret.encode() in text for secret in secrets)


def test_no_file_of_the_controller_that_others_may_read_has_a_secret(lab: Lab, secrets: list[str]) -> None:
    places = [Path(lab.facts["paths"]["inventory"]).parent, Path.home() / ".ansible/tmp", Path.home() / ".kube"]
    holding = [path for place in places for path in files_below(place) if holds(path, secrets)]
    assert Path(lab.facts["paths"]["kubeconfig"]) in holding
    assert [path for path in holding if path.stat().st_mode & 0o077] == []


@pytest.fixture
def fetch_kubectl(lab: Lab, controller: Controller, tmp_path: Path) -> Callable[[], Result]:
    """The role kubeconfig on a controller that wants kubectl, and has fetched nothing yet."""
    playbook = tmp_path / "kubectl.yml"
    playbook.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "roles": ["homecloud.k3s.kubeconfig"]}])
    )
    settings = {
        "kubeconfig_kubectl": True,
        "kubeconfig_kubectl_path": str(tmp_path / "bin/kubectl"),
        "kubeconfig_kubectl_url": f"{lab.facts['mirror_url']}/kubernetes",
        "k3s_cache_dir": str(tmp_path / "cache"),
    }
    return partial(controller.play, str(playbook), [], settings)


def test_kubectl_comes_to_the_controller(fetch_kubectl: Callable[[], Result], k3s_version: str, tmp_path: Path) -> None:
    done = fetch_kubectl()
    assert done.code == 0, done.end
    program = tmp_path / "bin/kubectl"
    assert program.stat().st_mode & 0o7777 == 0o755
    line = [str(program), "version", "--client", "--output=json"]
    said = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, timeout=30).stdout)
    assert said["clientVersion"]["gitVersion"] == k3s_version.partition("+")[0]
    assert fetch_kubectl().changed == {"localhost": 0}


def test_a_foreign_kubectl_stays(fetch_kubectl: Callable[[], Result], tmp_path: Path) -> None:
    program = tmp_path / "bin/kubectl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho mine\n")
    done = fetch_kubectl()
    assert done.code != 0
    assert f"{program} is there already" in done.output, done.output
    assert program.read_text() == "#!/bin/sh\necho mine\n"
