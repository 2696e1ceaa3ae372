# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as a browser shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import typing as t

import pytest
from ansible_collections.homecloud.k3s.tests.unit.plugins.filter.rendered_page import (
    hostile,
    rendered,
    returned,
    traced,
)
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_nft import CapturedNft
from ansible_collections.homecloud.k3s.tests.unit.plugins.module_utils.captured_rules import Captured

if t.TYPE_CHECKING:
    from pathlib import Path

# Run in the page, which has no script itself. What is in a box that scrolls may be wider than the screen.
LOOK: t.Final = """
<script>
const screen_width = document.documentElement.clientWidth;
const outside = [...document.body.querySelectorAll("*")]
    .filter(element => !element.closest(".wide > *") && element.getBoundingClientRect().right > screen_width)
    .map(element => element.outerHTML.slice(0, 80));
const spilled = [...document.querySelectorAll("svg g")].flatMap(box => {
    const around = box.querySelector("rect").getBoundingClientRect();
    return [...box.querySelectorAll("text")].filter(text => {
        const place = text.getBoundingClientRect();
        return place.right > around.right || place.bottom > around.bottom;
    }).map(text => text.textContent);
});
const boxes = [...document.querySelectorAll("svg g rect")].map(box => [box, box.getBoundingClientRect()]);
const overlapping = boxes.filter(([box, one]) => boxes.some(([other, two]) => box !== other
    && box.ownerSVGElement === other.ownerSVGElement
    && one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom)).length;
const cut = [...document.querySelectorAll("svg")].filter(svg =>
    svg.getBBox().width > svg.width.baseVal.value || svg.getBBox().height > svg.height.baseVal.value).length;
parent.document.documentElement.dataset.seen = JSON.stringify({
    screen_width, page_width: document.documentElement.scrollWidth, outside, spilled, overlapping, cut,
    title: document.title, strange: document.querySelectorAll("script, img, [onerror]").length - 1, // but for this
    boxes: boxes.length, ground: getComputedStyle(document.body).backgroundColor,
});
</script>
"""


def browse(page: Path, *options: str) -> str:
    """What the browser prints. Root has to do without its sandbox; the page is our own."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run([*command, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def look(page: Path, *options: str, width: int = 1200) -> dict[str, t.Any]:
    """What there is to see on a page, in a frame of this width: a window has at least 500 pixels."""
    watched = html.escape(page.read_text().replace("</body>", f"{LOOK}</body>"))
    frame = page.with_name("frame.html")
    frame.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><iframe width="{width}" height="900" srcdoc="{watched}"></iframe>'
    )
    found = re.search(r'data-seen="([^"]*)"', browse(frame, "--dump-dom", "--hide-scrollbars", *options))
    assert found
    return t.cast("dict[str, t.Any]", json.loads(html.unescape(found[1])))


def long_addresses(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The same with endpoints whose addresses are as long as can be."""
    four, six = "10.42.0.2", "fd42:1234:5678:9abc:def0:1234:5678:9abc"
    changed = json.dumps(result).replace(f"{four}:", f"[{six}]:").replace(f'"{four}"', f'"{six}"')
    return t.cast("dict[str, t.Any]", json.loads(changed))


@pytest.fixture(name="page", scope="module")
def page_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("chromium"), "make setup installs chromium"
    flushed = re.sub(r"(?m)^-A PREROUTING .*\n", "", Captured().text)
    results = {
        "one-endpoint": returned("default/unnamed"),
        "three-endpoints": returned("default/balancer"),
        "very-many-endpoints": returned("default/many", text=Captured(configuration="many").text),
        "dropped": returned("default/ranges", source="203.0.113.200"),
        "rejected": returned("default/none"),
        "nftables": returned("default/balancer", text=CapturedNft().json),
        "long-addresses": long_addresses(returned("default/unnamed")),
        "traced": traced(returned("default/unnamed"), differences=["x" * 200], element="y" * 200),
        "not-translated": returned("default/balancer", text=flushed),
        "no-answer": {"failed": True, "msg": "Rules cannot be read: " + "x" * 200},
    }
    return rendered(tmp_path_factory.mktemp("page"), results)


@pytest.mark.parametrize("width", [390, 820, 1400])
def test_it_fits_on_a_screen(page: Path, width: int) -> None:
    seen = look(page, width=width)
    assert (seen["screen_width"], seen["page_width"]) == (width, width)
    assert seen["outside"] == []


def test_pictures_are_in_order(page: Path) -> None:
    seen = look(page)
    assert seen["boxes"] > 50
    assert (seen["spilled"], seen["overlapping"], seen["cut"]) == ([], 0, 0)


def test_what_others_have_written_does_nothing(tmp_path: Path) -> None:
    result = traced(returned("default/unnamed"), differences=["At step 1."], element="tcp . 80 : goto chain")
    seen = look(rendered(tmp_path, {"node": hostile(result)}, service="default/unnamed"))
    assert (seen["title"], seen["strange"]) == ("The way of a packet to default/unnamed", 0)
    assert (seen["boxes"] > 0, seen["outside"]) == (True, [])


def test_it_is_dark_where_the_reader_wants_that(page: Path) -> None:
    light = look(page, "--blink-settings=preferredColorScheme=1")
    dark = look(page, "--blink-settings=preferredColorScheme=0")
    assert (light["ground"], dark["ground"]) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
