# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from hypothesis import settings

# How long an example takes says something of the machine, and what else it does.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
