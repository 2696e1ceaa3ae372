# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.plugin_utils._k3s_config import KINDS, Config, Kind, merge_config
from hypothesis import given
from hypothesis import strategies as st

OURS = {"disable": ["servicelb"], "node-name": "node1", "write-kubeconfig-mode": "0600"}

SCALARS = st.text(max_size=3) | st.integers() | st.booleans()
VALUES = SCALARS | st.lists(SCALARS, max_size=3)
NAMES = st.sampled_from(["node-label", "kubelet-arg", "disable", "tls-san", "not-known"])
PLAIN = st.dictionaries(NAMES, VALUES)
USERS = st.dictionaries(NAMES | NAMES.map("{}+".format), VALUES)
KIND = st.sampled_from(t.get_args(Kind))


@pytest.mark.parametrize(
    ("users", "merged"),
    [
        ({}, OURS),
        ({"node-name": "other"}, {**OURS, "node-name": "other"}),
        ({"disable": ["traefik"]}, {**OURS, "disable": ["traefik"]}),
        ({"disable": "traefik"}, {**OURS, "disable": "traefik"}),
        ({"disable+": ["traefik"]}, {**OURS, "disable": ["servicelb", "traefik"]}),
        ({"disable+": "traefik"}, {**OURS, "disable": ["servicelb", "traefik"]}),
        ({"node-name+": ["b"]}, {**OURS, "node-name": ["node1", "b"]}),
        ({"node-name+": "b"}, {**OURS, "node-name": ["node1", "b"]}),
        ({"node-label+": ["a=b"]}, {**OURS, "node-label": ["a=b"]}),
        ({"node-label+": "a=b"}, {**OURS, "node-label": "a=b"}),
        ({"node-label": "a=b", "node-label+": "c=d"}, {**OURS, "node-label": ["a=b", "c=d"]}),
        ({"not-known+": 1}, {**OURS, "not-known": 1}),
    ],
)
def test_a_users_key_replaces_ours_or_is_appended_to_it(users: Config, merged: Config) -> None:
    assert merge_config(OURS, users, "server") == merged


def test_each_kind_gets_what_it_takes() -> None:
    users = {"cluster-cidr": "10.0.0.0/16", "kubelet-arg": ["v=1"], "disable-apiserver-lb": True, "disable+": "traefik"}
    assert merge_config({}, users, "agent") == {"kubelet-arg": ["v=1"], "disable-apiserver-lb": True}
    assert merge_config({}, users, "server") == {
        "cluster-cidr": "10.0.0.0/16",
        "kubelet-arg": ["v=1"],
        "disable": "traefik",
    }


@given(ours=PLAIN, users=PLAIN, kind=KIND)
def test_the_users_key_wins(ours: Config, users: Config, kind: Kind) -> None:
    merged = merge_config(ours, users, kind)
    taken = {key: value for key, value in users.items() if kind in KINDS.get(key, t.get_args(Kind))}
    assert {key: merged[key] for key in taken} == taken
    assert merge_config(merged, users, kind) == merged


@given(ours=PLAIN, users=USERS, kind=KIND)
def test_no_key_is_left_that_appends(ours: Config, users: Config, kind: Kind) -> None:
    merged = merge_config(ours, users, kind)
    assert [key for key in merged if key.endswith("+")] == []
    assert merge_config(merged, {}, kind) == merged


@given(ours=PLAIN, users=USERS)
def test_what_is_appended_to_stays_in_front(ours: Config, users: Config) -> None:
    appended = {key[:-1] for key in users if key.endswith("+") and key[:-1] not in users} & ours.keys()
    merged = merge_config(ours, users, "server")
    for key in appended:
        old = ours[key] if isinstance(ours[key], list) else [ours[key]]
        assert merged[key][: len(old)] == old
