#!/usr/bin/env python3
# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A home network in containers: nodes, a LAN, a router, a mirror of the releases, and an internet."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from homelab import build, host, internet, inventory, network, nodes
from homelab.model import Host, Lab
from homelab.settings import MAX_NODES, Paths, Release
from homelab.shell import LabError, owner, say, step


def arguments() -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="home", type=lab_name, help="which lab (default: %(default)s)")
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], help=summary, description=summary)

    build_everything = command("build", "make what is missing of all that labs and tests need")
    build_everything.add_argument("--soak", action="store_true", help="what only the soak needs, too")
    up = command("up", "start the lab, building first what is missing")
    counts = range(1, MAX_NODES + 1)
    up.add_argument("--nodes", type=int, choices=counts, help="how many (default: as before, at first 3)")
    up.add_argument("--servers", type=int, choices=counts, help="how many of them (default: as before, at first 1)")
    command("down", "remove the lab and put the host back as it was")
    command("status", "show machines and versions").add_argument("--json", action="store_true")
    command("off", "pull the plug of a machine; up switches it on").add_argument("host")
    shell = command("shell", "run a command, or a shell, on a machine")
    shell.add_argument("host")
    shell.add_argument("words", nargs="*", metavar="command", help="after --; default: bash")
    logs = command("logs", "show the journal of a machine")
    logs.add_argument("host")
    logs.add_argument("unit", nargs="?")
    return parser.parse_args()


def lab_name(text: str) -> str:
    """A name that containers, namespaces and host names can carry."""
    if not text.isascii() or not text.replace("-", "").isalnum() or text != text.lower() or len(text) > 30:
        raise argparse.ArgumentTypeError("lower-case letters, digits and dashes, 30 at most")
    return text


def become_root() -> None:
    """Containers with a LAN need root; the lab's files stay the caller's."""
    if os.geteuid() == 0:
        return
    if not shutil.which("sudo"):
        raise LabError("The lab's containers need root, and there is no sudo: run this command as root")
    say("The lab's containers need root: sudo may ask for your password")
    kept = [
        f"{key}={os.environ[key]}" for key in os.environ if key in ("HOME", "PATH") or key.startswith(("LAB_", "XDG_"))
    ]
    os.execvp("sudo", ["sudo", "env", *kept, sys.executable, *sys.argv])


def up(name: str, node_count: int | None, server_count: int | None, paths: Paths) -> None:
    release = Release.from_environment()
    images = build.needed(paths.cache, release)
    mirror = paths.cache / "mirror"
    with step("starting the lab"):
        with host.exclusive():
            host.remember()
            host.make_room()
            lab = find_or_design(name, node_count, server_count, paths)
            nodes.remove_surplus(lab)
            network.create(lab)
        nodes.write_keys(lab)
        internet.write_secrets(lab)
        inventory.write(lab, release, mirror)
        nodes.start_all(lab, images, release, mirror)
        give_to_owner(paths.states, lab.state)
        nodes.wait_ready(lab)
    print(lab.inventory)


def find_or_design(name: str, node_count: int | None, server_count: int | None, paths: Paths) -> Lab:
    state = paths.states / name
    known = Lab.load(state)
    if not known and nodes.containers(name):
        raise LabError(f"A lab {name!r} of another user or state directory is up: choose another --name")
    subnet = known.network if known else network.choose_network(network.networks_in_use(paths.states))
    before = known or Lab(name, subnet, 3, state)
    lab = replace(before, node_count=node_count or before.node_count, server_count=server_count or before.server_count)
    if lab.server_count > lab.node_count:
        raise LabError(f"{lab.server_count} servers are more than {lab.node_count} nodes: say --nodes, too")
    state.mkdir(parents=True, exist_ok=True)
    lab.save()
    return lab


def down(name: str, paths: Paths) -> None:
    state = paths.states / name
    with step("removing the lab"), host.exclusive():
        nodes.remove_all(name)
        network.remove(name)
        shutil.rmtree(state, ignore_errors=True)
        left = [] if network.switches() else host.restore()
    if left:
        raise LabError("The host is not as it was before the lab:\n  " + "\n  ".join(left))


def give_to_owner(*trees: Path) -> None:
    uid, gid = owner()
    for tree in trees:
        for path in [tree, *tree.rglob("*")]:
            os.chown(path, uid, gid, follow_symlinks=False)


def existing(name: str, paths: Paths) -> Lab:
    lab = Lab.load(paths.states / name)
    if not lab:
        raise LabError(f"There is no lab {name!r} in {paths.states}: `lab.py up --name {name}` makes it")
    return lab


def machine(lab: Lab, name: str) -> Host:
    for candidate in lab.hosts:
        if candidate.name == name:
            return candidate
    raise LabError(f"Lab {lab.name!r} has no machine {name!r}, only {', '.join(entry.name for entry in lab.hosts)}")


def status(lab: Lab, as_json: bool) -> None:
    states = nodes.containers(lab.name)
    report = json.loads((lab.state / "lab.json").read_text())
    for entry in report["hosts"].values():
        entry["state"] = states.get(entry["container"], "missing")
    release = Release.from_environment()
    report["versions"] = {"k3s": release.k3s_version, "metallb": release.metallb_version}
    if as_json:
        print(json.dumps(report, indent=2))
        return
    print(f"lab {lab.name}: {report['subnet']}, k3s {release.k3s_version}, MetalLB {release.metallb_version}")
    for name, entry in report["hosts"].items():
        print(f"  {name:8} {entry['address']:16} {entry['state']:8} {entry['container']}")
    print(f"inventory: {lab.inventory}")


def main() -> int:
    args = arguments()
    paths = Paths.from_environment()
    try:
        for directory in (paths.states, paths.cache):
            directory.mkdir(parents=True, exist_ok=True)
        become_root()
        if args.command == "build":
            build.everything(paths.cache, Release.from_environment(), args.soak)
        elif args.command == "up":
            up(args.name, args.nodes, args.servers, paths)
        elif args.command == "down":
            down(args.name, paths)
        else:
            lab = existing(args.name, paths)
            if args.command == "status":
                status(lab, args.json)
            elif args.command == "off":
                nodes.pull_plug(lab, machine(lab, args.host))
            elif args.command == "shell":
                return nodes.enter(machine(lab, args.host), args.words or ["bash"])
            else:
                journal = ["journalctl", "--no-pager", *(["--unit", args.unit] if args.unit else [])]
                return nodes.enter(machine(lab, args.host), journal)
    except LabError as error:
        print(f"lab.py {shlex.join(sys.argv[1:])}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
