from __future__ import annotations

from typing import Any

import pytest
from channel_kit import NOW, item

from hbd.channels.words import MAX_LINES, compose, headline, span
from hbd.model import Level

OVER: dict[str, Any] = {
    "level": Level.OK,
    "before": Level.CRITICAL,
    "reason": "CPU 40, no longer > 90",
    "at": NOW + 420,
}


def test_a_problem_is_told_in_its_title() -> None:
    assert compose([item()])[0] == "CRITICAL web1: CPU 95.5 > 90 for 5 min"


def test_an_end_tells_what_it_was_and_for_how_long() -> None:
    assert compose([item(**OVER)])[0] == "OK web1: CPU 40, no longer > 90 (was CRITICAL for 12 min)"


def test_a_note_stands_at_the_end_of_the_title() -> None:
    assert headline(item(note="3rd message")).endswith("for 5 min (3rd message)")


def test_a_reason_without_the_name_of_what_it_is_about_gets_it() -> None:
    assert headline(item(reason="95.5 > 90")) == "CRITICAL web1: CPU 95.5 > 90"


@pytest.mark.parametrize(
    ("metric", "name", "reason", "told"),
    [
        ("disk_monitor./mnt/a.b.percent", "Disk space", "Disk space 96 > 95", "Disk space (/mnt/a.b) 96 > 95"),
        ("disk_monitor./.free_gb", "", "3 < 5", "disk_monitor./.free_gb 3 < 5"),
    ],
)
def test_the_disk_that_is_full_is_named(metric: str, name: str, reason: str, told: str) -> None:
    assert headline(item(metric=metric, name=name, reason=reason)) == f"CRITICAL web1: {told}"


@pytest.mark.parametrize(
    ("path", "level", "reason", "told"),
    [
        ("host", Level.CRITICAL, "no heartbeat or report for 30 s", "down: no heartbeat or report for 30 s"),
        ("host", Level.WARNING, "no heartbeat for 10 s", "overdue: no heartbeat for 10 s"),
        ("host", Level.OK, "heartbeat after 90 s of silence", "up: heartbeat after 90 s of silence"),
        ("host", Level.OK, "the host was removed", "the host was removed"),
        ("IPv6", Level.WARNING, "no heartbeat for 30 s", "IPv6: no heartbeat for 30 s"),
        ("data.backup", Level.UNKNOWN, "no backup data for 5 min", "no backup data for 5 min"),
        ("host", Level.CRITICAL, "", "down"),
    ],
)
def test_a_host_that_is_down_is_told_as_people_say_it(path: str, level: Level, reason: str, told: str) -> None:
    path = f"presence.{path}"
    assert headline(item(level, metric=path, name=path, reason=reason, value="")) == f"{level} web1: {told}"


def test_the_text_has_host_metric_beginning_owner_tags_and_link() -> None:
    assert compose([item()])[1].splitlines() == [
        "CPU 95.5 > 90 for 5 min",
        "Host: web1",
        "Metric: cpu_monitor.cpu_percent",
        "Since 2025-06-15 15:01:40 UTC",
        "Owner: alice",
        "Tags: prod",
        "https://hbd.example.org/alerts?host=web1",
    ]


def test_a_worse_level_tells_the_one_before() -> None:
    assert "Was WARNING until 2025-06-15 15:06:40 UTC" in compose([item(before=Level.WARNING)])[1]


def test_many_problems_are_counted_with_their_hosts() -> None:
    items = [item(id=f"p{number}", host=f"web{number % 10}") for number in range(12)]
    ended = [item(id=f"e{number}", **OVER) for number in range(3)]
    assert compose([*items, *ended])[0] == "12 problems on 10 hosts, 3 recovered"


def test_many_ends_alone_are_counted_as_such() -> None:
    assert compose([item(id=one, **OVER) for one in "ab"])[0] == "2 problems on web1 recovered"


def test_the_worst_problem_is_the_first_of_many() -> None:
    lines = compose([item(**OVER), item(Level.WARNING), item()])[1].splitlines()
    assert [line.split()[0] for line in lines] == ["CRITICAL", "WARNING", "OK"]


def test_a_long_list_ends_with_how_many_more_there_are() -> None:
    lines = compose([item(id=f"p{number}") for number in range(MAX_LINES + 7)])[1].splitlines()
    assert (len(lines), lines[-1]) == (MAX_LINES + 1, "… and 7 more")


@pytest.mark.parametrize("odd", ["a\r\nBcc: x", "a\x00b", "a\u202eb", "a\u2028b"])
def test_what_does_not_print_is_escaped(odd: str) -> None:
    title, text = compose([item(host=odd, reason=odd, note=odd, owner=odd, tags=(odd,))])
    assert title.isprintable() and all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("odd", ["{{config}}", "${x}", "{0.__class__}", "%(x)s", "{title}"])
def test_what_looks_like_a_template_is_printed_as_it_is(odd: str) -> None:
    assert odd in compose([item(reason=odd)])[0]


def test_an_endless_reason_is_cut() -> None:
    title, text = compose([item(reason="%s" * 1_000_000)])
    assert len(title) <= 200 and len(text) < 1_000


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (45, "45 s"), (720, "12 min"), (11_100, "3 h 5 min"), (172_800, "2 d"), (3_605, "1 h")],
)
def test_a_span_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words
