"""Forecasts as the pages tell them."""

from __future__ import annotations

from hbd.model import Sample
from hbd.web.forecast_view import sentences, with_forecasts
from hbd.web.forecasts import DiskForecast
from hbd.web.plugin_view import plugin_view

DAY = 86_400.0


def disk(mount, metric="percent", full_in=None, not_within=None, words=""):
    return DiskForecast(mount, metric, 50.0, full_in, not_within, words)


def table(**more):
    data = {mount: {"percent": 50.0, "free_gb": 7.0, **more} for mount in ("/", "/home")}
    return plugin_view([Sample("disk_monitor", 0.0, data)]).tables[0]


def shown(found, **more):
    made = with_forecasts(table(**more), found)
    return [column.label for column in made.columns], [[cell.text for cell in line] for line in made.lines]


def test_a_column_behind_what_is_used_tells_when_a_disk_will_be_full():
    labels, lines = shown([disk("/", full_in=12 * DAY, words="in about 12 days")])
    assert labels == ["Name", "Used", "Full", "Free"]
    assert [line[2] for line in lines] == ["in about 12 days", "–"]


def test_the_hours_that_alerts_go_by_are_not_shown_beside_it():
    labels, lines = shown([], hours_to_full=1000.0, inodes_percent=3.0, inodes_hours_to_full=1000.0)
    assert labels == ["Name", "Used", "Full", "Free", "Inodes"]
    assert {len(line) for line in lines} == {len(labels)}


def test_hours_before_the_used_column_leave_the_others_in_their_places():
    data = {"/": {"hours_to_full": 5.0, "percent": 50.0, "free_gb": 7.0}}
    made = with_forecasts(plugin_view([Sample("disk_monitor", 0.0, data)]).tables[0], [])
    assert [column.label for column in made.columns] == ["Name", "Used", "Full", "Free"]
    assert [cell.text for cell in made.lines[0]] == ["/", "50.0 %", "–", "7 GB"]


def test_inodes_are_told_only_when_they_have_an_end():
    ending = disk("/", "inodes_percent", full_in=DAY, words="in about 24 hours")
    endless = disk("/home", "inodes_percent", not_within=DAY, words="not within 24 hours")
    made = with_forecasts(table(), [ending, endless])
    assert [line[2].below for line in made.lines] == ["inodes in about 24 hours", ""]


def test_a_chart_is_told_of_its_own_disks():
    found = [
        disk("/", full_in=12 * DAY, words="in about 12 days"),
        disk("/home", not_within=8 * DAY, words="not within 8 days"),
        disk("/srv", full_in=DAY, words="in about 24 hours"),
        disk("/", "inodes_percent", full_in=DAY, words="in about 24 hours"),
    ]
    assert sentences(["disk_monitor./.percent", "disk_monitor./home.percent"], found) == [
        "/: full in about 12 days if it goes on like this.",
        "/home: not full within 8 days if it goes on like this.",
    ]


def test_nothing_is_said_where_nobody_can_tell():
    assert sentences(["disk_monitor./.percent"], [disk("/")]) == []
