# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site as a browser outside shows it, which finds it by its name and knows the authority.

docs/site.png is made anew by a run with SITE_PICTURE=$PWD/docs/site.png in the environment.
"""

from __future__ import annotations

import os
import struct
import typing as t
from pathlib import Path

import pytest
from browser import HELLO, URL, Browser
from world import PAGE, SITE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scenario import Lab
    from world import World


@pytest.fixture(scope="module", autouse=True)
def hello(world: World) -> Iterator[None]:
    done = world.publish(HELLO)
    assert done.code == 0, done.end
    yield
    world.remove(HELLO)


@pytest.fixture(scope="module")
def browser(world: World, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    browser = Browser(world.lab, "outside", tmp_path_factory.mktemp("browser"))
    browser.trust_authority()
    return browser


def test_the_page_is_shown_as_a_secure_one(browser: Browser, lab: Lab) -> None:
    seen = browser.seen(URL)
    assert seen.pop("pod").startswith("hello-")
    assert seen == {"address": URL, "secure": "yes", "visitor": lab.address("outside")}


def test_the_site_of_the_inventory_is_shown(browser: Browser) -> None:
    assert PAGE in browser.open(f"https://{SITE}/", "--dump-dom").stdout


def test_a_browser_that_does_not_know_the_authority_shows_nothing(lab: Lab, tmp_path: Path) -> None:
    stranger = Browser(lab, "outside", tmp_path)
    done = stranger.open(URL, "--dump-dom")
    assert "ERR_CERT_AUTHORITY_INVALID" in done.stderr
    assert "hello" not in done.stdout


def test_a_picture_of_it(browser: Browser, tmp_path: Path) -> None:
    picture = Path(os.environ.get("SITE_PICTURE", tmp_path / "site.png"))
    browser.picture(URL, picture, 900, 500)
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (900, 500)
