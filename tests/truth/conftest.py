# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests find by its name. It is in files of its own, as checkers of types know one conftest only."""

from __future__ import annotations

import pytest

# Where it compares, differences are shown as those of a test are.
pytest.register_assert_rewrite("witness")

from nodes import make_node_fixture, observe_fixture  # noqa: E402

__all__ = ["make_node_fixture", "observe_fixture"]
