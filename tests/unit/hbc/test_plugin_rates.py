import pytest

from hbc.plugins.rates import Rates, per_second

SERIES = [
    # name, readings ten seconds apart, the rate expected for each interval (None: a gap)
    ("steady", [0, 100, 200], [10.0, 10.0]),
    ("standing still", [5, 5, 5], [0.0, 0.0]),
    ("reset to zero", [1000, 0, 100], [None, 10.0]),
    ("reset to something", [1000, 300, 400], [None, 10.0]),
    ("wrap at 2^32", [2**32 - 50, 50, 150], [None, 10.0]),
    ("wrap at 2^64", [2**64 - 50, 50, 150], [None, 10.0]),
    ("negative", [-5, 100, 200], [None, 10.0]),
    ("negative read as unsigned", [100, 2**64 - 1, 200], [None, None]),
    ("over 2^32 without a wrap", [2**32 - 50, 2**32 + 50], [10.0]),
]


@pytest.mark.parametrize(("readings", "expected"), [row[1:] for row in SERIES], ids=[row[0] for row in SERIES])
def test_series_gives_its_rates_and_gaps(readings, expected):
    rates = Rates()
    found = [rates.of("x", {"n": value}, 10.0 * index).get("n") for index, value in enumerate(readings)]

    assert found == [None, *expected]


def test_first_reading_gives_no_rate():
    assert Rates().of("x", {"n": 5}, 100.0) == {}


def test_a_long_gap_gives_the_mean_over_it():
    rates = Rates()
    rates.of("x", {"n": 0}, 0.0)

    assert rates.of("x", {"n": 3600}, 3600.0) == {"n": 1.0}


def test_two_readings_at_one_moment_give_no_rate_and_keep_the_first():
    rates = Rates()
    rates.of("x", {"n": 0}, 10.0)
    assert rates.of("x", {"n": 50}, 10.0) == {}

    assert rates.of("x", {"n": 100}, 20.0) == {"n": 10.0}


def test_a_clock_that_stands_still_divides_by_nothing():
    assert per_second(0, 100, 0.0) is None


def test_a_counter_that_appears_has_no_rate_yet():
    rates = Rates()
    rates.of("x", {"n": 0}, 0.0)

    assert rates.of("x", {"n": 10, "m": 10}, 10.0) == {"n": 1.0}


def test_what_is_not_kept_starts_afresh():
    rates = Rates()
    rates.of("eth0", {"n": 0}, 0.0)
    rates.keep({"eth1"})

    assert rates.of("eth0", {"n": 10}, 10.0) == {}
