# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import Refused
from ansible_collections.homecloud.k3s.plugins.module_utils._service_probe import Probe, silence, targets

if t.TYPE_CHECKING:
    from collections.abc import Iterator

Thing = dict[str, t.Any]


def service(kind: str, *ingress: Thing, **spec: object) -> Thing:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053},
        {"name": "web", "port": 80, "protocol": "TCP", "nodePort": 30080},
        {"name": "tls", "port": 443, "protocol": "TCP", "nodePort": 30443},
    ]
    return {
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"type": kind, "ports": ports, "clusterIPs": ["10.43.0.7", "fd43::7"], **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def node(address: str, ready: str) -> Thing:
    addresses = [{"type": "Hostname", "address": "node"}, {"type": "InternalIP", "address": address}]
    return {"status": {"addresses": addresses, "conditions": [{"type": "Ready", "status": ready}]}}


NODES = [node("192.168.1.101", "True"), node("192.168.1.102", "Unknown")]


@pytest.mark.parametrize(
    ("asked", "port", "node_port"), [(None, 80, 30080), ("tls", 443, 30443), ("443", 443, 30443), ("web", 80, 30080)]
)
def test_a_service_is_asked_where_it_is_reached(asked: str | None, port: int, node_port: int) -> None:
    balanced = service("LoadBalancer", {"ip": "192.168.1.200"}, {"ip": "fd00::200"}, {"hostname": "lb.example.org"})
    assert targets(balanced, NODES, asked) == [f"192.168.1.200:{port}", f"[fd00::200]:{port}", f"lb.example.org:{port}"]
    assert targets(service("NodePort"), NODES, asked) == [f"192.168.1.101:{node_port}"]
    assert targets(service("ClusterIP"), NODES, asked) == [f"10.43.0.7:{port}", f"[fd43::7]:{port}"]


def test_a_headless_service_has_no_address() -> None:
    assert targets(service("ClusterIP", clusterIPs=["None"]), NODES, None) == []


@pytest.mark.parametrize("asked", ["dns", "53", "ftp"])
def test_a_port_that_cannot_be_asked_is_refused(asked: str) -> None:
    with pytest.raises(Refused) as refused:
        targets(service("ClusterIP"), NODES, asked)
    assert "80 web, 443 tls" in refused.value.fault.evidence


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/": 200, "/moved": 302}.get(self.path, 404))
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(name="server")
def server_fixture() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def http(path: str = "/", *status: int) -> Probe:
    return Probe("http", None, path, list(status or (200,)))


TCP = Probe("tcp", None, "/", [200])


@pytest.mark.parametrize("probe", [TCP, http(), http("/moved", 302), http("none", 404, 410)])
def test_an_answer_as_asked(server: str, probe: Probe) -> None:
    assert silence(server, probe) == ""


@pytest.mark.parametrize(("probe", "status"), [(http("/moved"), 302), (http("/none"), 404)])
def test_another_answer_is_named(server: str, probe: Probe, status: int) -> None:
    assert silence(server, probe) == f"http://{server}{probe.path}: HTTP status {status}"


@pytest.mark.parametrize("probe", [TCP, http()])
def test_no_answer_is_explained(probe: Probe) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{free.getsockname()[1]}"
        assert "refused" in silence(target, probe)
        assert silence(target, probe).startswith(target)
