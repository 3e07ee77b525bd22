"""The least time between two reports."""

from hbd.hosts import Host
from hbd.receivers.pace import Pace


def host(least: float) -> Host:
    made = Host(1, "web1", "agent_000000000001")
    made.min_report_interval = least
    return made


def test_the_first_report_is_never_too_early() -> None:
    assert Pace().wait(host(60), 0.0) == 0.0


def test_one_that_is_too_early_hears_how_long_it_has_to_wait() -> None:
    pace, slow = Pace(), host(60)
    pace.took(slow, 100.0)
    assert pace.wait(slow, 110.0) == 50.0
    assert pace.wait(slow, 160.0) == 0.0


def test_a_moment_early_is_early_enough() -> None:
    pace, slow = Pace(), host(60)
    pace.took(slow, 100.0)
    assert pace.wait(slow, 158.1) == 0.0
    assert pace.wait(slow, 157.9) > 2.0


def test_short_intervals_allow_for_less() -> None:
    pace, quick = Pace(), host(1)
    pace.took(quick, 100.0)
    assert pace.wait(quick, 100.9) > 0.0
    assert pace.wait(quick, 100.96) == 0.0


def test_without_a_least_time_nothing_is_too_early() -> None:
    pace, any_pace = Pace(), host(0)
    pace.took(any_pace, 100.0)
    assert pace.wait(any_pace, 100.0) == 0.0


def test_one_that_could_not_be_stored_does_not_count() -> None:
    pace, slow = Pace(), host(60)
    pace.took(slow, 100.0)
    pace.forget(slow.id)
    assert pace.wait(slow, 101.0) == 0.0
