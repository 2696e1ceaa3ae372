# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Label selectors of Kubernetes.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def selects(selector: Mapping[str, t.Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector ({matchLabels: ..., matchExpressions: ...}) selects what has these labels.

    An empty one selects everything.
    """
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def any_selects(selectors: Iterable[Mapping[str, t.Any]], labels: Mapping[str, str]) -> bool:
    """Whether one of several selectors does. None of them are no choice, and select everything."""
    selectors = list(selectors)
    return not selectors or any(selects(selector, labels) for selector in selectors)


def _holds(expression: Mapping[str, t.Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    return bool(
        {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[expression["operator"]]
    )
