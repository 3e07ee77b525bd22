"""When something will be full, in days."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd.forecasts import DAY, YEAR, Forecast, forecast, words

NOW = 1_750_000_000.0
HOUR = 3600.0


def points(days, at):
    """at: days ago → percent."""
    hours = range(int(days * 24), 0, -1)
    return [(NOW - hour * HOUR, min(100.0, max(0.0, at(hour / 24)))) for hour in hours]


def told(days, at):
    return forecast(points(days, at), NOW)


@pytest.mark.parametrize(
    ("a_day", "used", "days"),
    [(30.0, 60.0, 1.3), (4.0, 50.0, 12.5), (1.0, 60.0, 40.0), (0.2, 50.0, 250.0)],
)
def test_what_fills_up_evenly_is_full_when_it_comes_to_that(a_day, used, days):
    found = told(60, lambda ago: used - a_day * ago)
    assert found.full_in == pytest.approx(days * DAY, rel=0.15)


def test_noise_changes_little():
    rng = random.Random(7)
    found = told(60, lambda ago: 50 - 2 * ago + rng.uniform(-1, 1))
    assert found.full_in == pytest.approx(25 * DAY, rel=0.25)


def test_what_stays_as_it_is_is_not_full_within_a_year():
    assert told(60, lambda ago: 70.0) == Forecast(None, YEAR)


def test_what_is_emptied_is_not_full_within_a_year():
    assert told(60, lambda ago: 20 + ago / 2) == Forecast(None, YEAR)


def test_no_more_is_told_than_was_watched_for():
    assert told(1.5, lambda ago: 70.0) == Forecast(None, 8 * DAY)
    assert told(4, lambda ago: 70.0) == Forecast(None, 24 * DAY)


def test_what_was_watched_for_half_a_day_says_nothing():
    assert told(0.5, lambda ago: 90 - 10 * ago) is None


def test_what_has_not_been_heard_for_long_says_nothing():
    assert forecast([(at - DAY, value) for at, value in points(30, lambda ago: 70.0)], NOW) is None


def test_what_is_emptied_every_night_says_nothing_of_an_end():
    found = told(60, lambda ago: 60 + 30 * (1 - ago % 1))
    assert found is None or found.full_in is None


def test_what_is_emptied_every_two_weeks_says_nothing_of_an_end():
    found = told(60, lambda ago: 40 + 3 * (14 - (ago + 4) % 14))
    assert found is None or found.full_in is None


def test_a_single_jump_is_no_trend():
    found = told(60, lambda ago: 40.0 if ago > 5 else 70.0)
    assert found == Forecast(None, YEAR)


def test_what_has_stopped_filling_says_nothing_of_an_end():
    found = told(60, lambda ago: 80.0 if ago < 1 else 80 - 8 * (ago - 1))
    assert found is None or found.full_in is None


def test_what_is_too_slow_for_a_year_is_not_full_within_one():
    assert told(60, lambda ago: 50 - 0.05 * ago) == Forecast(None, YEAR)


def test_what_is_full_is_full_now():
    assert words(told(10, lambda ago: 100.2 - 3 * ago)) == "now"
    assert words(told(10, lambda ago: 100.0)) == "now"


def test_a_gap_in_what_is_known_is_no_trend():
    found = forecast([one for one in points(60, lambda ago: 50 - ago) if not 10 * DAY < NOW - one[0] < 14 * DAY], NOW)
    assert found.full_in == pytest.approx(50 * DAY, rel=0.15)


@settings(max_examples=60)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=400))
def test_a_forecast_never_looks_further_than_eight_times_back(values):
    known = [(NOW - (len(values) - place) * HOUR, value) for place, value in enumerate(values)]
    found = forecast(known, NOW)
    if found is not None:
        assert (found.full_in is None) is not (found.not_within is None)
        assert (found.full_in or found.not_within or 0.0) <= 8 * max(DAY, len(values) * HOUR) / 0.75


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ""),
        (Forecast(5 * HOUR, None), "in about 5 hours"),
        (Forecast(HOUR, None), "in about 1 hour"),
        (Forecast(12.3 * DAY, None), "in about 12 days"),
        (Forecast(30 * DAY, None), "in about 4 weeks"),
        (Forecast(200 * DAY, None), "in about 7 months"),
        (Forecast(0.0, None), "now"),
        (Forecast(None, 8 * DAY), "not within 8 days"),
        (Forecast(None, 80 * DAY), "not within 2 months"),
        (Forecast(None, YEAR), "not within a year"),
    ],
)
def test_a_forecast_is_worded_no_finer_than_it_can_be_known(found, expected):
    assert words(found) == expected
