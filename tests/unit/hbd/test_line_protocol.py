"""InfluxDB's line protocol: what is read of it, and what a bad line costs."""

import pytest

from hbd.receivers.line_protocol import LONGEST_NAME, Point, parse


@pytest.mark.parametrize(
    ("line", "point"),
    [
        ("cpu idle=98.5", Point("cpu", {}, {"idle": 98.5}, None)),
        ("cpu,host=a idle=1 1465839830100400200", Point("cpu", {"host": "a"}, {"idle": 1.0}, 1465839830100400200)),
        ("m a=3i,b=4u,c=-1e3", Point("m", {}, {"a": 3, "b": 4, "c": -1000.0}, None)),
        ("m a=t,b=FALSE,c=true", Point("m", {}, {"a": True, "b": False, "c": True}, None)),
        (r'm s="a \"b\", = \\ c",n=1', Point("m", {}, {"s": 'a "b", = \\ c', "n": 1.0}, None)),
        (r"my\ m\,x,t\=k=v\ w a\ b=1", Point("my m,x", {"t=k": "v w"}, {"a b": 1.0}, None)),
        (r"m,path=C:\x a=1", Point("m", {"path": r"C:\x"}, {"a": 1.0}, None)),
        ("m a=1 -5\r", Point("m", {}, {"a": 1.0}, -5)),
        ('m a="#{} 1"', Point("m", {}, {"a": "#{} 1"}, None)),
    ],
)
def test_a_line_is_read(line: str, point: Point) -> None:
    assert parse(line).points == [point]


@pytest.mark.parametrize(
    "line",
    [
        "m",
        "m a",
        "m a=",
        "m =1",
        "m a=1 soon",
        "m a=1 1 2",
        ",t=v a=1",
        "m,t a=1",
        "m,t= a=1",
        "m a=NaN",
        "m a=1e999",
        "m a=x",
        'm a="open',
        'm a="x"y',
        "m a=1,",
        "m a=1 99999999999999999999",
        f"{'m' * (LONGEST_NAME + 1)} a=1",
        "m\x07 a=1",
    ],
)
def test_a_bad_line_costs_itself_alone(line: str) -> None:
    found = parse(f"before a=1\n{line}\nafter a=1")
    assert [point.measurement for point in found.points] == ["before", "after"]
    assert found.skipped == 1
    assert found.problems[0].startswith("line 2: ")


def test_empty_lines_and_comments_are_passed_over() -> None:
    assert parse("\n# nothing\n  \nm a=1\n").points == [Point("m", {}, {"a": 1.0}, None)]


@pytest.mark.parametrize(
    "line",
    [
        "a " + "b=1," * 9000 + '"',
        "a," + "b=c," * 9000 + " x",
        'a b="' + "\\" * 18_001,
        "\\" * 20_000,
        "a" + " " * 20_000,
    ],
)
def test_a_line_made_to_take_long_is_read_like_any(line: str) -> None:
    assert parse(f"{line}\n" * 20).skipped == 20
