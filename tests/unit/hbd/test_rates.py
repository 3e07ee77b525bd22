"""Counters of foreign agents become rates."""

import pytest

from hbd.receivers import rates
from hbd.receivers.rates import Rates, per_second


def test_the_first_reading_tells_no_rate() -> None:
    assert Rates().of(1, "eth0", {"rx": 5.0}, 10.0) == {}


def test_the_second_tells_the_mean_since_the_first() -> None:
    made = Rates()
    made.of(1, "eth0", {"rx": 100.0, "tx": 7.0}, 10.0)
    assert made.of(1, "eth0", {"rx": 350.0, "tx": 7.0}, 20.0) == {"rx": 25.0, "tx": 0.0}


def test_a_counter_that_is_new_or_went_down_tells_none() -> None:
    made = Rates()
    made.of(1, "eth0", {"rx": 100.0}, 10.0)
    assert made.of(1, "eth0", {"rx": 50.0, "tx": 7.0}, 20.0) == {}
    assert made.of(1, "eth0", {"rx": 60.0, "tx": 8.0}, 30.0) == {"rx": 1.0, "tx": 0.1}


def test_hosts_and_keys_have_readings_of_their_own() -> None:
    made = Rates()
    made.of(1, "eth0", {"rx": 100.0}, 10.0)
    assert made.of(2, "eth0", {"rx": 200.0}, 20.0) == made.of(1, "eth1", {"rx": 200.0}, 20.0) == {}


@pytest.mark.parametrize("at", [10.0, 10.005, 9.0])
def test_a_reading_that_is_no_later_changes_nothing(at: float) -> None:
    made = Rates()
    made.of(1, "eth0", {"rx": 100.0}, 10.0)
    assert made.of(1, "eth0", {"rx": 500.0}, at) == {}
    assert made.of(1, "eth0", {"rx": 110.0}, 20.0) == {"rx": 1.0}


def test_more_keys_than_a_host_may_have_get_no_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_KEYS", 2)
    made = Rates()
    for at in (10.0, 20.0):
        found = [made.of(1, key, {"rx": at}, at) for key in ("a", "b", "c")]
    assert found == [{"rx": 1.0}, {"rx": 1.0}, {}]


def test_a_host_that_is_forgotten_begins_anew() -> None:
    made = Rates()
    made.of(1, "eth0", {"rx": 100.0}, 10.0)
    made.forget(1)
    assert made.of(1, "eth0", {"rx": 200.0}, 20.0) == {}


@pytest.mark.parametrize(("before", "after", "seconds"), [(-1, 5, 1), (0, 1 << 63, 1), (1, 2, 0), (1, 2, -5)])
def test_what_no_counter_does_is_no_rate(before: float, after: float, seconds: float) -> None:
    assert per_second(before, after, seconds) is None
