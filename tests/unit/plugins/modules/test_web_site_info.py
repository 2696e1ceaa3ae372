# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import trustme
import yaml
from ansible_collections.homecloud.k3s.plugins.module_utils._web_site import Certificate, Sight
from ansible_collections.homecloud.k3s.plugins.modules import web_site_info as MODULE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.homecloud.k3s.tests.unit.plugins.modules.conftest import Run

RETURNED = yaml.safe_load(MODULE.RETURN)["sites"]


class Starting(BaseHTTPRequestHandler):
    """A site that is not ready when it is asked for the first time."""

    asked: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if len(self.asked) > 1 else 503)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(name="url")
def url_fixture() -> Iterator[str]:
    Starting.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Starting)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://mysite.example.org:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_the_result_is_as_documented(run: Run, url: str) -> None:
    result = run(sites=[{"url": url, "address": "127.0.0.1"}])
    assert result["changed"] is False
    (seen,) = result["sites"]
    assert seen.keys() == RETURNED["sample"][0].keys() == RETURNED["contains"].keys()
    assert (seen["http_status"], seen["certificate"]) == (503, None)
    assert len(Starting.asked) == 1, "one look, where there is no time to wait"


def test_the_certificate_is_as_documented(
    run: Run, monkeypatch: pytest.MonkeyPatch, shape: t.Callable[[object], object]
) -> None:
    seen = Sight("https://a/", "10.0.0.1", certificate=Certificate(["a"], "b", "c", 1, False, True, True, ""))
    monkeypatch.setattr(MODULE, "look", lambda *_args: [seen])
    result = run(sites=[{"url": "https://a/"}])
    assert shape(result["sites"]) == shape(RETURNED["sample"])


def test_a_site_that_is_starting_is_waited_for(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    (seen,) = run(sites=[{"url": url, "address": "127.0.0.1"}], wait_timeout=60)["sites"]
    assert (seen["http_status"], len(Starting.asked), len(naps)) == (200, 2, 1)


def test_a_site_that_is_not_there_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> t.NoReturn:
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.create_connection", fail)
    result = run(sites=[{"url": "https://mysite.example.org/"}], ca=trustme.CA().cert_pem.bytes().decode())
    assert not result.get("failed")
    assert result["sites"][0]["error"] == "mysite.example.org:443 refuses the connection"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"sites": [{"url": "mysite.example.org"}]}, "'mysite.example.org' is not the URL of a web site"),
        ({"sites": [], "ca": "/etc/ssl/ca.crt"}, "ca has no certificate in PEM form"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(args: dict[str, t.Any], message: str, run: Run) -> None:
    result = run(**args)
    assert result["failed"]
    assert message in result["msg"]


def test_the_documentation_has_every_option() -> None:
    documented = yaml.safe_load(MODULE.DOCUMENTATION)["options"]
    assert documented.keys() == MODULE.ARGUMENT_SPEC.keys()
