# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
import ssl
from pathlib import Path

import pytest
from homelab import internet, settings
from homelab.model import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab("home", "192.168.100", 1, tmp_path)


def records(zone: str) -> dict[str, str]:
    """The addresses that a zone file gives names."""
    text = (settings.LAB_SOURCE / "internet" / zone).read_text()
    return dict(re.findall(r"^(\S+)\s+A\s+(\S+)$", text, re.MULTILINE))


def test_secrets_stay_while_the_lab_does(lab: Lab) -> None:
    internet.write_secrets(lab)
    first = internet.personal_files(lab)
    internet.write_secrets(lab)
    assert internet.personal_files(lab) == first


def test_secrets_of_two_labs_differ(lab: Lab, tmp_path: Path) -> None:
    other = Lab("other", "192.168.101", 1, tmp_path / "other")
    other.state.mkdir()
    for each in (lab, other):
        internet.write_secrets(each)
    assert lab.tsig_secret.read_text() != other.tsig_secret.read_text()
    assert lab.acme_ca.read_text() != other.acme_ca.read_text()


def test_secrets_are_not_for_all_to_read(lab: Lab) -> None:
    internet.write_secrets(lab)
    assert {path.stat().st_mode & 0o077 for path in (lab.tsig_secret, internet.private_key(lab))} == {0}


def test_the_authority_is_known_by_its_certificate(lab: Lab) -> None:
    internet.write_secrets(lab)
    (known,) = ssl.create_default_context(cafile=str(lab.acme_ca)).get_ca_certs()
    assert known["subjectAltName"] == (("DNS", settings.ACME_HOST),)


def test_names_lead_where_the_machines_are() -> None:
    assert records("root.zone") == {
        "ns.example.": settings.INTERNET_ADDRESS,
        f"{settings.ACME_HOST}.": settings.INTERNET_ADDRESS,
    }
    assert records("home.example.zone") == {
        "@": settings.PUBLIC_ADDRESS,
        "*": settings.PUBLIC_ADDRESS,
        "elsewhere": settings.OUTSIDE_ADDRESS,
    }


def test_the_authority_listens_where_the_lab_says(lab: Lab) -> None:
    lab.save()
    told = json.loads((lab.state / "lab.json").read_text())["internet"]
    pebble = json.loads((settings.LAB_SOURCE / "internet" / "pebble.json").read_text())["pebble"]
    for url, listener in ((told["acme_directory"], "listenAddress"), (told["acme_roots"], "managementListenAddress")):
        assert re.findall(r":(\d+)", url) == re.findall(r":(\d+)", pebble[listener])
