# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client on the LAN sees of a page while something happens to the cluster."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from homelab.settings import LAB_SOURCE
from homelab.shell import Command

# Asks for a page several times a second until its input ends, by a new connection each time.
CLIENT = """
import json, select, sys, time, urllib.request
while not select.select([sys.stdin], [], [], 0.1)[0]:
    asked = time.time()
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=0.5) as answer:
            page = answer.read().decode()
    except OSError:
        page = None
    print(json.dumps({"asked": asked, "answered": time.time(), "page": page}), flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """What came back, and when by the clock. page is None if nothing did."""

    asked: float
    answered: float
    page: str | None


@dataclass(frozen=True)
class Watch:
    """The answers so far."""

    answers: list[Answer] = field(default_factory=list)

    def read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.answers.append(Answer(**json.loads(line)))

    def since(self, moment: float) -> list[Answer]:
        return [answer for answer in self.answers if answer.asked >= moment]

    def answer(self, good: bool, moment: float, within: float) -> Answer:
        """The first answer of a kind to what was asked since a moment."""
        deadline = time.monotonic() + within
        while True:
            for answer in self.since(moment):
                if (answer.page is not None) == good:
                    return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"{within} s without {'an answer' if good else 'a failure'}")
            time.sleep(0.2)

    def gap(self, moment: float) -> float:
        """The longest time between two good answers since a moment."""
        good = [answer.answered for answer in self.since(moment) if answer.page is not None]
        return max((later - earlier for earlier, later in zip(good, good[1:], strict=False)), default=float("inf"))


@contextmanager
def watch(lab: str, address: str) -> Iterator[Watch]:
    line: Command = [
        LAB_SOURCE / "lab.py",
        "shell",
        "--name",
        lab,
        "client",
        "--",
        "python3",
        "-c",
        CLIENT,
        f"http://{address}/",
    ]
    seen = Watch()
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdin
        assert client.stdout
        reader = Thread(target=seen.read, args=[client.stdout])
        reader.start()
        try:
            yield seen
        finally:
            client.stdin.close()
            reader.join()
