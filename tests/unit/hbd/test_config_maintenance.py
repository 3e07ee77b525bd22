"""The section ``maintenance``."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbd.config import load
from hbd.errors import ConfigError
from hbd.matching import Matcher
from hbd.schedule import Window, WindowTexts

RIGHT = """
maintenance:
  backups:
    hosts: db*
    tags: [prod]
    metrics: disk_monitor.*
    start: 2026-01-05T02:00
    duration: 90m
    timezone: Europe/Zurich
    repeat: weekly
    days: [mon, thu]
    until: 2030-12-31
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "hbd.yaml"
    file.write_text(text)
    return file


def test_a_window_is_read(tmp_path: Path) -> None:
    section = load(written(tmp_path, RIGHT)).maintenance["backups"]
    assert section.matcher == Matcher(hosts=("db*",), tags=("prod",), metrics=("disk_monitor.*",))
    texts = WindowTexts("2026-01-05T02:00", 5400.0, "Europe/Zurich", "weekly", ("mon", "thu"), "2030-12-31")
    assert section.window == Window.read(texts)


def test_a_window_is_in_utc_and_once_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = "maintenance: {move: {hosts: web1, start: 2026-01-05T02:00, duration: 2h}}\n"
    window = load(written(tmp_path, text)).maintenance["move"].window
    assert (window.place.key, window.repeat) == ("UTC", "once")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("timezone: Europe/Zurich", "timezone: Mars/Base", "9: maintenance.backups.timezone: there is no time zone"),
        ("duration: 90m", "duration: 90s 5", "8: maintenance.backups.duration: expected a duration"),
        ("duration: 90m", "duration: 8d", "8: maintenance.backups.duration: expected a minute at least and 7 days"),
        ("    duration: 90m\n", "", "3: maintenance.backups.duration: is needed"),
        ("    start: 2026-01-05T02:00\n", "", "3: maintenance.backups.start: is needed"),
        ("T02:00", "", "7: maintenance.backups.start: expected a day and a time of it"),
        ("days: [mon, thu]", "days: [monday]", "11: maintenance.backups.days: expected days of mon, tue"),
        ("repeat: weekly", "repeat: daily", "11: maintenance.backups.days: only weekly windows have days"),
        ("repeat: weekly", "repeat: yearly", "10: maintenance.backups.repeat: expected one of"),
        ("2030-12-31", "2020-12-31", "12: maintenance.backups.until: the last day is before the first"),
        ("db*", "db 1", "4: maintenance.backups.hosts[0]: expected a host name"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, before: str, after: str, problem: str) -> None:
    assert before in RIGHT
    file = written(tmp_path, RIGHT.replace(before, after))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems[0].startswith(f"{file}:{problem}")


def test_a_window_about_nothing_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "maintenance: {move: {start: 2026-01-05T02:00, duration: 2h}}\n")
    with pytest.raises(ConfigError, match=r"maintenance\.move\.hosts: is needed, or tags, or metrics"):
        load(file)
