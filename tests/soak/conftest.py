# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is drawn by lot, and the cluster that it happens to."""

from __future__ import annotations

import random
import time
import typing as t

import fixtures
import pytest
from board import new_board, no_board
from leftovers import state

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from leftovers import State
    from scenario import Controller, Lab

controller, k3s_version, kubectl = fixtures.controller, fixtures.k3s_version, fixtures.kubectl
pytest_terminal_summary = fixtures.pytest_terminal_summary


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=int(time.time()), help="make the same choices again")
    parser.addoption("--rounds", type=int, default=10, help="how often each thing is done")


def pytest_report_header(config: pytest.Config) -> str:
    return f"--seed={config.getoption('seed')} --rounds={config.getoption('rounds')}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", range(metafunc.config.getoption("rounds")))


@pytest.fixture
def lot(request: pytest.FixtureRequest) -> random.Random:
    """The choices of one test."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.name}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    yield new_board()
    no_board()


@pytest.fixture(scope="session")
def bare(lab: Lab) -> dict[str, State]:
    """The nodes before anything was installed."""
    return {node: state(lab, node) for node in lab.nodes}


@pytest.fixture(scope="session", autouse=True)
def cluster(controller: Controller, bare: dict[str, State]) -> None:
    done = controller.site()
    assert done.code == 0, done.end
