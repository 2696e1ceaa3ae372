# Copyright (c) 2026, homecloud.k3s contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.homecloud.k3s.plugins.module_utils import _waiting


class ApiException(Exception):
    """What the client raises for an answer that is an error."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Clock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += max(seconds, 0.001)


@pytest.fixture(name="clock", autouse=True)
def clock_fixture(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_waiting, "time", clock)
    return clock


def reading(*states: int | Exception) -> t.Callable[[], int]:
    """What is read, or raised, one after the other; the last one for ever."""
    left = list(states)

    def read() -> int:
        state = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(state, Exception):
            raise state
        return state

    return read


def is_two(state: int) -> bool:
    return state == 2


def test_what_is_so_already_takes_no_time(clock: Clock) -> None:
    assert _waiting.wait(reading(2), is_two, 60) == 2
    assert clock.now == 0


def test_it_is_read_until_it_is_so(clock: Clock) -> None:
    assert _waiting.wait(reading(0, 1, 2), is_two, 60) == 2
    assert 0 < clock.now < 60


def test_what_never_comes_is_waited_for_no_longer_than_asked(clock: Clock) -> None:
    assert _waiting.wait(reading(1), is_two, 60) == 1
    assert clock.now == pytest.approx(60, abs=0.1)


def test_without_time_it_is_read_once(clock: Clock) -> None:
    assert _waiting.wait(reading(1), is_two, 0) == 1
    assert clock.now == 0


@pytest.mark.parametrize("outage", [ConnectionRefusedError(), ApiException(status=503), ApiException(status=500)])
def test_an_api_that_is_away_for_a_while_is_waited_for(outage: Exception) -> None:
    assert _waiting.wait(reading(1, outage, outage, 2), is_two, 60) == 2
    assert _waiting.wait(reading(outage, 2), is_two, 60) == 2


def test_an_api_that_stays_away_is_said(clock: Clock) -> None:
    with pytest.raises(ConnectionRefusedError):
        _waiting.wait(reading(1, ConnectionRefusedError()), is_two, 60)
    assert clock.now == pytest.approx(60, abs=0.1)


def test_whoever_may_not_read_does_not_wait(clock: Clock) -> None:
    with pytest.raises(ApiException):
        _waiting.wait(reading(ApiException(status=403)), is_two, 60)
    assert clock.now == 0


def test_an_api_that_has_restarted_may_not_know_yet_who_may_read() -> None:
    assert _waiting.wait(reading(1, ApiException(status=403), 2), is_two, 60) == 2


def test_a_fault_of_ours_is_not_waited_out(clock: Clock) -> None:
    with pytest.raises(KeyError):
        _waiting.wait(reading(1, KeyError("oops")), is_two, 60)
    assert clock.now < 1
