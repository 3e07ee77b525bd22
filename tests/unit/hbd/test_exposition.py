"""Prometheus' text format: what is read of it, and what a bad line costs."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hbd.scraping.exposition import LONGEST_LINE, MOST_SERIES, Series, parse


@pytest.mark.parametrize(
    ("line", "series"),
    [
        ("up 1", Series("up", {}, 1.0)),
        ("up{} 1", Series("up", {}, 1.0)),
        ("  up\t 1.5e3  1395066363000 ", Series("up", {}, 1500.0)),
        ('a:b{x="1",y="2"} -3', Series("a:b", {"x": "1", "y": "2"}, -3.0)),
        ('a{ x = "1" , } 4', Series("a", {"x": "1"}, 4.0)),
        (r'a{path="C:\\dir\"\n"} 1', Series("a", {"path": 'C:\\dir"\n'}, 1.0)),
        ('a{x="{} # 5"} 1', Series("a", {"x": "{} # 5"}, 1.0)),
        ('a{x="ü€"} 1\r', Series("a", {"x": "ü€"}, 1.0)),
    ],
)
def test_a_line_is_read(line: str, series: Series) -> None:
    assert parse(line).series == [series]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_has_no_finite_value_is_left_out_and_no_problem(value: str) -> None:
    assert parse(f"a {value}\nb 1") == ([Series("b", {}, 1.0)], frozenset(), 0, [])


@pytest.mark.parametrize(
    "line",
    ["a", "a b", "1a 1", 'a{x="1} 1', "a{x=1} 1", 'a{x="1"', '{x="1"} 1', "a 1 soon", "a 1 2 3", "<html>", "a{{}} 1"],
)
def test_a_bad_line_costs_itself_alone(line: str) -> None:
    found = parse(f"before 1\n{line}\nafter 2")
    assert [series.name for series in found.series] == ["before", "after"]
    assert found.skipped == 1
    assert found.problems[0].startswith("line 2: ")


def test_a_line_that_is_too_long_is_skipped() -> None:
    assert parse("a" * (LONGEST_LINE + 1) + " 1").problems == [f"line 1: is longer than {LONGEST_LINE} characters"]


def test_what_is_too_much_is_counted() -> None:
    found = parse("a 1\n" * (MOST_SERIES + 5))
    assert (len(found.series), found.skipped, len(found.problems)) == (MOST_SERIES, 5, 3)


def test_types_tell_what_only_grows() -> None:
    text = "# TYPE a counter\n# TYPE b gauge\n#TYPE c summary\n# TYPE d histogram\n# HELP a counter"
    cumulative = parse(text).cumulative
    assert {"a", "c_count", "c_sum", "d_count", "d_sum"} <= cumulative
    assert not {"b", "c", "d"} & cumulative


@pytest.mark.parametrize(
    "line",
    ["a{" + 'a="b",' * 1300 + "x", 'a{a="b"' + " " * 8000 + "x", "a 1" + " " * 8000 + "x", 'a{x="' + "\\" * 8000],
)
def test_a_line_made_to_take_long_is_read_like_any(line: str) -> None:
    assert parse(f"{line}\n" * 100).skipped == 100


def test_it_reads_what_the_reference_reader_reads() -> None:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["path"], registry=registry).labels('a"\\\n').inc(3)
    Gauge("level", "Level.", registry=registry).set(-0.25)
    Histogram("seconds", "Seconds.", registry=registry).observe(0.2)
    text = generate_latest(registry).decode()
    expected = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert sorted(parse(text).series, key=repr) == sorted((Series(*one) for one in expected), key=repr)
