# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory says, as plain data.

Private to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping


def plain(value: t.Any) -> t.Any:  # noqa: ANN401 (whatever an inventory holds)
    """The value with all its templates worked out: Ansible does that, and fails, only when they are looked at."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    # Ansible's own texts and numbers know where they come from, and YAML's writer does not know them.
    return next((kind(value) for kind in (int, float) if isinstance(value, kind)), str(value))
