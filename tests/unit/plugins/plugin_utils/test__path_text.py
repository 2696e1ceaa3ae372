# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import yaml
from ansible_collections.homecloud.k3s.plugins.modules import kube_path_info
from ansible_collections.homecloud.k3s.plugins.plugin_utils._path_text import path_lines

SAMPLES = {key: part["sample"] for key, part in yaml.safe_load(kube_path_info.RETURN).items()}


def test_a_way() -> None:
    assert path_lines({"paths": SAMPLES["paths"]}) == [
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
    ]


def test_ways_are_apart() -> None:
    (way,) = SAMPLES["paths"]
    one = path_lines({"paths": [way]})
    assert path_lines({"paths": [way, way]}) == [*one, "", *one]
    assert path_lines({"paths": []}) == []


def test_what_the_kernel_has_shown() -> None:
    (way,) = SAMPLES["paths"]
    lines = path_lines({"paths": [way], "trace": SAMPLES["trace"], "connections": []})
    assert lines[lines.index("") :][-7:] == [
        "",
        "What the kernel has shown",
        "=========================",
        "First packets of connections that the kernel has traced: 3. All went as explained.",
        "",
        "FROM THE CONTROLLER TO  RESULT",
        "10.43.0.41:80/tcp       not tried: it is only reached from inside of the cluster",
    ]


def test_where_the_kernel_disagrees() -> None:
    trace = {**SAMPLES["trace"], "agrees": False, "differences": ["At step 1.", "At step 2."]}
    assert path_lines({"paths": [], "trace": trace})[2:] == [
        "First packets of connections that the kernel has traced: 3. Not all went as explained.",
        "- At step 1.",
        "- At step 2.",
    ]


def test_nothing_seen_is_no_difference() -> None:
    trace = {"seen": 0, "agrees": False, "steps": [], "differences": ["No first packet came by in 5 s."]}
    assert path_lines({"paths": [], "trace": trace})[2:] == [
        "The kernel has seen no packet, which neither confirms nor disproves what is explained.",
        "- No first packet came by in 5 s.",
    ]


def test_what_became_of_connections() -> None:
    (way,) = SAMPLES["paths"]
    doors = [("node_port", "fd00::1", 30080, "tcp"), ("load_balancer", "192.0.2.1", 80, "tcp")]
    doors += [("load_balancer", "192.0.2.1", 53, "udp"), ("cluster_ip", "10.43.0.41", 53, "udp")]
    keys = ("kind", "address", "port", "protocol")
    paths = [{**way, "frontend": {**way["frontend"], **dict(zip(keys, door))}} for door in doors]
    connections = [
        {"address": "fd00::1", "port": 30080, "tried": 5, "made": 5, "error": ""},
        {"address": "192.0.2.1", "port": 80, "tried": 5, "made": 1, "error": "timed out"},
    ]
    assert path_lines({"paths": paths, "trace": SAMPLES["trace"], "connections": connections})[-4:] == [
        "[fd00::1]:30080/tcp     5 of 5 connections came about",
        "192.0.2.1:80/tcp        1 of 5 connections came about (timed out)",
        "192.0.2.1:53/udp        not tried: only connections of TCP are made",
        "10.43.0.41:53/udp       not tried: only connections of TCP are made",
    ]


def test_what_is_refused_has_no_endpoints() -> None:
    (way,) = SAMPLES["paths"]
    refused = {**way, "endpoints": [], "frontend": {**way["frontend"], "kind": "other", "service": ""}}
    lines = path_lines({"paths": [refused]})
    assert lines[0] == "address 10.43.0.41, port 80/tcp, from 10.42.0.9 (pod)"
    assert not any("ENDPOINT" in line for line in lines)


def test_a_source_may_not_be_known() -> None:
    (way,) = SAMPLES["paths"]
    endpoint = {**way["endpoints"][0], "source_seen": "", "address": "fd42::7", "share": 0.415}
    lines = path_lines({"paths": [{**way, "endpoints": [endpoint]}]})
    assert "[fd42::7]:80  41.5%  not known" in lines
