# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How kube-proxy names its chains. Python 3.9, standard library only.

from __future__ import annotations

import base64
import hashlib
import typing as t

_LENGTH: t.Final = 16


def service_hash(namespace: str, name: str, port_name: str, protocol: str) -> str:
    """What the names of the chains of a Service's port end in: KUBE-SVC-, KUBE-SVL-, KUBE-EXT- and KUBE-FW-.

    Neither addresses nor numbers of ports are in it, so the chains of IPv4 and IPv6 have the same names.
    """
    return _hash(_port(namespace, name, port_name), protocol.lower())


def endpoint_hash(namespace: str, name: str, port_name: str, protocol: str, endpoint: str) -> str:
    """What the name of the chain of an endpoint ends in: KUBE-SEP-. endpoint is address:port, or [address]:port."""
    return _hash(_port(namespace, name, port_name), protocol.lower(), endpoint)


def _port(namespace: str, name: str, port_name: str) -> str:
    return f"{namespace}/{name}:{port_name}" if port_name else f"{namespace}/{name}"


def _hash(*parts: str) -> str:
    digest = hashlib.sha256("".join(parts).encode()).digest()
    return base64.b32encode(digest).decode()[:_LENGTH]
