from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from multidict import MultiDict

from hbd.web.history import History
from hbd.web.history_asked import MAX_METRICS, Asked, asked_by, csv_url, ways

NOW = 1_800_000_000.0
HOUR = 3600.0
SIX = Asked("web1", ("cpu_monitor.cpu_percent",), "6h")


def asked_again(url: str | None) -> dict[str, str]:
    assert url is not None
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_range_that_there_is_not_is_passed_over() -> None:
    assert asked_by(MultiDict(range="9h")).range == ""


def test_times_come_before_a_range() -> None:
    assert asked_by(MultiDict({"range": "7d", "from": "1", "to": "2"})) == Asked(start="1", to="2")


def test_a_metric_that_is_named_twice_is_shown_once() -> None:
    assert asked_by(MultiDict([("metric", "a.b"), ("metric", "a.b")])).metrics == ("a.b",)


def test_metrics_beyond_the_limit_are_left_out() -> None:
    query = MultiDict([("metric", f"a.{number}") for number in range(MAX_METRICS + 5)])
    assert len(asked_by(query).metrics) == MAX_METRICS


def test_the_url_says_what_was_asked() -> None:
    asked = Asked("web 1", ("a.b", "c.&d"), start="5", to="9")
    query = MultiDict(
        [(name, value) for name, values in parse_qs(urlsplit(asked.url()).query).items() for value in values]
    )
    assert asked_by(query) == asked


def test_an_hour_is_shown_sample_by_sample_while_these_are_kept() -> None:
    asked = Asked(range="1h")
    assert [asked.times(NOW, kept)[2] for kept in (48 * HOUR, 60.0)] == ["raw", ""]


def test_closer_to_what_goes_on_is_its_last_half() -> None:
    found = ways(SIX, (NOW - 6 * HOUR, NOW), NOW)
    assert asked_again(found.closer)["from"] == "now-10800s"


def test_closer_to_a_time_that_is_over_is_its_middle() -> None:
    asked = Asked("web1", start="1000", to="9000")
    again = asked_again(ways(asked, (1000.0, 9000.0), NOW).closer)
    assert (again["from"], again["to"]) == ("3000", "7000")


def test_more_time_of_a_known_length_is_that_range() -> None:
    asked = SIX._replace(range="", start="now-43200s")
    assert asked_again(ways(asked, (NOW - 12 * HOUR, NOW), NOW).further)["range"] == "24h"


def test_later_never_leads_beyond_now() -> None:
    asked = Asked("web1", start="1", to="2")
    found = ways(asked, (NOW - 8 * HOUR, NOW - 2 * HOUR), NOW)
    assert asked_again(found.later) == {"host": "web1", "range": "6h"}


def test_nothing_is_later_than_now() -> None:
    assert ways(SIX, (NOW - 6 * HOUR, NOW), NOW).later is None


def test_the_shortest_time_has_no_closer_look() -> None:
    assert ways(SIX, (NOW - 120.0, NOW), NOW).closer is None


def test_more_than_a_year_is_asked_for_by_its_beginning() -> None:
    found = ways(SIX._replace(range="1y"), (NOW - 365 * 86_400, NOW), NOW)
    assert asked_again(found.further)["from"] == str(round(NOW - 730 * 86_400))


def test_a_comma_in_a_name_does_not_part_it_in_the_csv() -> None:
    url = csv_url("web1", SIX._replace(metrics=("own.a,b",)), History(0, 60, 60, 60, [], [], None))
    assert asked_again(url)["metric"] == "own.a?b"
