"""When a disk will be full: found where it fills up, quiet where it does not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.trends import EMPTY, FAR, POINT_SECONDS, Trend, follow, pack, unpack

DISK = ("/", "percent")
START = 1_750_000_000.0
STEP = 150.0  # seconds between the samples of these tests
WARNING_HOURS, HOLD = 24.0, 1800.0

Fullness = Callable[[float], float]


def measured(percent: float) -> float:
    """As an agent sends it."""
    return round(min(100.0, max(0.0, percent)), 1)


def followed(fullness: Fullness, hours: float, trend: Trend = EMPTY, begin: float = 0.0) -> Trend:
    """fullness: hours since the start to percent."""
    for number in range(int(hours * 3600 / STEP) + 1):
        passed = begin + number * STEP / 3600
        trend = follow(trend, START + passed * 3600, {DISK: measured(fullness(passed))})
    return trend


def alarms(fullness: Fullness, hours: float, after: float = 0.0) -> list[float]:
    """Hours at which the shipped WARNING would be told, from ``after`` on."""
    trend, below, found = EMPTY, None, []
    for number in range(int(hours * 3600 / STEP)):
        passed = number * STEP / 3600
        percent = measured(fullness(passed))
        trend = follow(trend, START + passed * 3600, {DISK: percent})
        left = trend.hours_left(DISK, percent)
        if left is None or left >= WARNING_HOURS:
            below = None
            continue
        below = passed if below is None else below
        if (passed - below) * 3600 >= HOLD and passed >= after:
            found.append(passed)
    return found


@pytest.mark.parametrize(("rate", "hours"), [(20.0, 0.75), (8.0, 1.25), (4.0, 2.5), (1.5, 5.0)])
def test_time_left_is_that_of_an_even_fill(rate: float, hours: float) -> None:
    now = 70.0 + rate * hours
    left = followed(lambda passed: 70.0 + rate * passed, hours).hours_left(DISK, now)
    assert left == pytest.approx((100.0 - now) / rate, rel=0.05)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    left=st.floats(1.0, 20.0),
    full=st.floats(70.0, 93.0),
    noise=st.floats(0.0, 0.02),
    seed=st.integers(0, 2**32),
)
def test_a_noisy_linear_fill_is_found_within_a_tenth(left: float, full: float, noise: float, seed: int) -> None:
    """noise: standard deviation, as a fraction of what was filled within the look-back."""
    rate, luck = (100.0 - full) / left, random.Random(seed)
    look_back = next(hours for hours in (0.5, 1.0, 2.0, 4.0) if left <= 8 * hours * 0.8)
    spread = noise * rate * look_back
    trend = followed(lambda passed: full - rate * (5.0 - passed) + luck.gauss(0.0, spread), 5.0)
    found = trend.hours_left(DISK, full)
    assert found == pytest.approx(left, abs=max(0.1 / rate, 0.1 * left + 0.05))  # it is told in tenths of an hour


@settings(max_examples=20, deadline=None)
@given(full=st.floats(50.0, 100.0))
def test_a_constant_disk_never_alarms(full: float) -> None:
    if measured(full) < 100.0:
        assert alarms(lambda passed: full, 6.0) == []


@settings(max_examples=25, deadline=None)
@given(full=st.floats(60.0, 95.0), noise=st.floats(0.0, 2.0), seed=st.integers(0, 2**32))
def test_a_disk_that_only_trembles_never_alarms(full: float, noise: float, seed: int) -> None:
    luck = random.Random(seed)
    assert alarms(lambda passed: full + luck.gauss(0.0, noise), 12.0) == []


@settings(max_examples=20, deadline=None)
@given(period=st.floats(0.2, 20.0), height=st.floats(1.0, 40.0), phase=st.floats(0.0, 1.0))
def test_a_sawtooth_of_rotated_logs_does_not_alarm_once_it_was_seen(period: float, height: float, phase: float) -> None:
    def logs(passed: float) -> float:
        return 55.0 + height * math.modf(passed / period + phase)[0]

    # The climb that is under way at the start, and the first whole one, may be anything.
    assert alarms(logs, 2 * period + 24.0, after=2 * period + 0.1) == []


@settings(max_examples=25, deadline=None)
@given(at=st.floats(0.0, 8.0), height=st.floats(1.0, 40.0), took=st.floats(0.0, 0.3))
def test_one_copy_does_not_alarm(at: float, height: float, took: float) -> None:
    begins = 2.0 + at
    full = 55.0
    assert alarms(lambda passed: full + height * min(1.0, max(0.0, (passed - begins) / (took + 0.01))), 16.0) == []


def test_one_deletion_does_not_alarm() -> None:
    assert alarms(lambda passed: 90.0 if passed < 5 else 60.0, 20.0) == []


def test_what_has_stopped_filling_is_not_on_its_way() -> None:
    trend = followed(lambda passed: min(80.0, 60.0 + 10.0 * passed), 3.0)
    assert trend.hours_left(DISK, 80.0) == FAR


def test_a_fill_after_days_of_calm_is_told_within_the_hour_and_a_half() -> None:
    told = alarms(lambda passed: 60.0 + 10.0 * max(0.0, passed - 30.0), 34.0)
    assert 30.0 < told[0] < 31.5


def test_a_slow_fill_is_told_before_there_is_less_than_half_a_day_left() -> None:
    told = alarms(lambda passed: 60.0 + passed, 40.0)
    assert told[0] < 28.0


def test_no_more_is_foretold_than_eight_times_the_look_back() -> None:
    trend = followed(lambda passed: 60.0 + 5.0 * passed, 0.6)  # 7 hours left, half an hour looked at
    assert trend.hours_left(DISK, 63.0) == FAR


def test_nothing_is_known_at_first() -> None:
    assert followed(lambda passed: 60.0 + 20.0 * passed, 0.2).hours_left(DISK, 64.0) is None


def test_a_disk_less_than_half_full_is_left_alone() -> None:
    assert followed(lambda passed: 41.0 + passed, 5.0).hours_left(DISK, 46.0) is None


def test_a_disk_that_is_nearly_empty_is_not_tracked() -> None:
    assert followed(lambda passed: 20.0, 5.0) is EMPTY


def test_a_full_disk_has_no_time_left() -> None:
    assert followed(lambda passed: 60.0 + 20.0 * passed, 2.5).hours_left(DISK, 100.0) in (0.0, FAR)


def test_a_gap_of_some_measurements_does_not_hide_a_fill() -> None:
    trend = followed(lambda passed: 60.0 + 5.0 * passed, 2.0)
    trend = follow(trend, START + 2.1 * 3600, {})
    trend = followed(lambda passed: 60.0 + 5.0 * passed, 1.5, trend, begin=2.3)
    assert trend.hours_left(DISK, 79.0) == pytest.approx(21.0 / 5.0, rel=0.1)


def test_samples_between_two_points_change_nothing() -> None:
    trend = followed(lambda passed: 60.0, 1.0)
    assert follow(trend, trend.times[-1] + POINT_SECONDS - 1, {DISK: 99.0}) is trend


def test_a_sample_from_before_the_last_point_changes_nothing() -> None:
    trend = followed(lambda passed: 60.0, 1.0)
    assert follow(trend, START, {DISK: 99.0}) is trend


@pytest.mark.parametrize("at", [-1.0, 2.0**33, 1e300])
def test_an_absurd_time_makes_no_point(at: float) -> None:
    assert follow(EMPTY, at, {DISK: 60.0}) is EMPTY


def test_a_trend_does_not_grow_for_ever() -> None:
    assert len(pack(followed(lambda passed: 60.0 + passed / 10, 72.0))) < 2_000


def test_a_host_may_not_have_tracked_what_it_likes() -> None:
    many = {(f"/{number}", "percent"): 60.0 for number in range(1000)}
    assert len(follow(EMPTY, START, many).series) < 100


@settings(max_examples=20, deadline=None)
@given(hours=st.floats(0.0, 30.0), rate=st.floats(-1.0, 5.0))
def test_what_was_stored_goes_on_as_it_would_have(hours: float, rate: float) -> None:
    def fullness(passed: float) -> float:
        return 60.0 + rate * passed

    trend = followed(fullness, hours)
    again = unpack(pack(trend))
    assert again == unpack(pack(again))
    kept, restored = (followed(fullness, 2.0, one, begin=hours) for one in (trend, again))
    now = measured(fullness(hours + 2.0))
    assert kept.hours_left(DISK, now) == restored.hours_left(DISK, now)


@pytest.mark.parametrize(
    "stored",
    [b"", b"null", b"[]", b"[[-1],[]]", b'[[1],[["/","percent",[70000],[],[]]]]', b'[[],[["/","percent",[1],[],[]]]]'],
)
def test_a_damaged_trend_is_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack(stored)
