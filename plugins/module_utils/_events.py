# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the API has noted of objects.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject


class Events:
    """The events of objects."""

    def __init__(self, events: Iterable[KubernetesObject]) -> None:
        self._events = sorted(events, key=_time)

    def last(self, thing: KubernetesObject, *reasons: str, beginning: str = "") -> str:
        """The message of the last event of these reasons, empty if there is none."""
        uid = thing["metadata"].get("uid")
        found = [
            event["message"].strip()
            for event in self._events
            if event.get("reason") in reasons and event["involvedObject"].get("uid") == uid and event.get("message")
        ]
        return next((message for message in reversed(found) if message.startswith(beginning)), "")


def _time(event: KubernetesObject) -> str:
    """When an event was last seen; the API writes all times so that they sort as text."""
    metadata = event["metadata"]
    return event.get("lastTimestamp") or event.get("eventTime") or metadata.get("creationTimestamp") or ""
