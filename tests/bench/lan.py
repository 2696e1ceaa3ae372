# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the LAN: how soon a new page answers, and for how long a page is gone when what announces it is."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path

from bench import lab, positive
from figures import SPREAD, machine, spread, table
from homelab.settings import role_default
from homelab.watch import watch
from playbook_run import BenchError, run
from scenario import Kubectl, Lab, fetch_kubectl, load_balanced, wait_until

Rounds = dict[str, list[float]]  # what was measured, and its seconds in each round

PATIENCE = 180  # seconds
# For so long there is still to be looked at what a change does after it seems over.
SETTLED = 5  # seconds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", help="one that is a cluster already, instead of a lab of its own")
    parser.add_argument("--rounds", type=positive, default=5, help="of each kind (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="the file to write all figures to")
    return parser.parse_args()


class Page:
    """The page of mysite at an address of its own, that an agent announces: the API stays when its node is off."""

    def __init__(self, lab: Lab, kubectl: Kubectl) -> None:
        self.lab, self.kubectl = lab, kubectl
        self.address = next(a for a in map(lab.at, range(210, 226)) if self.announcer(a) != "server1")
        annotations = {"metallb.io/loadBalancerIPs": self.address}
        self.service = load_balanced("bench", annotations=annotations)

    def announcer(self, address: str) -> str:
        """Of all nodes the one that MetalLB chooses."""
        return min(self.lab.nodes, key=lambda node: hashlib.sha256(f"{node}#{address}".encode()).digest())

    def appears(self) -> float:
        """From the request for the Service until its page answers for the first time."""
        with watch(self.lab.name, self.address) as client:
            client.answer(False, 0, PATIENCE)
            moment = time.time()
            self.kubectl.apply(self.service)
            seconds = client.answer(True, moment, PATIENCE).answered - moment
            wait_until(lambda: self.kubectl.announcing("bench"))
        return seconds

    def disappears(self) -> None:
        self.kubectl("delete", "service", "bench")

    def loses_its_speaker(self) -> float:
        """The longest time between two answers when the pod that announces the page is deleted, and another comes."""
        node = self.announcer(self.address)
        (pod,) = [
            pod["metadata"]["name"]
            for pod in self.kubectl.objects("pods", "--selector=component=speaker")
            if pod["spec"]["nodeName"] == node
        ]
        with watch(self.lab.name, self.address) as client:
            moment = client.answer(True, 0, PATIENCE).asked
            self.kubectl("delete", "pod", pod, "--namespace=metallb-system")
            wait_until(lambda: self.kubectl.is_complete("daemonset", "speaker", "metallb-system"), PATIENCE)
            wait_until(lambda: self.kubectl.announcing("bench") == [node], PATIENCE)
            client.answer(True, time.time() + SETTLED, PATIENCE)
        return client.gap(moment)

    def loses_its_node(self) -> tuple[float, float, float]:
        """The longest gap from the loss of power on, that of the node's return, and how long it takes to be back."""
        node = self.announcer(self.address)
        with watch(self.lab.name, self.address) as client:
            off = client.answer(True, 0, PATIENCE).asked
            self.lab.off(node)
            wait_until(lambda: set(self.kubectl.announcing("bench")) - {node}, PATIENCE)
            on = client.answer(True, time.time(), PATIENCE).asked
            outage = client.gap(off)
            self.lab.switch_on()
            wait_until(lambda: self.kubectl.has_restarted(node, on), PATIENCE)
            back = time.time() - on
            client.answer(True, time.time() + SETTLED, PATIENCE)
            return outage, client.gap(on), back


def measure(page: Page, rounds: int) -> Rounds:
    figures: Rounds = {}
    for number in range(1, rounds + 1):
        first = page.appears()
        speaker = page.loses_its_speaker()
        outage, gap, back = page.loses_its_node()
        page.disappears()
        seconds = {
            "first answer of a new Service": first,
            "longest gap, speaker deleted": speaker,
            "longest gap, node without power": outage,
            "longest gap, node comes back": gap,
            "all pods of the node ready again": back,
        }
        for name, figure in seconds.items():
            figures.setdefault(name, []).append(figure)
            print(f"{name}, {number} of {rounds}: {figure:.1f} s", file=sys.stderr)
    return figures


def of_cluster(name: str, rounds: int) -> Rounds:
    """A lab that is a cluster."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        machines = Lab(name)
        kubectl = fetch_kubectl(machines, role_default("k3s", "k3s_version"), Path(directory))
        return measure(Page(machines, kubectl), rounds)


def of_lab(rounds: int) -> Rounds:
    with lab("bench") as inventory:
        run("playbooks/site.yml", inventory)
        return of_cluster("bench", rounds)


def main() -> int:
    args = arguments()
    try:
        figures = of_cluster(args.lab, args.rounds) if args.lab else of_lab(args.rounds)
    except BenchError as error:
        print(f"lan.py: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "seconds": figures}, indent=2) + "\n")
    rows = [[name, str(len(seconds)), *spread(seconds)] for name, seconds in figures.items()]
    print("\n".join(table(["", "rounds", *SPREAD], rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
