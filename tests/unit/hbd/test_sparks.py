"""The last hour by the minute, for small lines."""

from __future__ import annotations

from math import inf, nan

import pytest

from hbd.model import Sample
from hbd.rings import Rings
from hbd.sparks import MINUTES, Sparks

NOW = 29_000_000  # Unix minutes


@pytest.fixture
def sparks():
    return Sparks()


def put(sparks, minute, value, plugin="cpu_monitor", metric="cpu_percent", host=1, second=0.0):
    sparks.add(host, Sample(plugin, minute * 60 + second, {metric: value}))


def cpu(sparks, minute=NOW):
    """How many minutes ago → value."""
    line = sparks.line(1, minute)
    if line is None:
        return {}
    return {MINUTES - place: value for place, value in enumerate(line.cpu_percent) if value is not None}


def test_a_minute_is_the_mean_of_what_came_in_it(sparks):
    for second, value in enumerate((10, 20, 60)):
        put(sparks, NOW - 5, value, second=second)
    assert cpu(sparks) == {5: 30}


def test_a_line_is_of_the_last_sixty_whole_minutes(sparks):
    for ago in (61, 60, 1):
        put(sparks, NOW - ago, 7.0)
    assert cpu(sparks) == {60: 7, 1: 7}
    assert len(sparks.line(1, NOW).cpu_percent) == MINUTES


def test_the_minute_that_still_runs_is_not_in_a_line(sparks):
    put(sparks, NOW, 7.0)
    assert cpu(sparks) == {}


def test_the_minute_that_still_runs_takes_nobodys_place(sparks):
    put(sparks, NOW - 60, 9.0)
    put(sparks, NOW, 7.0)
    assert cpu(sparks) == {60: 9}


def test_a_line_is_made_once_a_minute(sparks):
    put(sparks, NOW - 1, 7.0)
    line = sparks.line(1, NOW)
    put(sparks, NOW - 1, 9.0)
    assert sparks.line(1, NOW) is line
    assert cpu(sparks, NOW + 1) == {2: 8}


def test_memory_has_a_line_of_its_own(sparks):
    put(sparks, NOW - 1, 43.6, "memory_monitor", "percent")
    line = sparks.line(1, NOW)
    assert (line.memory_percent[-1], line.cpu_percent[-1]) == (44, None)


def test_what_comes_late_is_put_where_it_belongs(sparks):
    put(sparks, NOW - 1, 10.0)
    put(sparks, NOW - 30, 50.0)
    assert cpu(sparks) == {30: 50, 1: 10}


def test_what_is_older_than_an_hour_takes_nobodys_place(sparks):
    put(sparks, NOW - 1, 10.0)
    put(sparks, NOW - 63, 50.0)
    assert cpu(sparks) == {1: 10}


def test_an_hour_later_nothing_is_left_of_it(sparks):
    put(sparks, NOW - 1, 10.0)
    assert cpu(sparks, NOW + MINUTES) == {}


def test_what_a_fast_clock_wrote_keeps_no_place(sparks):
    put(sparks, NOW + 62, 99.0)
    assert cpu(sparks) == {}
    put(sparks, NOW, 10.0)
    assert cpu(sparks, NOW + 1) == {1: 10}


@pytest.mark.parametrize(
    "value",
    [None, "7", True, nan, inf, [1], 1.1e6, 1e39, -1e39, *(pytest.param(s * 10**400, id=f"huge{s}") for s in (1, -1))],
)
def test_what_is_no_percent_of_anything_is_passed_over(sparks, value):
    put(sparks, NOW - 1, value)
    assert sparks.line(1, NOW) is None


def test_what_is_no_percent_leaves_the_rest_of_its_minute(sparks):
    for value in (10.0, 1e39, 20.0):
        put(sparks, NOW - 1, value)
    assert cpu(sparks) == {1: 15}


@pytest.mark.parametrize("mean", [nan, inf, 1e39, -1e300])
def test_filling_passes_over_what_is_no_percent(sparks, mean):
    sparks.fill(1, [("cpu_monitor", NOW - 1, mean, 6), ("cpu_monitor", NOW - 2, 20.0, 6)])
    assert cpu(sparks) == {2: 20}


@pytest.mark.parametrize("minute", [-1, 1 << 40])
def test_a_time_that_is_none_is_passed_over(sparks, minute):
    put(sparks, minute, 7.0)
    assert sparks.line(1, NOW) is None


def test_other_plugins_have_no_line(sparks):
    put(sparks, NOW - 1, 1.0, "disk_monitor")
    assert sparks.line(1, NOW) is None


def test_a_host_that_is_dropped_is_forgotten(sparks):
    put(sparks, NOW - 1, 7.0)
    sparks.drop(1)
    assert sparks.line(1, NOW) is None


def test_filling_leaves_alone_what_is_here(sparks):
    put(sparks, NOW - 1, 10.0)
    sparks.fill(1, [("cpu_monitor", NOW - 1, 90.0, 6), ("cpu_monitor", NOW - 2, 20.0, 6)])
    assert cpu(sparks) == {2: 20, 1: 10}


def test_what_comes_after_filling_is_weighed_with_it(sparks):
    sparks.fill(1, [("cpu_monitor", NOW - 1, 10.0, 3)])
    put(sparks, NOW - 1, 50.0)
    assert cpu(sparks) == {1: 20}


def test_a_line_is_whole_once_it_reaches_back_an_hour_or_was_filled(sparks):
    put(sparks, NOW - 1, 10.0)
    assert not sparks.is_whole(1, NOW)
    assert sparks.is_whole(1, NOW - 1 + MINUTES)
    sparks.fill(1, [])
    assert sparks.is_whole(1, NOW)


def test_rings_hand_on_what_they_take():
    rings = Rings(10)
    rings.add(1, Sample("cpu_monitor", NOW * 60 - 30, {"cpu_percent": 12.0}))
    assert cpu(rings.sparks) == {1: 12}
    rings.drop(1)
    assert rings.sparks.line(1, NOW) is None
