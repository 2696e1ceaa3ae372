# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. Objects of a cluster as they were at one moment, to be asked by pure functions.

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ansible_collections.homecloud.k3s.plugins.module_utils._cluster import KubernetesObject


def place(thing: KubernetesObject) -> tuple[str, str]:
    """The namespace of an object, empty if it has none, and its name."""
    return thing["metadata"].get("namespace", ""), thing["metadata"]["name"]


def labels(thing: KubernetesObject) -> Mapping[str, str]:
    return thing["metadata"].get("labels") or {}


class Snapshot:
    """The objects of some kinds.

    untold: the kinds of which nothing is known, as the cluster does not have them or does not show them to this user.
    That there is no object of such a kind proves nothing.
    """

    def __init__(self, objects: Iterable[KubernetesObject], untold: Collection[str] = ()) -> None:
        self._by_kind: dict[str, list[KubernetesObject]] = {}
        for thing in objects:
            self._by_kind.setdefault(thing["kind"], []).append(thing)
        self._untold = untold

    def tells(self, kind: str) -> bool:
        return kind not in self._untold

    def of_kind(self, *kinds: str) -> list[KubernetesObject]:
        return [thing for kind in kinds for thing in self._by_kind.get(kind, [])]

    def beside(self, thing: KubernetesObject, *kinds: str) -> list[KubernetesObject]:
        """The objects in the namespace of another."""
        return [other for other in self.of_kind(*kinds) if place(other)[0] == place(thing)[0]]
