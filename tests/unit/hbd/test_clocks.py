"""How far clocks of agents are off, whatever the network and the daemon's own clock do."""

from __future__ import annotations

import random

import pytest

from hbd.clocks import ABSURD_SECONDS, Clocks
from hbd.model import Moment

WALL = 1_750_000_000.0


def moment(passed: float, step: float = 0.0) -> Moment:
    """step: seconds by which the daemon's wall clock was set."""
    return Moment(WALL + passed + step, 500.0 + passed)


def heard(clocks: Clocks, passed: float, *, behind: float = 0.0, delay: float = 0.01, step: float = 0.0) -> None:
    """behind: seconds by which the agent's clock is behind the true time."""
    clocks.heard(1, WALL + passed - behind - delay, moment(passed, step))


@pytest.mark.parametrize("behind", [0.0, 45.0, -45.0, 86_400.0, -3e8])
def test_a_clock_that_is_off_is_measured(behind: float) -> None:
    clocks = Clocks()
    heard(clocks, 0.0, behind=behind)
    assert clocks.offset(1) == pytest.approx(behind, abs=0.1)


def test_delays_of_the_network_are_no_offset() -> None:
    clocks, luck = Clocks(), random.Random(1)
    for number in range(60):
        heard(clocks, number * 10.0, delay=0.02 if number % 5 == 0 else luck.uniform(1.0, 300.0))
        assert clocks.offset(1) == pytest.approx(0.0, abs=0.1)


def test_a_clock_that_was_set_right_is_right_within_two_minutes() -> None:
    clocks = Clocks()
    for number in range(30):
        heard(clocks, number * 10.0, behind=-100.0)
    for number in range(30, 43):
        heard(clocks, number * 10.0)
    assert clocks.offset(1) == pytest.approx(0.0, abs=0.1)


def test_a_clock_that_drifts_is_followed() -> None:
    clocks = Clocks()
    for number in range(100):
        heard(clocks, number * 10.0, behind=number * 1.0)
    assert 85.0 < (clocks.offset(1) or 0.0) <= 99.1


@pytest.mark.parametrize("step", [86_400.0, -86_400.0, 3_600.0, -31.0])
def test_a_step_of_the_daemons_own_clock_is_nobodys_fault(step: float) -> None:
    clocks = Clocks()
    heard(clocks, 0.0)
    for number in range(1, 100):
        heard(clocks, number * 10.0, step=step)
        assert clocks.offset(1) == pytest.approx(0.0, abs=0.1)


def test_a_daemon_whose_clock_was_wrong_and_is_set_right_blames_nobody() -> None:
    clocks = Clocks()
    heard(clocks, 0.0, step=-5_000.0)
    heard(clocks, 10.0)
    assert clocks.offset(1) == pytest.approx(0.0, abs=0.1)


def test_a_clock_that_is_off_stays_so_when_the_daemons_steps() -> None:
    clocks = Clocks()
    heard(clocks, 0.0, behind=120.0)
    heard(clocks, 10.0, behind=120.0, step=86_400.0)
    assert clocks.offset(1) == pytest.approx(120.0, abs=0.1)


@pytest.mark.parametrize("says", [0.0, -1.0, 2.0**31, 2.0**33, 1e18])
def test_a_clock_from_another_age_is_off_by_far(says: float) -> None:
    clocks = Clocks()
    clocks.heard(1, says, moment(0.0))
    assert 1e8 < abs(clocks.offset(1) or 0.0) <= max(ABSURD_SECONDS, WALL)


@pytest.mark.parametrize("says", [float("nan"), float("inf")])
def test_what_is_no_time_says_nothing(says: float) -> None:
    clocks = Clocks()
    clocks.heard(1, says, moment(0.0))
    assert clocks.offset(1) is None


def test_of_a_host_that_was_never_heard_nothing_is_known() -> None:
    clocks = Clocks()
    heard(clocks, 0.0)
    assert clocks.offset(2) is None


def test_a_host_that_reports_seldom_is_measured_by_its_last_report() -> None:
    clocks = Clocks()
    heard(clocks, 0.0)
    heard(clocks, 3600.0, behind=50.0)
    assert clocks.offset(1) == pytest.approx(50.0, abs=0.1)


def test_a_deleted_host_is_forgotten() -> None:
    clocks = Clocks()
    heard(clocks, 0.0)
    clocks.forget(1)
    assert clocks.offset(1) is None
