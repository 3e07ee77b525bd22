"""When a job that has to call is late, and when it is down."""

from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest

from hbd.errors import InvalidInput
from hbd.job_schedule import Progress, Status, Timing, deadlines, next_change, status

HOURLY = Timing(3600.0, 600.0)
FRESH = Progress()


def at(text: str, place: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(place)).timestamp()


def test_a_job_that_never_called_is_new_and_nothing_is_due() -> None:
    assert status(HOURLY, FRESH, 1e9) is Status.NEW
    assert deadlines(HOURLY, FRESH) == (inf, inf)


@pytest.mark.parametrize(
    ("now", "expected"),
    [(0.0, Status.UP), (3599.0, Status.UP), (3600.0, Status.LATE), (4199.0, Status.LATE), (4200.0, Status.DOWN)],
)
def test_a_job_is_late_when_its_call_is_due_and_down_after_the_grace(now: float, expected: Status) -> None:
    assert status(HOURLY, FRESH.ended(0.0), now) is expected


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        (Timing(60.0, 1.0), "every minute"),
        (Timing(90.0, 1.0), "every 90 s"),
        (Timing(5400.0, 1.0), "every 90 min"),
        (Timing(21600.0, 1.0), "every 6 h"),
        (Timing(86400.0, 1.0), "every day"),
        (Timing(14 * 86400.0, 1.0), "every 2 weeks"),
        (Timing(1.5, 1.0), "every 1.5 s"),
        (Timing(None, 1.0, "30 2 * * *", "Europe/Zurich"), "At 02:30 every day, Europe/Zurich"),
        (
            Timing(None, 1.0, "*/15 8-17 * * mon-fri"),
            "Every 15th minute from 08:00 through 17:59 on Monday through Friday, UTC",
        ),
    ],
)
def test_a_schedule_is_told_in_words(timing: Timing, words: str) -> None:
    assert timing.words == words


def test_a_call_makes_all_well_again() -> None:
    progress = FRESH.ended(0.0)
    assert status(HOURLY, progress, 9000.0) is Status.DOWN
    assert status(HOURLY, progress.ended(9000.0), 9000.0) is Status.UP


def test_a_failure_is_down_at_once_and_until_it_goes_well() -> None:
    failed = FRESH.ended(0.0, exit_code=3, failed=True)
    assert (status(HOURLY, failed, 1.0), failed.exit_code) == (Status.DOWN, 3)
    assert status(HOURLY, failed.began(10.0), 11.0) is Status.DOWN
    assert status(HOURLY, failed.ended(20.0), 21.0) is Status.UP


def test_a_job_that_begins_has_the_grace_to_be_done() -> None:
    running = FRESH.ended(0.0).began(100.0)
    assert status(HOURLY, running, 699.0) is Status.UP
    assert status(HOURLY, running, 700.0) is Status.DOWN


def test_a_new_job_that_begins_has_to_be_done() -> None:
    assert status(HOURLY, FRESH.began(100.0), 699.0) is Status.NEW
    assert status(HOURLY, FRESH.began(100.0), 700.0) is Status.DOWN


def test_the_time_of_a_run_counts_from_its_own_beginning() -> None:
    assert FRESH.began(100.0, "a").ended(160.0, run="a").seconds == 60.0
    assert FRESH.began(100.0, "a").ended(160.0, run="b").seconds is None
    assert FRESH.ended(160.0).seconds is None


def test_a_paused_job_misses_nothing() -> None:
    failed = FRESH.ended(0.0, failed=True)
    assert status(HOURLY, failed, 1e9, paused=True) is Status.PAUSED
    assert next_change(HOURLY, failed, 0.0, paused=True) == inf


def test_what_was_due_while_hbd_did_not_run_is_unseen_and_the_next_that_is_missed_is_down() -> None:
    progress = FRESH.ended(0.0)
    assert status(HOURLY, progress, 10_000.0, seen_from=10_000.0) is Status.UNSEEN
    assert status(HOURLY, progress, 14_199.0, seen_from=10_000.0) is Status.UNSEEN
    assert status(HOURLY, progress, 14_200.0, seen_from=10_000.0) is Status.DOWN


def test_what_became_due_before_and_is_down_after_a_start_is_down() -> None:
    assert status(HOURLY, FRESH.ended(0.0), 4200.0, seen_from=4000.0) is Status.DOWN


def test_time_changes_a_status_when_it_is_said_to() -> None:
    progress = FRESH.ended(0.0)
    assert next_change(HOURLY, progress, 0.0, paused=False) == 3600.0
    assert next_change(HOURLY, progress, 3600.0, paused=False) == 4200.0
    assert next_change(HOURLY, progress, 4200.0, paused=False) == inf
    assert next_change(HOURLY, progress, 10_000.0, paused=False, seen_from=10_000.0) == 14_200.0


def test_a_crontab_goes_by_the_clocks_of_its_place() -> None:
    nightly = Timing.read(period=None, grace=60.0, cron="30 2 * * *", timezone="Europe/Zurich")
    assert nightly.after(at("2026-11-21T12:00")) == at("2026-11-22T01:30")
    assert nightly.after(at("2026-07-21T12:00")) == at("2026-07-22T00:30")


def test_a_time_that_clocks_skip_comes_all_the_same() -> None:
    nightly = Timing.read(period=None, grace=60.0, cron="30 2 * * *", timezone="Europe/Zurich")
    due = nightly.after(at("2026-03-28T12:00"))  # on the 29th 02:00 becomes 03:00
    assert at("2026-03-29T00:59") <= due <= at("2026-03-29T02:00")


def test_a_crontab_is_due_after_the_last_call_and_not_with_it() -> None:
    timing = Timing.read(period=None, grace=60.0, cron="*/10 * * * *", timezone="UTC")
    assert timing.after(at("2026-11-21T12:00")) == at("2026-11-21T12:10")
    assert datetime.fromtimestamp(timing.after(at("2026-11-21T12:09")), UTC).minute == 10


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"period": None, "cron": ""}, "period"),
        ({"period": 60.0, "cron": "* * * * *"}, "cron"),
        ({"period": 0.5}, "period"),
        ({"period": float("nan")}, "period"),
        ({"period": 1e12}, "period"),
        ({"grace": 0.0}, "grace"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"period": None, "cron": "61 * * * *"}, "cron"),
        ({"period": None, "cron": "0 0 31 2 *"}, "cron"),
        ({"period": None, "cron": "@daily"}, "cron"),
        ({"period": None, "cron": "* * * * * *"}, "cron"),
        ({"period": None, "cron": "*" * 101}, "cron"),
    ],
)
def test_a_timing_that_cannot_be_names_its_field(given: dict[str, object], field: str) -> None:
    values: dict[str, object] = {"period": 60.0, "grace": 60.0, "cron": "", "timezone": "UTC", **given}
    with pytest.raises(InvalidInput) as caught:
        Timing.read(**values)  # type: ignore[arg-type]
    assert caught.value.field == field
