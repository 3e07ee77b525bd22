"""The times that ``hbd explain --at`` takes."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from hbd.cli import main
from hbd.cli_explain import _time


def test_unix_seconds_are_taken_as_they_are() -> None:
    assert _time("1750000000.5") == 1_750_000_000.5


@pytest.mark.parametrize("text", ["2h", "now-2h", "now-120m"])
def test_a_duration_is_that_long_ago(text: str) -> None:
    assert _time(text) == pytest.approx(time.time() - 7200, abs=60)


def test_now_is_a_time() -> None:
    assert _time("now") == pytest.approx(time.time(), abs=60)


def test_a_time_of_a_zone_is_of_that_zone() -> None:
    assert _time("2025-06-15T15:06:40Z") == 1_750_000_000.0


def test_a_date_is_of_the_local_time_zone() -> None:
    assert _time("2025-06-15 03:15") == datetime(2025, 6, 15, 3, 15).timestamp()  # noqa: DTZ001


def test_a_time_of_day_is_the_last_one_that_was() -> None:
    for text in ("00:00", "11:59", "23:59:59"):
        assert 0 <= time.time() - _time(text) < 90_000
        assert time.strftime("%H:%M", time.localtime(_time(text))) == text[:5]


@pytest.mark.parametrize("text", ["noon", "25:00", "2025-13-01", "", "-", "nan", "99999-01-01"])
def test_what_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "web1", "cpu_monitor.cpu_percent", f"--at={text}"])
    assert ended.value.code == 2
    assert "a time such as" in capsys.readouterr().err
