# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_graph import draw, each_share, fold
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_page import page_of
from ansible_collections.homecloud.k3s.tests.unit.plugins.filter.rendered_page import returned
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured

if t.TYPE_CHECKING:
    from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_graph import Box, Picture
    from ansible_collections.homecloud.k3s.tests.unit.plugins.filter.rendered_page import Thing

MANY: t.Final = Captured(configuration="many").text


def way(service: str, kind: str = "cluster_ip", **options: str) -> Thing:
    (path,) = (path for path in returned(service, **options)["paths"] if path["frontend"]["kind"] == kind)
    return t.cast("Thing", path)


def ends(picture: Picture) -> list[Box]:
    return [box for box in picture.boxes if box.kind != "chain"]


def box(picture: Picture, beginning: str) -> Box:
    return next(box for box in picture.boxes if box.title.startswith(beginning))


def texts(found: Box) -> list[str]:
    return [line.text for line in found.lines]


def test_a_chain_is_a_box_and_its_steps_are_lines() -> None:
    path = way("default/unnamed")
    picture = draw(path)
    chains = {box.title for box in picture.boxes if box.kind == "chain"}
    assert chains == {step["chain"] for step in path["steps"]}
    assert texts(box(picture, "KUBE-SEP-")) == ["6 send to 10.42.0.2:8080", "if -p tcp"]
    assert [band.title for band in picture.bands] == ["nat PREROUTING", "filter FORWARD", "nat POSTROUTING"]


def test_a_long_name_is_broken_into_lines() -> None:
    path = way("default/unnamed")
    name = "service-ULMVA6XW-default/unnamed/tcp/" + "x" * 50
    steps = [{**step, "chain": name} if step["chain"].startswith("KUBE-SEP-") else step for step in path["steps"]]
    found = box(draw({**path, "steps": steps}), "service-")
    assert "".join(line.text for line in found.names) == name
    assert max(len(line.text) for line in found.names) <= 35
    heights = [line.y for line in (*found.names, *found.lines)]
    assert heights == sorted(set(heights))
    assert found.y < heights[0] < heights[-1] < found.y + found.height


def test_endpoints_are_side_by_side_below_what_sends_to_them() -> None:
    picture = draw(way("default/balancer"))
    sending = [box for box in picture.boxes if box.title.startswith("KUBE-SEP-")]
    assert [box.kind for box in ends(picture)] == ["endpoint"] * 3
    assert [box.x for box in ends(picture)] == [box.x for box in sending]
    assert len({box.x for box in sending}) == 3
    assert len({box.y for box in sending}) == len({box.y for box in ends(picture)}) == 1
    assert {texts(end)[0] for end in ends(picture)} == {"1/3 of the packets"}
    branches = [edge for edge in picture.edges if edge.kind == "main" and edge.text == "1/3"]
    assert len(branches) == 3
    assert {edge.width for edge in branches} == {4.0}


def test_what_only_marks_is_beside_the_main_way() -> None:
    picture = draw(way("default/balancer", "load_balancer"))
    assert box(picture, "KUBE-SVC-").x == box(picture, "PREROUTING").x < box(picture, "KUBE-MARK-MASQ").x
    (marked,) = (edge for edge in picture.edges if edge.kind == "call" and edge.y < box(picture, "KUBE-SVC-").y)
    assert (marked.text, marked.width) == ("all", 1.5)


def test_a_chain_may_be_called_by_others_that_are_lower() -> None:
    path = way("default/balancer", "load_balancer", source="10.42.0.2")
    callers = {step["chain"][:8] for step in path["steps"] if step["action"] == "go to KUBE-MARK-MASQ"}
    assert callers == {"KUBE-EXT", "KUBE-SEP"}
    picture = draw(path)
    assert [found.title for found in picture.boxes].count("KUBE-MARK-MASQ") == 1
    assert box(picture, "KUBE-MARK-MASQ").y < box(picture, "KUBE-SEP-").y


@pytest.mark.parametrize(
    ("service", "kind", "options", "verdict", "says"),
    [
        ("default/none", "cluster_ip", {}, "reject", "rejected"),
        ("default/ranges", "load_balancer", {"source": "203.0.113.200"}, "drop", "dropped"),
    ],
)
def test_being_refused_is_an_end(service: str, kind: str, options: dict[str, str], verdict: str, says: str) -> None:
    picture = draw(way(service, kind, **options))
    (end,) = ends(picture)
    assert (end.kind, end.title, texts(end)) == (verdict, says, ["all packets"])
    assert [edge.width for edge in picture.edges if edge.kind == verdict] == [12.0]


