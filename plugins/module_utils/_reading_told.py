# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the unit of systemd tells k3s: flags on its command line, as the install script of k3s
# puts them there, and variables. The unit that this collection writes has neither.

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from ansible_collections.homecloud.k3s.plugins.module_utils._reading_config import Value
from ansible_collections.homecloud.k3s.plugins.module_utils._reading_source import Tree

KEPT = ".before-adoption"
_PLACE = "/etc/systemd/system"
_FLAG = re.compile(r"--?([A-Za-z][\w-]*)(?:=(.*))?", re.ASCII | re.DOTALL)
_SHORT = {
    "c": "config",
    "d": "data-dir",
    "i": "node-ip",
    "l": "log",
    "o": "write-kubeconfig",
    "s": "server",
    "t": "token",
}
# By https://docs.k3s.io/cli/server and https://docs.k3s.io/cli/agent.
_VARIABLES = {
    **{
        f"K3S_{key.upper().replace('-', '_')}": key
        for key in (
            "agent-token",
            "agent-token-file",
            "cluster-init",
            "cluster-reset",
            "data-dir",
            "datastore-cafile",
            "datastore-certfile",
            "datastore-endpoint",
            "datastore-keyfile",
            "debug",
            "lb-server-port",
            "node-name",
            "resolv-conf",
            "selinux",
            "system-default-registry",
            "token",
            "token-file",
        )
    },
    "K3S_CONFIG_FILE": "config",
    "K3S_KUBECONFIG_GROUP": "write-kubeconfig-group",
    "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode",
    "K3S_KUBECONFIG_OUTPUT": "write-kubeconfig",
    "K3S_URL": "server",
    "AWS_ACCESS_KEY_ID": "etcd-s3-access-key",
    "AWS_SECRET_ACCESS_KEY": "etcd-s3-secret-key",
    "AWS_SESSION_TOKEN": "etcd-s3-session-token",
}


@dataclass(frozen=True)
class Told:
    """What a unit tells k3s. Without a unit there is nothing."""

    path: str = ""
    program: str = ""
    flags: dict[str, Value] = field(default_factory=dict)
    environment: dict[str, Value] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    environment_files: list[str] = field(default_factory=list)
    overriding: list[str] = field(default_factory=list)
    foreign: bool = False
    kept: bool = False


@dataclass
class _Service:
    """The settings of a unit that matter here, its drop-ins included."""

    command: str = ""
    assignments: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def told(tree: Tree, names: tuple[str, ...]) -> tuple[Told, list[str]]:
    """Return what the first of these units that is there tells k3s, secrets included, and what is not understood."""
    name = next((name for name in names if tree.exists(f"{_PLACE}/{name}.service")), None)
    if name is None:
        return Told(), []
    file = f"{_PLACE}/{name}.service"
    own, all_of_it = _Service(), _Service()
    for service in (own, all_of_it):
        _add(service, tree.text(file), name)
    overriding = [path for path in tree.glob(f"{file}.d/*.conf") if _add(all_of_it, tree.text(path), name)]
    words: list[str] = []
    given: dict[str, str] = {}
    lost: dict[str, str] = {}
    problems = []
    try:
        words, given, lost = shlex.split(all_of_it.command), _environment(tree, all_of_it), _environment(tree, own)
    except ValueError:
        problems.append(f"{file}: a quotation mark in the command or in a variable has no end")
    if "$" in all_of_it.command:
        problems.append(f"{file}: the command of k3s has variables in it; write their values there")
    flags = _flags(words[2:])
    unit = Told(
        path=file,
        program=words[0].lstrip("@-:+!") if words else "",
        flags=flags,
        environment={_VARIABLES[key]: _value(value) for key, value in given.items() if key in _VARIABLES and value},
        variables=sorted(key for key in lost if key not in _VARIABLES),
        environment_files=[path for path in own.files if tree.exists(path)],
        overriding=overriding,
        foreign=bool(own.files or flags),
        kept=tree.sha256(file) == tree.sha256(f"{file}{KEPT}"),
    )
    return unit, problems


def _add(service: _Service, text: str, name: str) -> bool:
    """Add the settings of a file, and return whether it has a command."""
    has_command = False
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        value = value.replace("%N", name).replace("%p", name).replace("%n", f"{name}.service").replace("%%", "%")
        if equals and key == "ExecStart":
            # An empty value takes back what was set before.
            service.command, has_command = value, True
        elif equals and key == "Environment":
            service.assignments = [*service.assignments, value] if value else []
        elif equals and key == "EnvironmentFile":
            service.files = [*service.files, value.lstrip("-")] if value else []
    return has_command


def _flags(words: list[str]) -> dict[str, Value]:
    """Return the flags by their names. k3s takes nothing else on its command line, so what follows one is its value."""
    flags: dict[str, Value] = {}
    rest = list(words)
    while rest:
        match = _FLAG.fullmatch(rest.pop(0))
        if match is None:
            continue
        key, text = _SHORT.get(match[1], match[1]), match[2]
        if text is None and rest and not _FLAG.fullmatch(rest[0]):
            text = rest.pop(0)
        value = True if text is None else _value(text)
        before = flags.get(key)
        flags[key] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return flags


def _environment(tree: Tree, service: _Service) -> dict[str, str]:
    """Return the variables; those from files win."""
    found: dict[str, str] = {}
    lines = service.assignments + [line for name in service.files for line in tree.text(name).splitlines()]
    for line in lines:
        for word in shlex.split(line, comments=True):
            name, equals, value = word.partition("=")
            if equals:
                found[name] = value
    return found


def _value(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text, text)
