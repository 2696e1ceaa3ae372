# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of runs, as text for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from statistics import median

from playbook_run import Run, Span

KEYS: dict[str, Callable[[Span], str]] = {
    "play": lambda span: span.play,
    "role": lambda span: span.role or "no role",
    "task": lambda span: f"{span.role or span.play}: {span.task}" if span.task else span.play,
}
SPREAD: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "min": min, "max": max}
COUNTS = ("ok", "changed", "skipped")


@dataclass(frozen=True)
class Series:
    """Runs of one kind."""

    name: str
    runs: list[Run]

    @property
    def seconds(self) -> list[float]:
        return [run.seconds for run in self.runs]

    def shares(self, key: Callable[[Span], str]) -> dict[str, float]:
        """The seconds that went into each thing, by the median of the runs, the most first."""

        def seconds(run: Run, name: str) -> float:
            return sum(span.seconds for span in run.spans if key(span) == name)

        names = dict.fromkeys(key(span) for run in self.runs for span in run.spans)
        medians = {name: median(seconds(run, name) for run in self.runs) for name in names}
        return dict(sorted(medians.items(), key=lambda share: -share[1]))

    def changed(self) -> list[str]:
        """The tasks that changed something."""
        return list(dict.fromkeys(KEYS["task"](span) for run in self.runs for span in run.spans if span.changed))


def machine() -> dict[str, str | int]:
    """What the figures depend on, apart from the cluster."""
    return {
        "cpus": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "ansible_core": version("ansible-core"),
    }


def as_json(series: Sequence[Series]) -> str:
    document = {
        "machine": machine(),
        "series": [
            {
                "name": one.name,
                "seconds": {name: figure(one.seconds) for name, figure in SPREAD.items()},
                "shares": {name: one.shares(key) for name, key in KEYS.items()},
                "runs": [asdict(run) for run in one.runs],
            }
            for one in series
        ],
    }
    return json.dumps(document, indent=2, default=str) + "\n"


def as_text(series: Sequence[Series], top: int) -> str:
    return "\n".join(lines(series, top)) + "\n"


def lines(series: Sequence[Series], top: int) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value in machine().items())
    yield ""
    yield from table(["", "runs", *SPREAD, "load", "tasks", *COUNTS], [summary(one) for one in series])
    for one in series:
        yield from details(one, top)


def summary(series: Series) -> list[str]:
    """A line of the table: the highest load, and the counts of the last run, of all hosts together."""
    last = series.runs[-1]
    counts = (last.tasks, *(last.results(kind) for kind in COUNTS))
    load = max(run.load for run in series.runs)
    return [series.name, str(len(series.runs)), *spread(series.seconds), f"{load:.1f}", *map(str, counts)]


def spread(seconds: Sequence[float]) -> list[str]:
    return [f"{figure(seconds):.1f} s" for figure in SPREAD.values()]


def details(series: Series, top: int) -> Iterator[str]:
    yield from ("", f"== {series.name} ==", "")
    hosts = series.runs[-1].hosts
    yield from table(["host", *COUNTS], [[host, *(str(hosts[host][kind]) for kind in COUNTS)] for host in hosts])
    for name, key in KEYS.items():
        shares = islice(series.shares(key).items(), top)
        yield ""
        yield from table([name, "seconds"], [[thing, f"{seconds:.2f}"] for thing, seconds in shares])
    if changed := series.changed():
        yield from ("", "changed by", *(f"  {task}" for task in changed))


def table(heading: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Columns of which the first is text and the others are figures."""
    widths = [max(map(len, column)) for column in zip(heading, *rows)]
    for first, *others in (heading, *rows):
        figures = (f"{text:>{width}}" for text, width in zip(others, widths[1:]))
        yield "  ".join((f"{first:{widths[0]}}", *figures))
