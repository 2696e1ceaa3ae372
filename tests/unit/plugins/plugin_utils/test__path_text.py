# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import yaml
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_text import path_lines

SAMPLES = {key: part["sample"] for key, part in yaml.safe_load(kube_path_info.RETURN).items()}


def test_a_way_and_what_is_wrong() -> None:
    assert path_lines(SAMPLES) == [
        "default/mysite, cluster IP 10.43.0.41, port 80/tcp, from 10.42.0.9 (pod)",
        "========================================================================",
        SAMPLES["paths"][0]["reason"],
        "",
        "STEP  TABLE  CHAIN       MATCHED  ACTION               SHARE",
        "1     nat    PREROUTING  all      go to KUBE-SERVICES  all",
        "",
        "ENDPOINT      SHARE  SEES THE SOURCE",
        "10.42.0.7:80  1/2    10.42.0.9",
        "10.42.1.4:80  1/2    10.42.0.9",
        "",
        f"ERROR missing_jump: {SAMPLES['findings'][0]['message']}",
        "  seen: not there: -A PREROUTING -j KUBE-SERVICES",
        f"  to do: {SAMPLES['findings'][0]['advice']}",
    ]


def test_what_is_refused_has_no_endpoints() -> None:
    (way,) = SAMPLES["paths"]
    refused = {**way, "endpoints": [], "frontend": {**way["frontend"], "kind": "other", "service": ""}}
    lines = path_lines({"paths": [refused], "findings": []})
    assert lines[0] == "address 10.43.0.41, port 80/tcp, from 10.42.0.9 (pod)"
    assert lines[-2:] == ["", "Nothing is wrong with the rules."]
    assert not any("ENDPOINT" in line for line in lines)


def test_a_source_may_not_be_known() -> None:
    (way,) = SAMPLES["paths"]
    endpoint = {**way["endpoints"][0], "source_seen": "", "address": "fd42::7", "share": 0.415}
    lines = path_lines({"paths": [{**way, "endpoints": [endpoint]}], "findings": []})
    assert "[fd42::7]:80  41.5%  not known" in lines
