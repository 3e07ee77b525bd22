import pytest

from hbd import spans
from hbd.rollups import DAY, HOUR, MINUTE, QUARTER, Bucket
from hbd.spans import Plan, aggregated, plan, points, rates

NOW = 1_750_003_200.0
KEPT = {MINUTE: 30 * DAY, QUARTER: 180 * DAY, HOUR: 1825 * DAY, DAY: 7300 * DAY}


def bucket(start, value, count=1):
    return Bucket(start, count, value, value, value, value)


@pytest.mark.parametrize(
    ("span", "tier", "step"),
    [
        (HOUR, MINUTE, 60),
        (8 * HOUR, MINUTE, 60),
        (DAY, MINUTE, 300),
        (7 * DAY, QUARTER, 1800),
        (30 * DAY, HOUR, 7200),
        (365 * DAY, DAY, DAY),
        (5 * 365 * DAY, DAY, 7 * DAY),
    ],
)
def test_without_a_step_an_answer_has_some_hundred_points(span, tier, step):
    found = plan(NOW - span, NOW, None, KEPT, NOW)
    assert (found.tier, found.step) == (tier, step)


def test_a_step_is_made_of_the_longest_rollups_that_fit():
    assert plan(NOW - DAY, NOW, 1800, KEPT, NOW) == Plan(QUARTER, 1800, int(NOW) - DAY, int(NOW))


def test_a_step_that_no_rollup_fits_becomes_longer():
    assert plan(NOW - HOUR, NOW, 90, KEPT, NOW).step == 120


def test_a_step_below_a_minute_is_a_minute():
    assert plan(NOW - HOUR, NOW, 10, KEPT, NOW).step == MINUTE


@pytest.mark.parametrize(
    ("age", "tier"), [(31 * DAY, QUARTER), (181 * DAY, HOUR), (1826 * DAY, DAY), (9000 * DAY, DAY)]
)
def test_what_is_not_kept_so_fine_any_more_is_told_coarser(age, tier):
    assert plan(NOW - age, NOW - age + HOUR, 60, KEPT, NOW).tier == tier


def test_a_span_is_widened_to_whole_steps():
    found = plan(NOW + 10, NOW + 310, 300, KEPT, NOW + 400)
    assert (found.first, found.end) == (NOW, NOW + 600)


def test_points_are_put_together_by_count():
    (point,) = points([bucket(0, 1.0, 3), bucket(60, 5.0, 1)], 120)
    assert (point.start, point.count, point.low, point.high, point.mean, point.last) == (0, 4, 1.0, 5.0, 2.0, 5.0)


def test_a_point_that_nothing_is_known_of_is_left_out():
    assert [point.start for point in points([bucket(0, 1.0), bucket(600, 1.0)], 120)] == [0, 600]


def test_a_counter_is_told_as_what_it_grew_per_second():
    assert [(rate.start, rate.mean) for rate in rates([bucket(0, 100.0), bucket(60, 160.0)])] == [(60, 1.0)]


def test_a_counter_that_began_anew_has_a_gap():
    assert [rate.start for rate in rates([bucket(0, 100.0), bucket(60, 5.0), bucket(120, 65.0)])] == [120]


@pytest.mark.parametrize(
    ("how", "mean", "low", "high"), [("sum", 6.0, 6.0, 6.0), ("mean", 3.0, 2.0, 4.0), ("max", 4.0, 2.0, 4.0)]
)
def test_hosts_are_put_together(how, mean, low, high):
    (point,) = aggregated([[bucket(0, 2.0)], [bucket(0, 4.0)]], how)
    assert (point.mean, point.low, point.high, point.count) == (mean, low, high, 2)


def test_a_host_without_a_point_is_left_out_of_it():
    found = aggregated([[bucket(0, 2.0), bucket(60, 2.0)], [bucket(60, 4.0)]], "sum")
    assert [(point.start, point.mean) for point in found] == [(0, 2.0), (60, 6.0)]


def test_every_usual_step_is_of_whole_minutes():
    assert all(step % MINUTE == 0 for step in spans.STEPS)