def test_a_part_may_be_dropped_on_its_way() -> None:
    rule = "-A FORWARD -d 10.42.0.2/32 -j DROP\n"
    picture = draw(way("default/balancer", text=Captured().text.replace("-A FORWARD", f"{rule}-A FORWARD", 1)))
    assert sorted(end.kind for end in ends(picture)) == ["drop", "endpoint", "endpoint"]
    (dropped,) = (edge for edge in picture.edges if edge.kind == "drop")
    reaching = [edge for edge in picture.edges if edge.kind == "main" and not edge.text]
    # It comes through the table before, and passes what comes after; the others go through that, too.
    before, stopping, after = picture.bands
    (end,) = (end for end in ends(picture) if end.kind == "drop")
    ways_down = [tuple(map(int, part.split("V"))) for part in re.findall(r"M\d+ (\d+V\d+)", dropped.path)]
    assert ways_down == [(before.bottom, stopping.y), (stopping.bottom, end.y)]
    assert stopping.bottom < after.y < end.y
    assert {edge.path.count("M") for edge in reaching} == {4}


def test_until_they_part_all_go_together() -> None:
    of_mangle = "-A PREROUTING -j MARK --set-xmark 0x1/0x1\nCOMMIT"
    path = way("default/balancer", text=Captured().text.replace("COMMIT", of_mangle, 1))
    picture = draw(path)
    before, sending = picture.bands[:2]
    assert before.title == "mangle PREROUTING"
    (common,) = (edge for edge in picture.edges if edge.width == 12 and not edge.text)
    assert common.path.endswith(f" {before.bottom}V{sending.y}")
    parted = [edge for edge in picture.edges if edge.kind == "main" and edge.width == 4 and not edge.text]
    assert len(parted) == 3
    assert not any(f" {before.bottom}V" in edge.path for edge in parted)


def test_without_any_rule_there_is_only_the_end() -> None:
    path = {**way("default/none"), "steps": [], "verdict": "none", "verdict_shares": {"none": 1.0}}
    picture = draw(path)
    assert [found.title for found in picture.boxes] == ["not translated"]
    assert (picture.edges, picture.bands) == ((), ())


def test_of_very_many_endpoints_most_are_counted() -> None:
    path = way("default/many", text=MANY)
    picture = draw(path)
    assert [end.title for end in ends(picture)][-1] == "1,195 more endpoints"
    assert texts(ends(picture)[-1]) == ["1/1200 each"]
    assert len(ends(picture)) == 6
    assert len(picture.boxes) < 30
    assert (box(picture, "1,195").x, box(picture, "1,195").lines) == (ends(picture)[-1].x, ())
    (page,) = page_of({"paths": [path]})["ways"]
    assert page["more_endpoints"] == "1,195 more endpoints, 1/1200 each"
    assert page["more_steps"] == "2,390 more steps, for 1,195 more endpoints"
    assert len(page["endpoints"]) == 5
    assert len(page["steps"]) + 2390 == len(path["steps"])


def test_a_chain_that_sends_to_all_endpoints_shows_the_first() -> None:
    ruleset = json.loads(CapturedNft().json)
    name = "service-4NE6ZYNA-default/balancer/tcp/http"
    rules = (thing["rule"] for thing in ruleset["nftables"] if "rule" in thing)
    (rule,) = (rule for rule in rules if (rule["family"], rule["chain"]) == ("ip", name))
    mapping = rule["expr"][-1]["dnat"]["addr"]["map"]
    mapping["key"]["numgen"]["mod"] = 1200
    mapping["data"]["set"] = [[n, {"concat": [f"10.42.{n // 250}.{n % 250}", 80]}] for n in range(1200)]
    path = way("default/balancer", text=json.dumps(ruleset), source="192.168.1.77")
    folded = fold(path)
    assert (len(folded.places), folded.chains) == (1195, frozenset())
    picture = draw(path)
    assert len([line for line in texts(box(picture, name)) if " send to " in line]) == 5
    assert [end.title for end in ends(picture)][-1] == "1,195 more endpoints"
    (page,) = page_of({"paths": [path]})["ways"]
    assert page["more_steps"] == "1,195 more steps, for 1,195 more endpoints"
    assert len(page["steps"]) + 1195 == len(path["steps"])


def test_few_endpoints_are_all_shown() -> None:
    (page,) = page_of({"paths": [way("default/balancer")]})["ways"]
    assert (page["more_endpoints"], page["more_steps"], len(page["endpoints"])) == ("", "", 3)
    assert [step["share"] for step in page["steps"]][:5] == ["all", "all", "all", "all", "1/3"]


def test_shares_of_what_is_counted() -> None:
    assert each_share([0.25, 0.25]) == "1/4 each"
    assert each_share([0.25, 0.5]) == "3/4 together"
