import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbd.errors import InvalidInput
from hbd.web import grafana_asked
from hbd.web.grafana_asked import Budget, Filter

NOW = 1_795_219_200.0


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("web1", ["web1"]),
        (r"web1\.example\.com", ["web1.example.com"]),
        ("(web1|web2)", ["web1", "web2"]),
        (r"(web1\.a|db:1)", ["web1.a", "db:1"]),
        ("{web1,web2}", ["web1", "web2"]),
        (r"disk_monitor.(\/|\/home).percent", ["disk_monitor./.percent", "disk_monitor./home.percent"]),
        ("(a|b).(c|d)", ["a.c", "a.d", "b.c", "b.d"]),
        (r"a\(b\)", ["a(b)"]),
        ("()", [""]),
    ],
)
def test_a_variable_stands_for_its_values(text, values):
    assert grafana_asked.chosen(text, Budget()) == values


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5))
def test_what_grafana_escapes_is_read_back(values):
    escaped = ["".join(f"\\{sign}" if sign in r"\^$*+?.()|[]{}/" else sign for sign in value) for value in values]
    assert grafana_asked.chosen(f"({'|'.join(escaped)})", Budget()) == list(dict.fromkeys(values))


@pytest.mark.parametrize("text", ["(a|b)" * 13, "(a|b)" * 12 + "x" * 1000])
def test_a_text_that_stands_for_too_much_is_refused(text):
    with pytest.raises(InvalidInput):
        grafana_asked.chosen(text, Budget())


def test_hosts_are_named_with_commas_or_as_a_list():
    assert grafana_asked.names("web1, web2,,{db1,db2}", "hosts", Budget()) == ["web1", "web2", "db1", "db2"]
    assert grafana_asked.names(["web1", "(web1|web2)"], "hosts", Budget()) == ["web1", "web2"]


def test_hosts_that_are_too_many_together_are_refused_with_their_field():
    with pytest.raises(InvalidInput, match=r"^hosts: stands for more than 5,000 values"):
        names = [f"({'|'.join(f'{first}-{number}' for number in range(3000))})" for first in "ab"]
        grafana_asked.names(names, "hosts", Budget())


def test_a_choice_that_is_there_twice_is_one():
    assert grafana_asked.chosen("(a|b|a).(c|c)", Budget()) == ["a.c", "b.c"]


def test_a_text_of_too_many_groups_is_refused():
    with pytest.raises(InvalidInput, match=r"^at most 100 groups of choices in one text"):
        grafana_asked.chosen("()" * 101, Budget())


def test_what_the_texts_of_a_request_stand_for_is_counted_together():
    budget, hosts = Budget(), f"({'|'.join(f'web{number}' for number in range(2000))})"
    for _ in range(26):
        grafana_asked.names(hosts, "hosts", budget)
    with pytest.raises(InvalidInput, match=r"^tags: stands for too much"):
        for _ in range(26):
            grafana_asked.names(hosts, "tags", budget)


def test_many_small_choices_are_counted_for_what_they_are_put_together_of():
    some = f"({'|'.join(map(str, range(10)))})"
    with pytest.raises(InvalidInput, match=r"^hosts: stands for too much"):
        grafana_asked.names([some * 3] * 100, "hosts", Budget())


def test_metrics_that_are_too_many_are_refused_with_their_field():
    assert (
        len(grafana_asked.metrics(",".join(f"a.{number}" for number in range(50)), "metric", Budget(), several=True))
        == 50
    )
    with pytest.raises(InvalidInput, match=r"^metric: at most 50 at once"):
        grafana_asked.metrics(",".join(f"a.{number}" for number in range(51)), "metric", Budget(), several=True)


def test_a_metric_may_have_any_sign_in_its_name():
    assert (
        grafana_asked.metrics(r"disk_monitor.C:\.percent", "metric", Budget(), several=False)[0]
        == r"disk_monitor.C:\.percent"
    )


@pytest.mark.parametrize("text", ["", ",", "cpu"])
def test_what_is_no_metric_is_refused_with_its_field(text):
    with pytest.raises(InvalidInput, match=r"^targets\[0\]\.target: "):
        grafana_asked.metrics(text, "targets[0].target", Budget(), several=True)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        (1_795_219_200_000, NOW),
        ("1795219200000", NOW),
        ("1795219200", NOW),
        ("2026-11-21T00:00:00.500Z", NOW + 0.5),
        ("now-1h", NOW - 3600),
        ("now", NOW),
    ],
)
def test_a_time_is_milliseconds_or_words(said, moment):
    assert grafana_asked.moment(said, NOW, "from") == moment


@pytest.mark.parametrize("said", ["${__from}", "nan", "inf", "-1", "yesterday", 1e40])
def test_a_time_that_is_none_is_refused_with_its_field(said):
    with pytest.raises(InvalidInput, match=r"^range\.from: "):
        grafana_asked.moment(said, NOW, "range.from")


@pytest.mark.parametrize(("text", "seconds"), [("60000", 60), ("1m", 60), ("500ms", 0.5), ("2h", 7200)])
def test_an_interval_is_milliseconds_or_has_a_unit(text, seconds):
    assert grafana_asked.interval(text, "interval") == seconds


def test_what_is_missing_is_a_gap():
    points = [(0.0, 1.0), (60.0, 2.0), (300.0, 3.0), (360.0, 4.0)]
    assert list(grafana_asked.with_gaps(points, 60)) == [*points[:2], (120.0, None), *points[2:]]


def test_what_comes_every_five_minutes_has_no_gaps():
    points = [(300.0 * number, 1.0) for number in range(5)]
    assert list(grafana_asked.with_gaps(points, 60)) == points


def test_samples_have_a_gap_where_three_are_missing():
    points = [(0.0, 1.0), (10.0, 1.0), (20.0, 1.0), (60.0, 1.0)]
    assert [moment for moment, value in grafana_asked.with_gaps(points, 0) if value is None] == [30.0]


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)]])
def test_few_points_have_no_gaps(points):
    assert list(grafana_asked.with_gaps(points, 60)) == points


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Filter("host", "=", "WEB1"), True),
        (Filter("host", "!=", "web1"), False),
        (Filter("host", "=|", values=["web1", "web2"]), True),
        (Filter("host", "!=|", values=["web1", "web2"]), False),
        (Filter("tag", "=", "prod"), True),
        (Filter("tag", "!=", "test"), True),
    ],
)
def test_a_filter_leaves_what_fits(wanted, fits):
    (condition,) = grafana_asked.conditions([wanted])
    assert condition.fits("web1", ["Prod"]) is fits


@pytest.mark.parametrize(("wanted", "field"), [(Filter("os"), "key"), (Filter("host", "=~", "web.*"), "operator")])
def test_a_filter_that_there_is_not_is_refused_with_its_field(wanted, field):
    with pytest.raises(InvalidInput, match=rf"^adhocFilters\[1\]\.{field}: "):
        grafana_asked.conditions([Filter("host"), wanted])
