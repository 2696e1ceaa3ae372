# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure site.yml: how long it takes, how many tasks it runs, and where the time goes."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Series, as_json, as_text
from playbook_run import COLLECTION, BenchError, run

LAB = COLLECTION / "tests/lab/lab.py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", type=Path, help="of a cluster that is set up already, instead of a lab's")
    parser.add_argument(
        "--runs", type=positive, default=5, help="of each kind but the first run (default: %(default)s)"
    )
    parser.add_argument("--top", type=positive, default=15, help="how many tasks to list (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="the file to write all figures to")
    return parser.parse_args()


def positive(text: str) -> int:
    if not text.isdecimal() or text == "0":
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


def repeat(name: str, times: int, inventory: Path, *options: str) -> Series:
    runs = []
    for number in range(1, times + 1):
        runs.append(run("playbooks/site.yml", inventory, *options))
        print(f"{name}, {number} of {times}: {runs[-1].seconds:.1f} s", file=sys.stderr)
    return Series(name, runs)


def of_cluster(inventory: Path, times: int, *options: str) -> Iterator[Series]:
    """A cluster that is set up already."""
    yield repeat("unchanged run", times, inventory, *options)
    yield repeat("check", times, inventory, "--check", *options)


def of_lab(times: int) -> Iterator[Series]:
    """A lab from bare nodes on, with an empty cache on the controller before the first run."""
    with lab("bench") as inventory, tempfile.TemporaryDirectory(prefix="bench-") as cache:
        option = f"--extra-vars=k3s_cache_dir={cache}/cache"
        yield repeat("check of bare nodes", times, inventory, "--check", option)
        shutil.rmtree(f"{cache}/cache")
        yield repeat("first run", 1, inventory, option)
        yield from of_cluster(inventory, times, option)


@contextmanager
def lab(name: str) -> Iterator[Path]:
    """Bare nodes, for as long as they are needed."""

    def command(word: str) -> str:
        done = subprocess.run([LAB, word, "--name", name], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{LAB} {word} --name {name} ended with {done.returncode}. See above why")
        return done.stdout

    command("down")  # one that an interrupted run has left is no longer bare
    try:
        yield Path(command("up").splitlines()[-1])
    finally:
        command("down")


def main() -> int:
    args = arguments()
    try:
        series = list(of_cluster(args.inventory, args.runs) if args.inventory else of_lab(args.runs))
    except BenchError as error:
        print(f"bench.py: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(as_json(series))
    print(as_text(series, args.top), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
