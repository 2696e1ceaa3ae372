# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from html.parser import HTMLParser

import pytest
from ansible_collections.homecloud.k3s.tests.unit.plugins.filter.rendered_page import (
    HOSTILE,
    TEMPLATE,
    hostile,
    rendered,
    returned,
    traced,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured

if t.TYPE_CHECKING:
    from pathlib import Path

    from ansible_collections.homecloud.k3s.tests.unit.plugins.filter.rendered_page import Thing

VOID: t.Final = {"br", "meta"}


class Page(HTMLParser):
    """The elements of a page, where each must be closed in its turn, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def having(self, attribute: str) -> list[str]:
        return [value for _tag, attributes in self.elements if (value := attributes.get(attribute))]


@pytest.fixture(name="results", scope="module")
def results_fixture() -> dict[str, Thing]:
    flushed = re.sub(r"(?m)^-A PREROUTING .*\n", "", Captured().text)
    return {
        "node1": returned("default/balancer"),
        "node2": returned("default/ranges", source="203.0.113.200"),
        "node3": returned("default/balancer", text=flushed),
        "node4": {"failed": True, "msg": "There is nothing <here>."},
    }


@pytest.fixture(name="text", scope="module")
def text_fixture(results: dict[str, Thing], tmp_path_factory: pytest.TempPathFactory) -> str:
    return rendered(tmp_path_factory.mktemp("page"), results, service="default/balancer").read_text()


def test_all_nodes_and_ways_are_on_it(text: str, results: dict[str, Thing]) -> None:
    said = " ".join(Page(text).text)
    for result in results.values():
        for path in result.get("paths", []):
            assert path["reason"] in said
            assert all(step["action"] in said for step in path["steps"])
        for finding in result.get("findings", []):
            assert finding["evidence"] in said
            assert finding["advice"] in said
    assert "This node has given no answer. There is nothing <here>." in said
    assert "The way of a packet to default/balancer" in said
    # What is wrong is there once, with the node that has it.
    assert said.count("on node3: PREROUTING of nat does not call KUBE-SERVICES") == 1
    assert "on node4: The node has given no answer." in said


def test_it_counts_what_is_wrong(results: dict[str, Thing], tmp_path: Path) -> None:
    (missing,) = results["node3"]["findings"]
    found = [missing, *({**missing, "severity": severity} for severity in ("warning", "info"))]
    hosts = {**results, "node5": {**results["node3"], "findings": [*found, {**found[1], "message": "Something else."}]}}
    said = " ".join(Page(rendered(tmp_path, hosts, service="default/balancer").read_text()).text)
    counts = {node: f"{node} : ways: 3, errors: 0, warnings: 0" for node in ("node1", "node2")}
    counts["node3"] = "node3 : ways: 3, errors: 1, warnings: 0"
    counts["node4"] = "node4 : no answer"
    counts["node5"] = "node5 : ways: 3, errors: 1, warnings: 2"
    assert [count for count in counts.values() if count not in re.sub(r"\s+", " ", said)] == []


def test_it_is_for_everyone(text: str) -> None:
    page = Page(text)
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(pictures) == 9
    for picture in pictures:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    assert {href.removeprefix("#") for href in page.having("href")} <= set(ids)
    headings = [int(tag[1]) for tag, _attributes in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(deeper - heading <= 1 for heading, deeper in zip([0, *headings], headings))


def test_nothing_comes_from_elsewhere(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed"} & {tag for tag, _attributes in page.elements}
    assert page.having("src") == []
    assert all(href.startswith("#") for href in page.having("href"))
    assert not re.search(r"url\(|@import|//", text)


def test_markup_and_templates_in_data_are_text(results: dict[str, Thing], tmp_path: Path) -> None:
    hosts = {f"{name}<b>": hostile(result) for name, result in results.items()}
    hosts["traced"] = hostile(traced(results["node1"], differences=["At step 1."], element="tcp . 80 : goto chain"))
    markup = HOSTILE.partition("{{")[0]  # the name that is asked for is the user's own
    page = Page(rendered(tmp_path, hosts, service="default/balancer" + markup).read_text())
    assert not {"script", "b", "img"} & {tag for tag, _attributes in page.elements}
    assert not [name for _tag, attributes in page.elements for name in attributes if name.startswith("on")]
    said = "".join(page.text)
    shown = ["At step 1.", "tcp . 80 : goto chain", results["node1"]["paths"][0]["reason"], "There is nothing <here>."]
    assert [text for text in shown if text + HOSTILE not in said] == []
    assert results["node1"]["paths"][0]["steps"][0]["rule"] + HOSTILE in page.having("title")


def test_what_others_have_written_is_text(tmp_path: Path) -> None:
    """The comment of a rule, and the annotation of a Service."""
    captured = Captured()
    quoted = HOSTILE.replace('"', r"\"")
    foreign = f'-A PREROUTING -d 10.43.0.48/32 -m comment --comment "{quoted}" -j ACCEPT\n-A PREROUTING'
    services = [
        {**service, "metadata": {**service["metadata"], "annotations": {"note": HOSTILE}}}
        for service in captured.services
    ]
    told = {"services": services, "endpoint_slices": captured.slices, "node_name": "node1", "zone": "zone1"}
    result = returned("default/balancer", text=captured.text.replace("-A PREROUTING", foreign, 1), **told)
    assert any(quoted in finding["rule"] for finding in result["findings"])
    page = Page(rendered(tmp_path, {"node1": result}, service="default/balancer").read_text())
    assert "foreign_rule_first" in page.text
    assert quoted in "".join(page.text)
    assert not {"script", "img"} & {tag for tag, _attributes in page.elements}


def test_a_trace_is_on_it(results: dict[str, Thing], tmp_path: Path) -> None:
    hosts = {"agrees": traced(results["node1"]), "differs": traced(results["node1"], differences=["At step 1."])}
    page = Page(rendered(tmp_path, hosts, service="default/balancer").read_text())
    said = " ".join(page.text)
    assert said.count("What the kernel has shown") == 2
    assert said.count("All went as explained.") == said.count("Not all went as explained.") == 1
    assert said.count("At step 1.") == 2  # at its node, and in the list of what is wrong
    assert "on differs: The kernel does something else" in said
    assert "2 of 3 connections came about (timed out)" in said
    assert hosts["agrees"]["trace"]["steps"][0]["rule"] in said


def test_it_is_the_same_again(results: dict[str, Thing], text: str, tmp_path: Path) -> None:
    assert rendered(tmp_path, results, service="default/balancer").read_text() == text


def test_without_a_service_it_has_what_is_wrong(tmp_path: Path) -> None:
    text = rendered(tmp_path, {"node1": returned("")}).read_text()
    said = " ".join(Page(text).text)
    assert "no_endpoint" in said
    assert "No way was asked for." in said
    assert "svg" not in {tag for tag, _attributes in Page(text).elements}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(scheme: str) -> None:
    """By 4.5 to 1, as the Web Content Accessibility Guidelines ask for."""
    light, dark = re.findall(r"(?s):root \{(.*?)\}", TEMPLATE.read_text())
    colors = dict(re.findall(r"--([\w-]+): #(\w+)", light if scheme == "light" else dark))
    grounds = ("ground", "band", "box")
    pairs = [(ink, ground) for ink in ("ink", "quiet") for ground in grounds]
    pairs += [(ink, ground) for kind in ("good", "bad", "open") for ink in (kind, "ink") for ground in (f"{kind}-box",)]
    for ink, ground in pairs:
        lighter, darker = sorted((brightness(colors[ink]), brightness(colors[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)


def brightness(color: str) -> float:
    parts = (int(color[at : at + 2], 16) / 255 for at in (0, 2, 4))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
