# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. What the page about the ways of packets shows.

from __future__ import annotations

import typing as t
from dataclasses import asdict

from ansible_collections.homecloud.k3s.plugins.module_utils._path_explanation import share_text
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_graph import ENDS, draw, each_share, fold, place_of
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_text import heading
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_trace import tried, verdict

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    Thing = Mapping[str, t.Any]


def page_of(result: Thing) -> dict[str, t.Any]:
    """What the module kube_path_info has returned, as texts and pictures."""
    return {
        "ways": [_way(path) for path in result["paths"]],
        "trace": _trace(result, result["trace"]) if "trace" in result else {},
    }


def _trace(result: Thing, trace: Thing) -> dict[str, t.Any]:
    return {
        "verdict": verdict(trace),
        "differences": trace["differences"],
        "tried": [{"place": place, "outcome": outcome} for place, outcome in tried(result)],
        "steps": trace["steps"],
    }


def _way(path: Thing) -> dict[str, t.Any]:
    folded = fold(path)
    steps = [step for step in path["steps"] if not folded.hides(step)]
    more = len(path["steps"]) - len(steps)
    endpoints: dict[bool, list[dict[str, t.Any]]] = {False: [], True: []}
    for endpoint in path["endpoints"]:
        place = place_of(endpoint)
        endpoints[place in folded.places].append({**endpoint, "place": place})
    counted = [endpoint["share"] for endpoint in endpoints[True]]
    return {
        "heading": heading(path),
        "verdict": path["verdict"],
        "verdict_text": ENDS.get(path["verdict"], "reaches endpoints"),
        "reason": path["reason"],
        "picture": asdict(draw(path)),
        "steps": [{**step, "share": share_text(step["share"])} for step in steps],
        "more_steps": f"{more:,} more steps, for {folded.title}" if more else "",
        "endpoints": [{**endpoint, "share": share_text(endpoint["share"])} for endpoint in endpoints[False]],
        "more_endpoints": f"{folded.title}, {each_share(counted)}" if counted else "",
    }
