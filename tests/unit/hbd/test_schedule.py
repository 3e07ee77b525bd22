"""Quiet hours and windows that come back, on ordinary days and on those when clocks are changed."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbd import schedule
from hbd.errors import InvalidInput
from hbd.schedule import (
    DAYS,
    QuietHours,
    Span,
    Window,
    WindowTexts,
    instant,
    read_clock,
    read_date,
    read_days,
    read_local,
    zone,
)

ZURICH = ZoneInfo("Europe/Zurich")
CHANGES = [  # the day on which clocks are changed
    ("Europe/Zurich", date(2026, 3, 29)),  # 02:00 becomes 03:00
    ("Europe/Zurich", date(2026, 10, 25)),  # 03:00 becomes 02:00
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),  # 02:00 becomes 02:30
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # 02:00 becomes 01:30
]
HOUR = 3600.0
changes = st.sampled_from(CHANGES)
clocks = st.times().map(lambda found: found.replace(second=0, microsecond=0))
durations = st.integers(1, 24 * 60).map(lambda minutes: minutes * 60.0)


def at(text: str, offset: str = "+00:00") -> float:
    return datetime.fromisoformat(text + offset).timestamp()


def first_shown(local: datetime, place: ZoneInfo) -> float:
    """By looking at the clock minute after minute: when it first shows that time, or a later one."""
    minute = local.replace(tzinfo=place, fold=0).timestamp() - 2 * HOUR  # no clock is changed by more than one
    while datetime.fromtimestamp(minute, place).replace(tzinfo=None) < local:
        minute += 60
    return minute


# ------------------------------------------------------------------------------------------------------------- moments


@settings(max_examples=100, deadline=None)
@given(changes, clocks)
def test_a_time_of_the_day_is_when_clocks_first_show_it_or_have_skipped_it(
    change: tuple[str, date], clock: time
) -> None:
    place = ZoneInfo(change[0])
    local = datetime.combine(change[1], clock)
    assert instant(local, place) == first_shown(local, place)


def test_a_skipped_time_is_the_moment_of_the_skip() -> None:
    assert instant(read_local("2026-03-29T02:30"), ZURICH) == at("2026-03-29T03:00", "+02:00")


def test_a_time_that_is_shown_twice_is_the_first_one() -> None:
    assert instant(read_local("2026-10-25T02:30"), ZURICH) == at("2026-10-25T02:30", "+02:00")


def test_half_an_hour_can_be_skipped_too() -> None:
    assert instant(read_local("2026-10-04T02:15"), ZoneInfo("Australia/Lord_Howe")) == at("2026-10-04T02:30", "+11:00")


def test_a_whole_day_can_be_skipped() -> None:
    assert instant(read_local("2011-12-30T12:00"), ZoneInfo("Pacific/Apia")) == at("2011-12-31T00:00", "+14:00")


# --------------------------------------------------------------------------------------------------------- quiet hours


def quiet(begins: str = "22:00", ends: str = "07:00", *days: str, timezone: str = "Europe/Zurich") -> QuietHours:
    return QuietHours.read(begins, ends, days, timezone)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-14T21:59:59", None),
        ("2026-01-14T22:00:00", "2026-01-15T07:00:00"),
        ("2026-01-15T03:00:00", "2026-01-15T07:00:00"),
        ("2026-01-15T06:59:59", "2026-01-15T07:00:00"),
        ("2026-01-15T07:00:00", None),
    ],
)
def test_a_night_is_quiet_from_one_day_to_the_next(now: str, until: str | None) -> None:
    assert quiet().holds(at(now, "+01:00")) == (at(until, "+01:00") if until else None)


def test_hours_within_a_day_are_quiet_on_that_day() -> None:
    lunch = quiet("12:00", "13:00")
    assert lunch.holds(at("2026-01-14T12:30", "+01:00")) == at("2026-01-14T13:00", "+01:00")
    assert lunch.holds(at("2026-01-14T22:30", "+01:00")) is None


def test_the_days_are_those_on_which_it_begins() -> None:
    friday_night = quiet("22:00", "07:00", "fri")
    assert friday_night.holds(at("2026-01-17T06:00", "+01:00"))  # Saturday morning
    assert friday_night.holds(at("2026-01-17T22:30", "+01:00")) is None
    assert friday_night.holds(at("2026-01-16T06:00", "+01:00")) is None


def test_from_a_time_to_the_same_time_is_a_whole_day() -> None:
    sunday = quiet("00:00", "00:00", "sun")
    assert sunday.holds(at("2026-01-18T00:00", "+01:00")) == at("2026-01-19T00:00", "+01:00")
    assert sunday.holds(at("2026-01-19T00:00", "+01:00")) is None


def test_a_night_in_which_clocks_are_put_forward_ends_by_the_clock() -> None:
    assert quiet().holds(at("2026-03-28T22:00", "+01:00")) == at("2026-03-29T07:00", "+02:00")


def test_hours_that_are_skipped_are_not_quiet() -> None:
    skipped = quiet("02:10", "02:50")
    assert not any(skipped.holds(at("2026-03-29T00:00", "+01:00") + 60 * minute) for minute in range(24 * 60))


def test_hours_that_come_twice_are_quiet_once() -> None:
    doubled = quiet("02:10", "02:50")
    assert doubled.holds(at("2026-10-25T02:30", "+02:00")) == at("2026-10-25T02:50", "+02:00")
    assert doubled.holds(at("2026-10-25T02:30", "+01:00")) is None


@settings(max_examples=100, deadline=None)
@given(changes, clocks, clocks, st.integers(-36 * 60, 36 * 60), st.sets(st.sampled_from(DAYS)))
def test_it_is_quiet_from_when_the_clock_shows_the_one_time_to_when_it_shows_the_other(
    change: tuple[str, date], begins: time, ends: time, minute: int, days: set[str]
) -> None:
    place = ZoneInfo(change[0])
    now = datetime.combine(change[1], time(12), place).timestamp() + 60 * minute
    expected = None
    for day in (change[1] + timedelta(days=distance) for distance in range(-4, 4)):
        start = first_shown(datetime.combine(day, begins), place)
        end = first_shown(datetime.combine(day + timedelta(days=ends <= begins), ends), place)
        if (not days or DAYS[day.weekday()] in days) and start <= now < end:
            expected = end
    hours = QuietHours.read(f"{begins:%H:%M}", f"{ends:%H:%M}", days, change[0])
    found = hours.holds(now)
    assert (found is None) == (expected is None)
    assert found is None or expected is None or now < found <= expected


# ------------------------------------------------------------------------------------------------------------- windows


def window(
    start: str = "2026-01-14T22:00",
    hours: float = 2,
    repeat: str = "once",
    *days: str,
    until: str | None = None,
    timezone: str = "Europe/Zurich",
) -> Window:
    return Window.read(WindowTexts(start, hours * HOUR, timezone, repeat, days, until))


def starts(found: Window, since: str, count: int) -> list[str]:
    """The next so many spans after a time in UTC, by what clocks there show."""
    shown, now = [], at(since)
    while len(shown) < count and (span := found.next(now)) is not None:
        shown.append(f"{datetime.fromtimestamp(span.start, found.place):%Y-%m-%dT%H:%M}")
        now = span.start
    return shown


@pytest.mark.parametrize("repeat", ["once", "daily", "weekly", "monthly"])
def test_a_window_is_active_from_its_start_up_to_its_end(repeat: str) -> None:
    found, start = window(repeat=repeat), at("2026-01-14T22:00", "+01:00")
    span = Span(start, start + 2 * HOUR)
    assert found.active(start - 1) is None
    assert found.active(start) == found.active(start + 2 * HOUR - 1) == span
    assert found.active(start + 2 * HOUR) is None


@pytest.mark.parametrize("repeat", ["once", "daily", "weekly", "monthly"])
def test_the_next_one_before_the_start_is_the_first_one(repeat: str) -> None:
    assert starts(window(repeat=repeat), "2024-01-01T00:00", 1) == ["2026-01-14T22:00"]


def test_what_happens_once_has_no_next_one() -> None:
    assert starts(window(), "2024-01-01T00:00", 5) == ["2026-01-14T22:00"]


def test_a_daily_one_comes_back_every_day() -> None:
    assert starts(window(repeat="daily"), "2026-02-27T00:00", 3) == [
        "2026-02-27T22:00",
        "2026-02-28T22:00",
        "2026-03-01T22:00",
    ]


def test_a_weekly_one_comes_back_on_the_day_of_the_first() -> None:
    assert starts(window(repeat="weekly"), "2026-01-15T00:00", 2) == ["2026-01-21T22:00", "2026-01-28T22:00"]


def test_a_weekly_one_may_have_several_days() -> None:
    found = window("2026-01-14T22:00", 2, "weekly", "mon", "thu")  # the 14th is a Wednesday
    assert starts(found, "2026-01-01T00:00", 3) == ["2026-01-15T22:00", "2026-01-19T22:00", "2026-01-22T22:00"]


def test_a_monthly_one_begins_on_the_last_day_of_a_month_that_is_too_short() -> None:
    found = window("2026-01-31T22:00", 2, "monthly")
    assert starts(found, "2026-01-01T00:00", 4) == [
        "2026-01-31T22:00",
        "2026-02-28T22:00",
        "2026-03-31T22:00",
        "2026-04-30T22:00",
    ]


def test_nothing_begins_after_the_last_day() -> None:
    found = window(repeat="daily", until="2026-01-16")
    assert starts(found, "2026-01-14T00:00", 9) == ["2026-01-14T22:00", "2026-01-15T22:00", "2026-01-16T22:00"]


def test_the_last_one_goes_on_into_the_day_after_the_last() -> None:
    assert window(hours=8, repeat="daily", until="2026-01-16").active(at("2026-01-17T05:00", "+01:00"))


def test_of_two_that_overlap_the_later_end_counts() -> None:
    found = window("2026-01-12T22:00", 48, "weekly", "mon", "tue")
    assert found.active(at("2026-01-13T23:00", "+01:00")) == Span(
        at("2026-01-13T22:00", "+01:00"), at("2026-01-15T22:00", "+01:00")
    )


def test_one_that_lasts_a_year_is_active_at_its_end() -> None:
    assert window(hours=365 * 24).active(at("2027-01-14T21:59", "+01:00"))


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_two_hours_are_two_hours_of_time_when_clocks_are_changed(day: str) -> None:
    span = window(f"{day}T01:30").active(at(f"{day}T01:45", "+01:00" if day < "2026-05" else "+02:00"))
    assert span is not None
    assert span.end - span.start == 2 * HOUR


def test_one_that_begins_in_the_skipped_hour_begins_when_it_is_skipped() -> None:
    found = window("2026-03-01T02:30", 1, "daily")
    assert found.next(at("2026-03-28T12:00")) == Span(
        at("2026-03-29T03:00", "+02:00"), at("2026-03-29T04:00", "+02:00")
    )


def test_one_that_begins_in_the_doubled_hour_begins_once() -> None:
    found = window("2026-10-01T02:30", 0.25, "daily")
    assert found.next(at("2026-10-24T12:00")) == Span(
        at("2026-10-25T02:30", "+02:00"), at("2026-10-25T02:45", "+02:00")
    )
    assert found.next(at("2026-10-25T02:30", "+02:00")) == Span(
        at("2026-10-26T02:30", "+01:00"), at("2026-10-26T02:45", "+01:00")
    )


@settings(max_examples=100, deadline=None)
@given(changes, clocks, durations)
def test_a_daily_one_comes_once_a_day_and_lasts_its_duration(
    change: tuple[str, date], clock: time, duration: float
) -> None:
    place, day = ZoneInfo(change[0]), change[1]
    first = datetime.combine(day - timedelta(days=3), clock)
    found = Window.read(WindowTexts(f"{first:%Y-%m-%dT%H:%M}", duration, change[0], "daily", (), None))
    now = first_shown(first, place) - 1
    for distance in range(6):
        span = found.next(now)
        assert span is not None
        start = first_shown(first + timedelta(days=distance), place)
        assert span == Span(start, start + duration)
        now = span.start


@settings(max_examples=100, deadline=None)
@given(
    changes,
    clocks,
    durations,
    st.sampled_from(["once", "daily", "weekly", "monthly"]),
    st.integers(-9 * 1440, 60 * 1440),
)
def test_it_is_active_when_a_span_that_was_next_has_begun_and_not_ended(
    change: tuple[str, date], clock: time, duration: float, repeat: str, minute: int
) -> None:
    start = datetime.combine(change[1] - timedelta(days=2), clock)
    found = Window.read(WindowTexts(f"{start:%Y-%m-%dT%H:%M}", duration, change[0], repeat, (), None))
    now = start.replace(tzinfo=ZoneInfo("UTC")).timestamp() + 60.0 * minute
    spans, before = [], now - 2 * duration - HOUR
    while (span := found.next(before)) is not None and span.start <= now:
        spans.append(span)
        before = span.start
    inside = [span for span in spans if span.start <= now < span.end]
    assert found.active(now) == (inside[-1] if inside else None)


@settings(max_examples=200, deadline=None)
@given(
    changes,
    clocks,
    durations,
    st.sampled_from(["once", "daily", "weekly", "monthly"]),
    st.lists(st.sampled_from(DAYS), max_size=7, unique=True),
    st.none() | st.integers(0, 90),
    st.integers(-30 * 24, 90 * 24),
    st.integers(1, 60 * 24),
)
def test_it_is_known_without_looking_how_often_it_comes_at_most(
    change: tuple[str, date],
    clock: time,
    duration: float,
    repeat: str,
    days: list[str],
    lasts: int | None,
    hour: int,
    hours: int,
) -> None:
    start = datetime.combine(change[1] - timedelta(days=2), clock)
    until = None if lasts is None or repeat == "once" else f"{start + timedelta(days=lasts):%Y-%m-%d}"
    chosen = tuple(days) if repeat == "weekly" else ()
    found = Window.read(WindowTexts(f"{start:%Y-%m-%dT%H:%M}", duration, change[0], repeat, chosen, until))
    first = start.replace(tzinfo=ZoneInfo("UTC")).timestamp() + hour * HOUR
    count, most = len(list(found.between(first, first + hours * HOUR))), found.most_between(first, first + hours * HOUR)
    assert count <= most <= count + 14


@pytest.mark.parametrize("repeat", ["once", "daily", "weekly", "monthly"])
def test_what_has_not_begun_or_has_ended_does_not_come(repeat: str) -> None:
    found = window(repeat=repeat, until=None if repeat == "once" else "2026-03-14")
    assert found.most_between(0, at("2026-01-12T00:00")) == 0
    assert found.most_between(at("2026-03-18T00:00"), at("2030-01-01T00:00")) == 0
    assert list(found.between(at("2026-03-18T00:00"), at("2030-01-01T00:00"))) == []


def test_a_time_long_after_the_start_is_come_to_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    monkeypatch.setattr(schedule, "instant", lambda *given: looked_at.append(given) or instant(*given))
    found = window("2000-01-01T22:00", 2, "daily")
    assert len(list(found.between(at("2026-01-14T00:00"), at("2026-01-16T00:00")))) == 2
    assert len(looked_at) < 10


def test_a_window_can_be_written_as_it_was_read() -> None:
    texts = WindowTexts("2026-01-14T22:00", 7200.0, "Europe/Zurich", "weekly", ("mon", "sun"), "2026-12-31")
    assert Window.read(texts).texts == texts


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("text", ["24:00", "7:00", "22", "22:60", "22:00:00", "", "٢٢:٠٠", "22:00\n"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="such as 22:00"):
        read_clock(text)


@pytest.mark.parametrize("text", ["2026-02-30", "20261121", "1999-12-31", "2200-01-01", "2026-11-21T22:00", "", "soon"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a day such as"):
        read_date(text)


@pytest.mark.parametrize(
    "text", ["2026-11-21", "2026-11-21 22:00", "2026-11-21T24:30", "2026-11-21T22:00Z", "2026-11-21T22:00:00", ""]
)
def test_what_is_no_local_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="a day and a time"):
        read_local(text)


def test_what_is_no_day_of_the_week_is_refused() -> None:
    with pytest.raises(InvalidInput, match="mon, tue"):
        read_days(["mon", "Monday"])


@pytest.mark.parametrize(
    "name", ["Europe/Zürich", "Europe", "Mars/Base", "", "../../etc/passwd", "/etc/passwd", "a\0b", "x" * 5000]
)
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="there is no time zone"):
        zone(name)


def test_a_machine_without_time_zones_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hbd.schedule._has_zones", lambda: False)
    with pytest.raises(InvalidInput, match="tzdata"):
        zone("Europe/Nowhere")


@pytest.mark.parametrize(
    ("field", "given_texts"),
    [
        ("quiet_from", ("25:00", "07:00", [], "UTC")),
        ("quiet_to", ("22:00", "7", [], "UTC")),
        ("quiet_days", ("22:00", "07:00", ["sunday"], "UTC")),
        ("timezone", ("22:00", "07:00", [], "CEST/Zurich")),
    ],
)
def test_quiet_hours_name_what_is_wrong_with_them(field: str, given_texts: tuple[str, str, list[str], str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        QuietHours.read(*given_texts)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("start", {"start": "tomorrow"}),
        ("timezone", {"timezone": "Nowhere"}),
        ("repeat", {"repeat": "yearly"}),
        ("duration", {"duration": 59.0}),
        ("duration", {"duration": 86_401.0, "repeat": "daily"}),
        ("duration", {"duration": float("nan")}),
        ("days", {"days": ["mon"], "repeat": "daily"}),
        ("days", {"days": ["moon"], "repeat": "weekly"}),
        ("until", {"until": "2026-11-22"}),
        ("until", {"until": "2026-11-20", "repeat": "daily"}),
        ("until", {"until": "never", "repeat": "daily"}),
    ],
)
def test_a_window_names_what_is_wrong_with_it(field: str, wrong: dict[str, Any]) -> None:
    right = WindowTexts("2026-11-21T22:00", 3600.0, "UTC", "once", (), None)
    with pytest.raises(InvalidInput) as caught:
        Window.read(right._replace(**wrong))
    assert caught.value.field == field
