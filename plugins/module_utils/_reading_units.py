# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection. The units of systemd that matter to k3s, from one call of systemctl.

from __future__ import annotations

from dataclasses import dataclass

_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,NeedDaemonReload,WantedBy,ExecMainStartTimestampMonotonic"


@dataclass(frozen=True)
class Unit:
    """A unit; as it is made without arguments there is none of that name."""

    loaded: bool = False
    enabled: bool = False
    active: str = "inactive"
    needs_reload: bool = False
    started: float | None = None  # when the running process did, in seconds of the monotonic clock


def command(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command whose output `units` reads."""
    return ("systemctl", "show", f"--property={_PROPERTIES}", *(f"{name}.service" for name in names))


def units(shown: str) -> dict[str, Unit]:
    """Return the services in the output of `systemctl show`, without the ending of their names."""
    found = {}
    for block in shown.strip().split("\n\n"):
        properties = dict(line.partition("=")[::2] for line in block.splitlines())
        name = properties.get("Id", "")
        if name.endswith(".service") and properties.get("LoadState") == "loaded":
            found[name[: -len(".service")]] = _unit(properties)
    return found


def _unit(properties: dict[str, str]) -> Unit:
    state = properties.get("UnitFileState")
    active = properties.get("ActiveState", "inactive")
    started = int(properties.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    return Unit(
        loaded=True,
        # Made from a script in /etc/init.d: enabled where another unit wants it.
        enabled=state == "enabled" or (state == "generated" and bool(properties.get("WantedBy"))),
        active=active,
        needs_reload=properties.get("NeedDaemonReload") == "yes",
        # k3s is activating for as long as it waits for its server, which may be for ever with an old configuration.
        started=started if started and active not in {"inactive", "failed"} else None,
    )
