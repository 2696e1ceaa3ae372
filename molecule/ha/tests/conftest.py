# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tests of the scenario share."""

from __future__ import annotations

import fixtures

controller, k3s_version, kubectl, lab = fixtures.controller, fixtures.k3s_version, fixtures.kubectl, fixtures.lab
pytest_terminal_summary = fixtures.pytest_terminal_summary
