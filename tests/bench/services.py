# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure Services: a task of kube_service, which also waits until they serve, beside the same of k8s_service."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import typing as t
from collections.abc import Mapping
from pathlib import Path

from bench import lab, positive
from figures import SPREAD, machine, table
from playbook_run import BenchError, run
from scenario import Lab

Rounds = dict[str, list[float]]  # what was measured, and its seconds in each round

REMOVAL = "removed"  # between what is measured
PLACE = {"name": "bench", "namespace": "default"}
COMMON = {**PLACE, "type": "ClusterIP", "selector": {"app.kubernetes.io/name": "mysite"}}
UNTYPED = {**COMMON, "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}]}

# Each makes the same Service; the first one also waits until it serves.
WAYS: dict[str, dict[str, t.Any]] = {
    "kube_service": {"homecloud.k3s.kube_service": {**COMMON, "ports": [{"port": 80, "target_port": "web"}]}},
    "k8s_service": {"kubernetes.core.k8s_service": UNTYPED},
    "k8s_service, apply": {"kubernetes.core.k8s_service": {**UNTYPED, "apply": True}},
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", help="one that is a cluster already, instead of a lab of its own")
    parser.add_argument("--rounds", type=positive, default=10, help="of each kind (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="the file to write all figures to")
    return parser.parse_args()


def tasks() -> list[dict[str, t.Any]]:
    """A round: by every way a Service is made, left as it is, and removed."""
    baseline = {"name": "ping, which is Ansible's own share", "ansible.builtin.ping": {}}
    return [baseline, *(task for way, module in WAYS.items() for task in of_way(way, module))]


def of_way(way: str, module: Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    # Of a figure of something else than what its name says nobody would know.
    wrong = "done is failed or done is {}changed"
    return [
        {"name": f"{way}: new", **module, "register": "done", "failed_when": wrong.format("not ")},
        {"name": f"{way}: unchanged", **module, "register": "done", "failed_when": wrong.format("")},
        {"name": REMOVAL, "homecloud.k3s.kube_service": {**PLACE, "state": "absent"}},
    ]


def measure(inventory: Path, rounds: int) -> Rounds:
    cluster = {"kubeconfig": "{{ kubeconfig_path }}", "context": "{{ kubeconfig_context }}"}
    play = {
        "name": "Services",
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {"group/homecloud.k3s.k3s": cluster},
        "tasks": tasks() * rounds,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as playbook:
        json.dump([play], playbook)
        playbook.flush()
        done = run(playbook.name, inventory)
    figures: Rounds = {}
    for span in done.spans:
        if span.task not in ("", REMOVAL):
            figures.setdefault(span.task, []).append(span.seconds)
    return figures


def of_lab(rounds: int) -> Rounds:
    with lab("bench") as inventory:
        run("playbooks/site.yml", inventory)
        return measure(inventory, rounds)


def main() -> int:
    args = arguments()
    try:
        inventory = Path(Lab(args.lab).facts["paths"]["inventory"]) if args.lab else None
        figures = measure(inventory, args.rounds) if inventory else of_lab(args.rounds)
    except BenchError as error:
        print(f"services.py: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "seconds": figures}, indent=2) + "\n")
    rows = [
        [name, str(len(seconds)), *(f"{figure(seconds):.2f} s" for figure in SPREAD.values())]
        for name, seconds in figures.items()
    ]
    print("\n".join(table(["", "rounds", *SPREAD], rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
