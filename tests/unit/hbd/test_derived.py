"""What the daemon adds to samples: part of them in memory and on disk, and the same when it is worked out again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hbd.derived import SKEW, Additions, Derived
from hbd.model import Data, Moment, Report, Sample

WALL = 1_750_000_000.0


def report(data: Data, at: float = WALL, plugin: str = "disk_monitor", shift: float = 0.0) -> Report:
    body = msgspec.json.encode(
        [{"plugin": "x", "time": at - shift, "data": {"y": 1}}, {"plugin": plugin, "time": at - shift, "data": data}]
    )
    return Report(1, "a" * 16, 1, (Sample("x", at, {"y": 1}), Sample(plugin, at, data)), body, shift)


def disk(percent: float, **more: Any) -> Data:
    return {"/": {"percent": percent} | more}


def complete(derived: Derived, *reports: Report, adopted: bool = True) -> Report:
    """The last one as it was completed."""
    additions = derived.begin()
    for each in reports:
        completed = additions.complete(each, each.samples[1].time)
    if adopted:
        derived.adopt(additions)
    return completed


def filling(derived: Derived, minutes: int = 60, rate: float = 10.0) -> Report:
    for minute in range(minutes):
        last = complete(derived, report(disk(60.0 + rate * minute / 60), WALL + minute * 60))
    return last


def test_a_disk_that_fills_up_gets_its_time_left() -> None:
    data = filling(Derived()).samples[1].data
    assert data["/"]["hours_to_full"] == pytest.approx(3.0, rel=0.1)


def test_inodes_run_out_likewise() -> None:
    derived = Derived()
    for minute in range(60):
        data = {"/": {"percent": 10.0, "inodes_percent": 60.0 + minute / 6}}
        last = complete(derived, report(data, WALL + minute * 60))
    assert last.samples[1].data["/"]["inodes_hours_to_full"] == pytest.approx(3.0, rel=0.1)
    assert "hours_to_full" not in last.samples[1].data["/"]


def test_the_body_says_what_the_samples_do() -> None:
    completed = filling(Derived())
    stored = msgspec.json.decode(completed.body)
    assert [(part["plugin"], part["time"], part["data"]) for part in stored] == [
        (sample.plugin, sample.time, sample.data) for sample in completed.samples
    ]


def test_times_in_the_body_stay_those_of_the_agent() -> None:
    derived = Derived()
    derived.clocks.heard(1, WALL - 100.0, Moment(WALL, 5.0))
    completed = complete(derived, report({"rss_mb": 1}, WALL, "agent_monitor", shift=100.0))
    assert [part["time"] for part in msgspec.json.decode(completed.body)] == [WALL - 100.0] * 2


def test_data_that_were_handed_in_stay_as_they_are() -> None:
    derived, data = Derived(), disk(70.0)
    filling(derived)
    complete(derived, report(data, WALL + 3600))
    assert data == {"/": {"percent": 70.0}}


def test_a_report_without_anything_to_add_stays_the_same() -> None:
    given = report({"cpu_percent": 1.0}, plugin="cpu_monitor")
    assert complete(Derived(), given) is given


def test_what_the_agent_says_itself_stays() -> None:
    derived = Derived()
    filling(derived)
    completed = complete(derived, report(disk(70.0, hours_to_full=99.0), WALL + 3600))
    assert completed.samples[1].data["/"]["hours_to_full"] == 99.0


def test_how_far_a_clock_is_off_has_no_sign() -> None:
    derived = Derived()
    derived.clocks.heard(1, WALL + 45.0, Moment(WALL, 5.0))
    data = complete(derived, report({"rss_mb": 1}, plugin="agent_monitor")).samples[1].data
    assert data == {"rss_mb": 1, SKEW: 45.0}


def test_what_was_not_written_changes_nothing() -> None:
    derived = Derived()
    filling(derived)
    again = report(disk(70.5), WALL + 3600)
    thrown_away = complete(derived, again, adopted=False)
    assert complete(derived, again) == thrown_away


def test_a_report_that_is_completed_twice_is_the_same() -> None:
    derived = Derived()
    filling(derived)
    once = complete(derived, report(disk(70.5), WALL + 3600), adopted=False)
    assert complete(derived, once) == once


def test_after_a_restart_it_goes_on_as_if_there_was_none() -> None:
    first, second = Derived(), Derived()
    filling(first)
    rows: dict[int, Any] = {}
    for minute in range(60):
        additions = second.begin()
        additions.complete(report(disk(60.0 + minute / 6), WALL + minute * 60), WALL + minute * 60)
        second.adopt(additions)
        rows |= {row.host_id: row for row in additions.rows}
        second = Derived()  # killed after every report
        assert second.load(rows.values()) == []
    late = report(disk(70.0), WALL + 3600)
    assert complete(second, late) == complete(first, late)


def test_a_row_is_written_for_points_alone() -> None:
    derived, written = Derived(), 0
    for second in range(0, 3600, 10):
        additions = derived.begin()
        additions.complete(report(disk(60.0), WALL + second), WALL + second)
        derived.adopt(additions)
        written += len(additions.rows)
    assert written == 12


def test_a_late_sample_says_nothing_of_the_time_left() -> None:
    derived = Derived()
    filling(derived)
    assert "hours_to_full" not in complete(derived, report(disk(65.0), WALL + 600)).samples[1].data["/"]


def test_points_of_a_clock_that_was_wrong_do_not_stay() -> None:
    derived = Derived()
    filling(derived)
    for minute in range(60):
        last = complete(derived, report(disk(60.0 + minute / 6), WALL - 86_400 + minute * 60))
    assert last.samples[1].data["/"]["hours_to_full"] == pytest.approx(3.0, rel=0.1)


def test_a_damaged_row_begins_anew() -> None:
    derived = Derived()
    additions: Additions = derived.begin()
    additions.complete(report(disk(60.0)), WALL)
    (row,) = additions.rows
    assert derived.load([row._replace(trend=b"{")]) == [1]


def test_a_host_that_is_deleted_while_it_is_written_is_forgotten() -> None:
    derived = Derived()
    additions = derived.begin()
    additions.complete(report(disk(60.0)), WALL)
    derived.forget(1)
    derived.adopt(additions)
    assert additions.rows == []


@pytest.mark.parametrize("percent", [None, "60", True, -1, 101, float("nan"), [60]])
def test_what_is_no_percentage_is_passed_over(percent: Any) -> None:
    derived = Derived()
    additions = derived.begin()
    additions.complete(report(disk(percent)), WALL) if percent == percent else None
    assert additions.rows == []
