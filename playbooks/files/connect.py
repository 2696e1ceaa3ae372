# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect to each ADDRESS:PORT once a second, for some seconds, and say as JSON how often that came about."""

from __future__ import annotations

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

# Seconds for a connection to come about. After a whole one its first packet is sent again, which is no first one to the
# kernel of a node that has let the other pass.
PATIENCE = 0.9


def connect(place: str, seconds: int) -> dict[str, object]:
    """Connect to a place, at least once."""
    address, _colon, port = place.rpartition(":")
    started = time.monotonic()
    tried, made, error = 0, 0, ""
    while not tried or time.monotonic() - started < seconds:
        tried += 1
        try:
            socket.create_connection((address, int(port)), timeout=PATIENCE).close()
            made += 1
        except OSError as exc:
            error = exc.strerror or str(exc)
        time.sleep(max(0.0, started + tried - time.monotonic()))
    return {"address": address, "port": int(port), "tried": tried, "made": made, "error": error}


def main() -> None:
    seconds, *places = sys.argv[1:]
    with ThreadPoolExecutor(max_workers=len(places)) as at_once:
        print(json.dumps(list(at_once.map(connect, places, [int(seconds)] * len(places)))))


if __name__ == "__main__":
    main()
