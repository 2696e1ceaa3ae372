# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The one way to wait for something of a cluster.

from __future__ import annotations

import time
import typing as t

from ansible_collections.homecloud.k3s.plugins.module_utils._refusal import is_forbidden, is_outage

if t.TYPE_CHECKING:
    from collections.abc import Callable

    State = t.TypeVar("State")

_LONGEST_PAUSE: t.Final = 2.0


def wait(read: Callable[[], State], is_done: Callable[[State], bool], timeout: float) -> State:
    """Read until it is done or TIMEOUT seconds have passed, and return what was read last.

    An API that does not answer is no end: it may just be restarting. Only one that still does not after the time raises
    what its client raises.
    """
    deadline = time.monotonic() + timeout
    pause, has_read = 0.05, False
    while True:
        try:
            state = read()
            if is_done(state) or time.monotonic() >= deadline:
                return state
            has_read = True
        except Exception as error:  # pylint: disable=broad-exception-caught
            # An API that has just started does not know yet who may do what.
            passes = is_outage(error) or (has_read and is_forbidden(error))
            if not passes or time.monotonic() >= deadline:
                raise
        time.sleep(min(pause, max(deadline - time.monotonic(), 0)))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
