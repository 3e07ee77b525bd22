"""InfluxDB's line protocol, read. Pure. See https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/.

A line that cannot be read costs itself and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import NamedTuple

MOST_PROBLEMS = 5
LONGEST_LINE = 64 << 10  # characters
LONGEST_NAME = 256

_KEY = r"(?:[^\\ ,=]|\\.)+"
_MEASUREMENT = r"(?:[^\\ ,]|\\.)+"
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s,"]+)'
_LINE = re.compile(
    rf"({_MEASUREMENT})((?:,{_KEY}={_KEY})*) +({_KEY}={_VALUE}(?:,{_KEY}={_VALUE})*)(?: +(-?[0-9]{{1,19}}))?"
)
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_FIELD = re.compile(rf",?({_KEY})=({_VALUE})")
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_TEXT = re.compile(r'\\(["\\])')
_WHOLE = re.compile(r"(-?[0-9]{1,19})[iu]")
_BOOLEANS = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)

Value = float | int | bool | str

PRECISIONS = {"ns": 1e-9, "n": 1e-9, "us": 1e-6, "u": 1e-6, "µ": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
"""seconds in a unit of time; version 2 knows the first of each, version 1 all but those two words of letters"""


class Point(NamedTuple):
    """time: in units of the write's precision; None: when it came."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int | None


class Points(NamedTuple):
    """problems: ``line 3: reason`` of the first lines that could not be read; skipped: how many there are."""

    points: list[Point]
    problems: list[str]
    skipped: int


def parse(text: str) -> Points:
    points: list[Point] = []
    problems: list[str] = []
    skipped = 0
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        try:
            points.append(_read(stripped))
        except ValueError as problem:
            skipped += 1
            if len(problems) < MOST_PROBLEMS:
                problems.append(f"line {number}: {problem}")
    return Points(points, problems, skipped)


def _read(line: str) -> Point:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"is longer than {LONGEST_LINE} characters")
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"{line[:60]!r} is no measurement, fields and time")
    measurement, tags, fields, time = match.groups()
    return Point(
        _name(measurement),
        {_name(name): _name(value) for name, value in _pairs(_TAG.match, tags)},
        {_name(name): _value(value) for name, value in _pairs(_FIELD.match, fields)},
        int(time) if time is not None else None,
    )


def _pairs(match: Callable[[str, int], re.Match[str] | None], text: str) -> Iterator[tuple[str, str]]:
    """One behind the other; to search for each anew would look through the whole text again and again."""
    place = 0
    while (found := match(text, place)) is not None:
        yield found[1], found[2]
        place = found.end()


def _name(text: str) -> str:
    name = _ESCAPED.sub(r"\1", text) if "\\" in text else text
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name[:40]!r} is no name of at most {LONGEST_NAME} characters")
    return name


def _value(text: str) -> Value:
    if text.startswith('"'):
        return _ESCAPED_IN_TEXT.sub(r"\1", text[1:-1])
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if whole := _WHOLE.fullmatch(text):
        return int(whole[1])
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise ValueError(f"{text[:40]!r} is no value")
    return number
