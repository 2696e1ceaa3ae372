# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.homecloud.k3s.plugins.filter import differences

PROGRAM: t.Final = Path(differences.__file__).parents[2] / "playbooks/files/connect.py"


def connect(seconds: int, *places: str) -> list[dict[str, t.Any]]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(seconds), *places], stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return t.cast("list[dict[str, t.Any]]", json.loads(done.stdout))


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_is_reached(family: int, address: str) -> None:
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        port = listening.getsockname()[1]
        (found,) = connect(3, f"{address}:{port}")
    assert found["tried"] > 1
    assert found == {"address": address, "port": port, "tried": found["tried"], "made": found["tried"], "error": ""}


def test_who_does_not_listen_is_told_beside_the_others() -> None:
    with socket.socket() as listening, socket.socket() as deaf:
        for here in (listening, deaf):
            here.bind(("127.0.0.1", 0))
        listening.listen()
        ports = [here.getsockname()[1] for here in (deaf, listening)]
        refused, made = connect(1, *(f"127.0.0.1:{port}" for port in ports))
    assert [refused["port"], made["port"]] == ports
    assert (refused["tried"] > 0, refused["made"], refused["error"]) == (True, 0, "Connection refused")
    assert (made["made"], made["error"]) == (made["tried"], "")
