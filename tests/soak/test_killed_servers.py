# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any of three servers loses its power while the API is written to."""

from __future__ import annotations

import typing as t

from board import becomes_whole
from scenario import wait_until
from servers import SERVERS, Writer, holder

if t.TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from scenario import Kubectl, Lab


def test_nothing_that_was_acknowledged_is_lost(
    turn: int, lab: Lab, kubectl: Kubectl, lot: random.Random, record_property: Callable[[str, object], None]
) -> None:
    lost, at_the_address, log = lot.choice(SERVERS), holder(lab), f"log-{turn}"
    enough = lot.randrange(5, 40)
    kubectl("create", "configmap", log)
    with Writer(kubectl, log) as writer:
        wait_until(lambda: len(writer.written) > enough)
        lab.off(lost)
        before = len(writer.written)
        wait_until(lambda: len(writer.written) > before + 10)
    stored = kubectl.get("configmap", log)["data"]
    assert [number for number in writer.written if str(number) not in stored] == []
    whose = "which held the address" if lost == at_the_address else "another had the address"
    record_property(
        f"{lost} off ({whose})", f"no write for {writer.longest:.1f} s, {len(writer.written)} were acknowledged"
    )
    lab.switch_on()
    becomes_whole(lab, kubectl)
