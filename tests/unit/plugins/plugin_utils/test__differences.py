# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._differences import differences, wanted_files

UNIT = {"enabled": True, "active": "active", "outdated": []}
READING = {
    "files": {"/etc/one": {"sha256": "aa", "mode": "0600", "owner": "root"}, "/bin/two": {"link": "k3s"}},
    "units": {"k3s": UNIT},
    "sysctls": {"net.ipv4.ip_forward": "1", "unknown": None},
}


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"files": {}},
        {"files": {"/etc/one": {"sha256": "aa", "mode": "0600"}}},
        {"files": {"/etc/gone": None}},
        {"units": {"k3s": UNIT}},
        {"sysctls": {"net.ipv4.ip_forward": 1}},
    ],
)
def test_what_is_as_wanted_is_no_difference(wanted: dict[str, object]) -> None:
    assert differences(READING, wanted) == []


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ({"files": {"/etc/one": {"mode": "0644"}}}, "files /etc/one mode: 0600, wanted 0644"),
        ({"files": {"/etc/new": {"sha256": "bb"}}}, "files /etc/new: none, wanted something"),
        ({"files": {"/etc/one": None}}, "files /etc/one: something, wanted none"),
        ({"files": {"/bin/two": {"sha256": "cc"}}}, "files /bin/two sha256: none, wanted cc"),
        ({"units": {"k3s": {"enabled": False}}}, "units k3s enabled: True, wanted False"),
        ({"units": {"k3s": {"outdated": ["/etc/one"]}}}, "units k3s outdated: [], wanted ['/etc/one']"),
        ({"units": {"k3s-agent": {"active": "active"}}}, "units k3s-agent: none, wanted something"),
        ({"sysctls": {"unknown": 1}}, "sysctls unknown: none, wanted 1"),
        ({"nothing": {"of": "this"}}, "nothing: none, wanted something"),
    ],
)
def test_a_difference_is_named_with_its_place(wanted: dict[str, object], difference: str) -> None:
    assert differences(READING, wanted) == [difference]


def test_all_differences_are_named() -> None:
    wanted = {"files": {"/etc/one": {"sha256": "bb", "mode": "0644"}}, "units": {"k3s": {"active": "failed"}}}
    assert len(differences(READING, wanted)) == 3


def test_wanted_files_are_what_a_reading_of_them_will_be() -> None:
    wanted = wanted_files(
        [
            {"path": "/etc/text", "content": "grüß\n"},
            {"path": "/bin/program", "sha256": "aa", "mode": "0755"},
            {"path": "/bin/link", "link": "program"},
        ]
    )
    assert wanted == {
        "/etc/text": {
            "sha256": hashlib.sha256("grüß\n".encode()).hexdigest(),
            "mode": "0644",
            "owner": "root",
            "group": "root",
        },
        "/bin/program": {"sha256": "aa", "mode": "0755", "owner": "root", "group": "root"},
        "/bin/link": {"link": "program"},
    }
