# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils._node_sets import read_sets

SAVED = """\
create KUBE-DST-A hash:ip family inet hashsize 1024 maxelem 65536 timeout 0
add KUBE-DST-A 10.42.0.7 timeout 0
add KUBE-DST-A 10.42.1.3
create nets hash:net family inet hashsize 1024 maxelem 65536
add nets 192.168.1.0/24
create range bitmap:ip range 10.0.0.0-10.0.0.255
add range 10.0.0.4-10.0.0.7
create ports hash:ip,port family inet hashsize 1024 maxelem 65536
add ports 10.42.0.7,tcp:80
create but hash:net family inet hashsize 1024 maxelem 65536
add but 10.0.0.0/8
add but 10.1.0.0/16 nomatch
create six hash:ip family inet6 hashsize 1024 maxelem 65536
add six fd42::7
create empty hash:ip family inet hashsize 1024 maxelem 65536
"""


def test_sets_of_addresses_are_read_and_no_others() -> None:
    assert read_sets(SAVED.splitlines()) == {
        "KUBE-DST-A": ["10.42.0.7/32", "10.42.1.3/32"],
        "nets": ["192.168.1.0/24"],
        "range": ["10.0.0.4/30"],
        "six": ["fd42::7/128"],
        "empty": [],
    }


@pytest.mark.parametrize("entry", ["what", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.0/99"])
def test_a_set_that_is_not_understood_is_left_out(entry: str) -> None:
    assert read_sets(["create a hash:ip family inet", f"add a {entry}", "", "add b 10.0.0.1", "nonsense"]) == {}
