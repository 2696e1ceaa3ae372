# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of the Kubernetes API as kube-proxy needs: to list and to watch objects that never change."""

from __future__ import annotations

import json
import threading
import typing as t
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Thing = dict[str, t.Any]

# What kube-proxy reads, by path: the version and kind of the objects, and their name among those that are served.
COLLECTIONS: t.Final = {
    "/api/v1/services": ("v1", "Service", "services"),
    "/apis/discovery.k8s.io/v1/endpointslices": ("discovery.k8s.io/v1", "EndpointSlice", "slices"),
    "/api/v1/nodes": ("v1", "Node", "nodes"),
    "/apis/networking.k8s.io/v1/servicecidrs": ("networking.k8s.io/v1", "ServiceCIDR", "cidrs"),
}
VERSION: t.Final = {"resourceVersion": "1"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, objects: Mapping[str, list[Thing]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = objects
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path in COLLECTIONS:
            self._collection(url.path, query)
        else:
            path, _slash, name = url.path.rpartition("/")
            found = [thing for thing in self._things(path, {}) if thing["metadata"]["name"] == name]
            self._answer(200 if found else 404, found[0] if found else {"kind": "Status", "code": 404})

    def do_POST(self) -> None:
        """Take an event, and forget it."""
        thing = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(201, thing)

    do_PATCH = do_POST

    def _collection(self, path: str, query: Mapping[str, list[str]]) -> None:
        version, kind, _name = COLLECTIONS[path]
        things = self._things(path, query)
        if query.get("watch") not in (["true"], ["1"]):
            answer = {"apiVersion": version, "kind": f"{kind}List", "metadata": VERSION, "items": things}
            self._answer(200, answer)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        if query.get("sendInitialEvents") == ["true"]:  # newer clients list by watching
            for thing in things:
                self._event("ADDED", thing)
            end = {"annotations": {"k8s.io/initial-events-end": "true"}, **VERSION}
            self._event("BOOKMARK", {"apiVersion": version, "kind": kind, "metadata": end})
        self.server.over.wait()

    def _things(self, path: str, query: Mapping[str, list[str]]) -> list[Thing]:
        version, kind, name = COLLECTIONS.get(path, ("", "", ""))
        return [
            {"apiVersion": version, "kind": kind, **thing, "metadata": {**thing["metadata"], **VERSION}}
            for thing in self.server.objects.get(name, [])
            if _is_selected(thing, query)
        ]

    def _event(self, kind: str, thing: Thing) -> None:
        self.wfile.write(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    def _answer(self, status: int, thing: Thing) -> None:
        content = json.dumps(thing).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, *_arguments: object) -> None:
        """Say nothing of requests."""


def _is_selected(thing: Thing, query: Mapping[str, list[str]]) -> bool:
    """Whether the API would show it. kube-proxy leaves out by selectors what it has no rules for."""
    labels = thing["metadata"].get("labels", {})
    without = [term[1:] for term in query.get("labelSelector", [""])[0].split(",") if term]
    fields = [term.partition("=") for term in query.get("fieldSelector", [""])[0].split(",") if term]
    return not any(key in labels for key in without) and all(
        (_field(thing, name.rstrip("!")) == value) != name.endswith("!") for name, _sign, value in fields
    )


def _field(thing: Thing, path: str) -> object:
    value: t.Any = thing
    for name in path.split("."):
        value = value.get(name, {})
    return value


@contextmanager
def serve(objects: Mapping[str, list[Thing]]) -> Iterator[str]:
    """Serve objects, by the names in COLLECTIONS, on the loopback of the caller's namespace; yields the URL."""
    server = _Server(objects)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
