# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that answer, and clients that ask."""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import struct
import threading
import typing as t
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cases import PORTS
from network import LOCAL, LOCAL_NETWORK, NODE_ADDRESS, REMOTE, REMOTE_NETWORK, Namespace, Network
from tracing import FIRST_PORT, LAST_PORT

_FAMILIES: t.Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SOCKETS: t.Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_own_port: t.Final = itertools.cycle(range(FIRST_PORT, LAST_PORT + 1))


@dataclass(frozen=True)
class Answer:
    """Who answered, and from where the request came to it."""

    address: str
    port: int
    source: str


@contextmanager
def answering(net: Network) -> Iterator[None]:
    """Have all pods, and the node itself, answer on all ports that endpoints have."""
    with ExitStack() as stack:
        answers = _Answers()
        for family in _FAMILIES:
            hosts = [(net.node, NODE_ADDRESS[family])]
            hosts += [(net.pods[last], LOCAL_NETWORK[family] + last) for last in LOCAL]
            hosts += [(net.node2, REMOTE_NETWORK[family] + last) for last in REMOTE]
            for namespace, address in hosts:
                for kind in _SOCKETS.values():
                    for port in PORTS:
                        with namespace.inside():
                            listening = stack.enter_context(socket.socket(_FAMILIES[family], kind))
                        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        listening.bind((address, port))
                        answers.add(listening)
        stack.enter_context(answers.running())
        yield


class _Answers:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._over = threading.Event()

    def add(self, listening: socket.socket) -> None:
        if listening.type == socket.SOCK_STREAM:
            listening.listen(64)
        self._selector.register(listening, selectors.EVENT_READ)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            for key, _events in self._selector.select(timeout=0.1):
                self._answer(t.cast("socket.socket", key.fileobj))

    @staticmethod
    def _answer(listening: socket.socket) -> None:
        if listening.type == socket.SOCK_DGRAM:
            _request, peer = listening.recvfrom(64)
            listening.sendto(_told(listening, peer), peer)
            return
        connection, peer = listening.accept()
        with connection:
            connection.sendall(_told(listening, peer))


def _told(listening: socket.socket, peer: tuple[t.Any, ...]) -> bytes:
    return json.dumps([*listening.getsockname()[:2], peer[0]]).encode()


@dataclass(frozen=True)
class Client:
    """Who asks: from where, by which of its addresses; without any by that which the kernel takes."""

    namespace: Namespace
    address: str = ""

    def source(self, family: int, destination: str) -> str:
        """The address that this one asks from."""
        if self.address:
            return self.address
        with self.namespace.inside(), socket.socket(_FAMILIES[family], socket.SOCK_DGRAM) as asking:
            asking.connect((destination, 1))
            return str(asking.getsockname()[0])

    def ask(self, family: int, protocol: str, destination: str, port: int, patience: float) -> Answer | None:
        """Ask once, and wait for an answer for so many seconds."""
        with self.namespace.inside():
            asking = socket.socket(_FAMILIES[family], _SOCKETS[protocol])
        with asking:
            # Without lingering: the other end does not wait for more.
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            asking.settimeout(patience)
            asking.bind((self.address, next(_own_port)))
            try:
                asking.connect((destination, port))
                if protocol == "udp":
                    asking.send(b"?")
                return Answer(*json.loads(asking.recv(1024)))
            except OSError:  # refused, or nothing has come
                return None
