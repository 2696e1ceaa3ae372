# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. How kube-proxy names its chains. Python 3.9, standard library only.

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache


def service_hash(namespace: str, name: str, port_name: str, protocol: str) -> str:
    """What the names of the chains of a Service's port end in: KUBE-SVC-, KUBE-SVL-, KUBE-EXT- and KUBE-FW-.

    Neither addresses nor numbers of ports are in it, so the chains of IPv4 and IPv6 have the same names.
    """
    return title_hash(port_title(namespace, name, port_name), protocol)


def endpoint_hash(namespace: str, name: str, port_name: str, protocol: str, endpoint: str) -> str:
    """What the name of the chain of an endpoint ends in: KUBE-SEP-. endpoint is address:port, or [address]:port."""
    return title_hash(port_title(namespace, name, port_name), protocol, endpoint)


def port_title(namespace: str, name: str, port_name: str) -> str:
    """A port of a Service as the comments of its rules name it."""
    return f"{namespace}/{name}:{port_name}" if port_name else f"{namespace}/{name}"


# The rules of a port name each of its chains several times.
@lru_cache(maxsize=4096)
def title_hash(title: str, protocol: str, endpoint: str = "") -> str:
    """The same by the title of a port: that of its chains, or that of the chain of an endpoint."""
    # A title from a damaged dump may have what is no character. It is that of no port, and no error.
    text = f"{title}{protocol.lower()}{endpoint}".encode(errors="replace")
    # 80 bits are the 16 letters that are used.
    return base64.b32encode(hashlib.sha256(text).digest()[:10]).decode()
