"""Prometheus' text format, read. Pure. See https://prometheus.io/docs/instrumenting/exposition_formats/.

What cannot be read costs its line and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import NamedTuple

MOST_SERIES = 20_000
LONGEST_LINE = 8_192  # characters
PROBLEMS_TOLD = 3

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*\s*=\s*"(?:[^"\\]|\\.)*"'
_LABELS = rf"(?:{_LABEL}\s*(?:,\s*)?)*"
_LINE = re.compile(rf"""({_NAME})(?:\s*\{{\s*({_LABELS})\}}\s*|\s+)([^\s{{}}"]+)(?:\s+-?[0-9]+)?""", re.ASCII)
_ONE_LABEL = re.compile(r'[\s,]*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"', re.ASCII)
_TYPE = re.compile(rf"#\s*TYPE\s+({_NAME})\s+(\w+)\s*", re.ASCII)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}
_CUMULATIVE = {"counter": ("", "_total"), "histogram": ("_count", "_sum"), "summary": ("_count", "_sum")}


class Series(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class Exposition(NamedTuple):
    """series: in their order; without those that have no finite value. cumulative: names of what only grows.

    skipped: lines that could not be read, or were too many. problems: what was wrong with the first of them.
    """

    series: list[Series]
    cumulative: frozenset[str]
    skipped: int
    problems: list[str]


def parse(text: str) -> Exposition:
    series: list[Series] = []
    cumulative: set[str] = set()
    problems: list[str] = []
    skipped = 0
    for number, line in _lines(text):
        if line.startswith("#"):
            if kind := _TYPE.fullmatch(line):
                cumulative.update(kind[1] + end for end in _CUMULATIVE.get(kind[2], ()))
            continue
        try:
            if len(series) >= MOST_SERIES:
                raise ValueError(f"there are more than {MOST_SERIES} series")
            found = _read(line)
        except ValueError as problem:
            skipped += 1
            if len(problems) < PROBLEMS_TOLD:
                problems.append(f"line {number}: {problem}")
            continue
        if isfinite(found.value):
            series.append(found)
    return Exposition(series, frozenset(cumulative), skipped, problems)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Those with something in them, counted from 1. Only a newline ends a line, whatever else Unicode has for it."""
    for number, line in enumerate(text.split("\n"), 1):
        if stripped := line.strip(" \t\r"):
            yield number, stripped


def _read(line: str) -> Series:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"is longer than {LONGEST_LINE} characters")
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"{line[:60]!r} is no name, labels and value")
    labels: dict[str, str] = {}
    place = 0  # to search for each anew would look through the whole line again and again
    while match[2] and (label := _ONE_LABEL.match(match[2], place)) is not None:
        labels[label[1]] = _unescaped(label[2])
        place = label.end()
    try:
        return Series(match[1], labels, float(match[3]))
    except ValueError:
        raise ValueError(f"{match[3][:40]!r} is no number") from None


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[0]), value) if "\\" in value else value
