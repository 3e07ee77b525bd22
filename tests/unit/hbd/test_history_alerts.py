from __future__ import annotations

import pytest

from hbd.alert_state import AlertEvent, Told
from hbd.alerts import Alert
from hbd.model import Level
from hbd.web.history_alerts import alert_spans

NOW = 1_800_000_000.0
HOUR = 3600.0


def event(before: Level, after: Level, at: float, path: str = "cpu_monitor.cpu_percent") -> AlertEvent:
    return AlertEvent(f"{at}", "p", 1, path, before, after, at, None, "")


def spans(*newest_first: AlertEvent, alerts: list[Alert] | None = None) -> list[tuple[float, float, Level, bool]]:
    found = alert_spans(newest_first, alerts or [], (NOW - HOUR, NOW), NOW)
    return [(NOW - each.start, NOW - each.end, each.level, each.open) for each in found]


def test_a_problem_that_ended_is_a_span() -> None:
    changes = event(Level.WARNING, Level.OK, NOW - 60), event(Level.OK, Level.WARNING, NOW - 600)
    assert spans(*changes) == [(600, 60, Level.WARNING, False)]


def test_each_level_is_a_span() -> None:
    changes = (
        event(Level.CRITICAL, Level.OK, NOW - 60),
        event(Level.WARNING, Level.CRITICAL, NOW - 120),
        event(Level.OK, Level.WARNING, NOW - 600),
    )
    assert spans(*changes) == [(120, 60, Level.CRITICAL, False), (600, 120, Level.WARNING, False)]


def test_what_began_before_the_time_begins_with_it() -> None:
    assert spans(event(Level.WARNING, Level.OK, NOW - 60)) == [(HOUR, 60, Level.WARNING, False)]


def test_what_ended_before_the_time_is_left_out() -> None:
    changes = event(Level.WARNING, Level.OK, NOW - 2 * HOUR), event(Level.OK, Level.WARNING, NOW - 3 * HOUR)
    assert spans(*changes) == []


def test_flapping_ends_no_span() -> None:
    changes = (
        event(Level.WARNING, Level.OK, NOW - 60),
        event(Level.WARNING, Level.WARNING, NOW - 120),
        event(Level.OK, Level.WARNING, NOW - 600),
    )
    assert spans(*changes) == [(600, 60, Level.WARNING, False)]


@pytest.mark.parametrize("events", [(), (event(Level.OK, Level.CRITICAL, NOW - 300),)])
def test_what_is_wrong_now_goes_on(events: tuple[AlertEvent, ...]) -> None:
    alert = Alert(1, "a.b", "a", None, NOW, None, Told(Level.CRITICAL, NOW - 300))
    assert spans(*events, alerts=[alert]) == [(300, 0, Level.CRITICAL, True)]
