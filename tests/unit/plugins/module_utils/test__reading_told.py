# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_k3s import KINDS, config
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_told import Told, told

UNIT = "/etc/systemd/system/k3s.service"
AGENT = "/etc/systemd/system/k3s-agent.service"
CONFIG = "/etc/rancher/k3s/config.yaml"

# As https://get.k3s.io writes it for "server --write-kubeconfig-mode 644 --node-label disk=ssd".
INSTALLED = """[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-/etc/systemd/system/k3s.service.env
KillMode=process
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s \\
    server \\
\t'--write-kubeconfig-mode' \\
\t'644' \\
\t'--node-label' \\
\t'disk=ssd' \\

"""

Files = dict[str, t.Union[str, Path]]
MakeTree = t.Callable[[Files], Tree]
Flags = dict[str, object]


def of(tree: Tree) -> Told:
    unit, problems = told(tree, tuple(KINDS))
    assert not problems
    return unit


def test_no_unit(make_tree: MakeTree) -> None:
    assert of(make_tree({})) == Told()


def test_unit_of_the_install_script(make_tree: MakeTree) -> None:
    files: Files = {
        UNIT: INSTALLED,
        f"{UNIT}.env": "K3S_TOKEN='it'\\''s'\nK3S_KUBECONFIG_MODE='600'\nhttp_proxy='http://p'\n",
    }
    unit = Told(
        path=UNIT,
        program="/usr/local/bin/k3s",
        flags={"write-kubeconfig-mode": "644", "node-label": "disk=ssd"},
        environment={"token": "it's", "write-kubeconfig-mode": "600"},
        variables=["http_proxy"],
        environment_files=[f"{UNIT}.env"],
        foreign=True,
    )
    assert of(make_tree(files)) == unit
    assert of(make_tree({**files, f"{UNIT}.before-adoption": "another"})) == unit
    assert of(make_tree({**files, f"{UNIT}.before-adoption": INSTALLED})) == replace(unit, kept=True)


def test_unit_of_the_collection(make_tree: MakeTree) -> None:
    text = "[Service]\nType=notify\nExecStart=/usr/local/bin/k3s agent\n# ExecStart=/usr/local/bin/k3s server --debug\n"
    files: Files = {
        AGENT: text,
        f"{AGENT}.d/proxy.conf": "[Service]\nEnvironment=HTTP_PROXY=http://p\nEnvironmentFile=/x\n",
    }
    assert of(make_tree(files)) == Told(path=AGENT, program="/usr/local/bin/k3s")


def test_a_unit_with_nothing_but_a_file_for_variables_is_of_others(make_tree: MakeTree) -> None:
    unit = of(make_tree({UNIT: "[Service]\nEnvironmentFile=-/etc/default/%N\nExecStart=/usr/local/bin/k3s server\n"}))
    assert unit == Told(path=UNIT, program="/usr/local/bin/k3s", foreign=True)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("", {}),
        ("--debug", {"debug": True}),
        ("--debug --v=2", {"debug": True, "v": "2"}),
        ("--debug=false -v 2", {"debug": False, "v": "2"}),
        (
            "-t secret -i 10.0.0.1 -s https://a:6443",
            {"token": "secret", "node-ip": "10.0.0.1", "server": "https://a:6443"},
        ),
        ("--disable traefik --disable=servicelb --disable x", {"disable": ["traefik", "servicelb", "x"]}),
        ("--kubelet-arg=v=4 --kube-proxy-arg 'a=b c'", {"kubelet-arg": "v=4", "kube-proxy-arg": "a=b c"}),
        ('--node-label "a=b" --token ""', {"node-label": "a=b", "token": ""}),
    ],
)
def test_flags(make_tree: MakeTree, words: str, flags: Flags) -> None:
    unit = of(make_tree({UNIT: f"[Service]\nExecStart=-/opt/bin/k3s server {words}\n"}))
    assert (unit.program, unit.flags, unit.foreign) == ("/opt/bin/k3s", flags, bool(flags))


def test_dropins(make_tree: MakeTree) -> None:
    files: Files = {
        UNIT: "[Service]\nEnvironment='K3S_TOKEN=a' PROXY=x\nEnvironmentFile=/etc/default/%N\n"
        "ExecStart=/usr/local/bin/k3s server\n",
        "/etc/default/k3s": "# by hand\nPROXY=y\nOTHER=z\nK3S_NODE_NAME=\n",
        f"{UNIT}.d/10.conf": "[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server --debug\n",
        f"{UNIT}.d/20.conf": "[Service]\nEnvironmentFile=\nEnvironment=K3S_TOKEN=b\nEnvironment=MORE=1\n",
    }
    assert of(make_tree(files)) == Told(
        path=UNIT,
        program="/usr/local/bin/k3s",
        flags={"debug": True},
        environment={"token": "b"},
        variables=["OTHER", "PROXY"],
        environment_files=["/etc/default/k3s"],
        overriding=[f"{UNIT}.d/10.conf"],
        foreign=True,
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ExecStart=/usr/local/bin/k3s server 'x", "has no end"),
        ("Environment='A=b\nExecStart=/usr/local/bin/k3s server", "has no end"),
        ("ExecStart=/usr/local/bin/k3s server $ARGUMENTS", "has variables in it"),
    ],
)
def test_problems(make_tree: MakeTree, line: str, problem: str) -> None:
    found = config(make_tree({UNIT: f"[Service]\n{line}\n"}))
    assert found.values == {}
    (said,) = found.problems
    assert said.startswith(f"{UNIT}: ")
    assert problem in said


def test_what_is_stronger(make_tree: MakeTree) -> None:
    """Flags replace what files say, also lists; variables come last."""
    files: Files = {
        UNIT: INSTALLED,
        f"{UNIT}.env": "K3S_TOKEN=hunter2\nK3S_NODE_NAME=variable\nK3S_SELINUX=true\n",
        CONFIG: "node-label: [a=b, c=d]\nnode-name: file\n",
        f"{CONFIG}.d/1.yaml": "disable: [traefik]\n",
    }
    assert config(make_tree(files)).values == {
        "disable": ["traefik"],
        "node-label": "disk=ssd",
        "node-name": "file",
        "selinux": True,
        "token": "hunter2",
        "write-kubeconfig-mode": "644",
    }


def test_another_file(make_tree: MakeTree) -> None:
    flags = "[Service]\nExecStart=/usr/local/bin/k3s server -c /srv/k3s.yaml\n"
    found = config(make_tree({UNIT: flags, "/srv/k3s.yaml": "debug: true\n", CONFIG: "debug: false\n"}))
    assert found.values == {"config": "/srv/k3s.yaml", "debug": True}
