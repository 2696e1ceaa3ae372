# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from homelab.watch import CLIENT, Answer, Watch


@pytest.fixture
def seen() -> Watch:
    """Answers at 10.1 and 10.3, three failures, and an answer at 12.3."""
    good, bad = "a", None
    moments = [(10.0, 10.1, good), (10.2, 10.3, good), (10.4, 10.9, bad), (11.0, 11.5, bad), (11.6, 12.1, bad)]
    return Watch([Answer(*moment) for moment in [*moments, (12.2, 12.3, good)]])


def test_what_was_asked_before_does_not_count(seen: Watch) -> None:
    assert seen.answer(True, 10.15, within=1).asked == 10.2
    assert [answer.asked for answer in seen.since(11.0)] == [11.0, 11.6, 12.2]


def test_patience_ends(seen: Watch) -> None:
    with pytest.raises(TimeoutError, match="0 s without a failure"):
        seen.answer(False, 12, within=0)


def test_gaps_are_between_answers(seen: Watch) -> None:
    assert seen.gap(0) == pytest.approx(2.0)
    assert seen.gap(12) == float("inf")


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_words: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def test_the_client_tells_answers_from_failures_until_its_input_ends(server: HTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/"
    line = [sys.executable, "-c", CLIENT, url]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout
        first = json.loads(client.stdout.readline())
        server.shutdown()
        server.server_close()
        pages = [json.loads(client.stdout.readline())["page"] for _number in range(3)]
        client.communicate(timeout=10)
    assert first["page"] == "hello"
    assert first["asked"] < first["answered"]
    assert pages[-1] is None
    assert client.returncode == 0
