# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of all scenarios begin with."""

from __future__ import annotations

import os

import pytest
import yaml
from scenario import COLLECTION, Controller, Kubectl, Lab, fetch_kubectl

K3S_DEFAULTS = COLLECTION / "roles/k3s/defaults/main.yml"


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab(os.environ["LAB_NAME"])


@pytest.fixture(scope="session")
def controller(lab: Lab) -> Controller:
    return Controller(lab)


@pytest.fixture(scope="session")
def k3s_version() -> str:
    return str(yaml.safe_load(K3S_DEFAULTS.read_text())["k3s_version"])


@pytest.fixture(scope="session")
def kubectl(lab: Lab, k3s_version: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return fetch_kubectl(lab, k3s_version, tmp_path_factory.mktemp("kubectl"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
