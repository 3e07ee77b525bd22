from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.web.throttle import Throttle

SLACK = 1e-6  # of the floating point

rates = st.floats(0.01, 1000)
bursts = st.integers(1, 100)
gaps = st.lists(st.floats(0, 10), max_size=60)


def test_a_burst_is_allowed_and_the_next_one_waits() -> None:
    throttle = Throttle(rate=2.0, burst=3)
    assert [throttle.take("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_tokens_come_back_at_the_rate() -> None:
    throttle = Throttle(rate=2.0, burst=1)
    assert [throttle.take("a", now) for now in (100.0, 100.25, 100.5)] == [0.0, 0.25, 0.0]


def test_a_bucket_is_never_fuller_than_full() -> None:
    throttle = Throttle(rate=1.0, burst=2)
    throttle.take("a", 0.0)
    assert [throttle.take("a", 1000.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_who_is_refused_loses_no_token() -> None:
    throttle = Throttle(rate=1.0, burst=1)
    throttle.take("a", 0.0)
    for _ in range(100):
        assert throttle.take("a", 0.5) == 0.5
    assert throttle.take("a", 1.0) == 0.0


def test_keys_have_nothing_to_do_with_each_other() -> None:
    throttle = Throttle(rate=1.0, burst=1)
    assert (throttle.take("a", 0.0), throttle.take("b", 0.0)) == (0.0, 0.0)


def test_a_rate_of_zero_is_no_limit_and_keeps_nothing() -> None:
    throttle = Throttle(rate=0.0, burst=1)
    assert not any(throttle.take("a", 0.0) for _ in range(100))
    assert len(throttle) == 0


@pytest.mark.parametrize(("rate", "burst"), [(1.0, 5), (2.0, 1), (0.0, 1)])
def test_other_limits_are_in_force_at_once_with_full_buckets(rate: float, burst: int) -> None:
    throttle = Throttle(rate=1.0, burst=1)
    throttle.take("a", 0.0)
    throttle.configure(rate, burst)
    assert throttle.take("a", 0.0) == 0.0


def test_the_same_limits_again_change_nothing() -> None:
    throttle = Throttle(rate=1.0, burst=1)
    throttle.take("a", 0.0)
    throttle.configure(1.0, 1)
    assert throttle.take("a", 0.0) == 1.0


def test_full_buckets_are_the_first_to_be_forgotten() -> None:
    throttle = Throttle(rate=1.0, burst=1, max_keys=100)
    for number in range(100):
        throttle.take(f"early {number}", 0.0)
    throttle.take("late", 10.0)
    assert len(throttle) == 1
    assert throttle.take("late", 10.0) == 1.0


def test_who_has_spent_most_is_remembered_among_ever_so_many_others() -> None:
    throttle = Throttle(rate=1.0, burst=10, max_keys=100)
    while not throttle.take("greedy", 0.0):
        pass
    for number in range(10_000):
        throttle.take(f"other {number}", 0.0)
        assert len(throttle) <= 100
    assert throttle.take("greedy", 0.0) == 1.0


@given(rate=rates, burst=bursts, gaps=gaps)
def test_nobody_gets_more_than_a_burst_and_the_rate(rate: float, burst: int, gaps: list[float]) -> None:
    throttle = Throttle(rate, burst)
    now, allowed = 0.0, 0
    for gap in gaps:
        now += gap
        allowed += throttle.take("a", now) == 0.0
        assert allowed <= burst + rate * now + SLACK


@given(rate=rates, burst=bursts, gaps=gaps)
def test_who_waits_as_told_is_allowed(rate: float, burst: int, gaps: list[float]) -> None:
    throttle = Throttle(rate, burst)
    now = 0.0
    for gap in gaps:
        now += gap
        wait = throttle.take("a", now)
        if wait:
            assert wait <= 1 / rate + SLACK
            now += wait + SLACK
            assert throttle.take("a", now) == 0.0


@given(rate=rates, burst=bursts, count=st.integers(0, 100))
def test_who_keeps_to_the_rate_is_never_refused(rate: float, burst: int, count: int) -> None:
    throttle = Throttle(rate, burst)
    assert not any(throttle.take("a", number * (1 / rate + SLACK)) for number in range(count))


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 1)), max_size=80), st.integers(1, 20))
def test_memory_has_a_limit(calls: list[tuple[str, float]], max_keys: int) -> None:
    throttle = Throttle(1.0, 3, max_keys)
    now = 0.0
    for key, gap in calls:
        now += gap
        throttle.take(key, now)
        assert len(throttle) <= max_keys
