"""One plugin's samples as cards, tables and facts: what goes where on the plugins page. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hbd.model import Data, Sample
from hbd.web.paint import NOTHING, Reading, Spark, is_moment, is_number, label, reading, short_span, spark

# How much of a hostile or huge sample is drawn.
MAX_CARDS = 100
MAX_LINES = 500
MAX_COLUMNS = 30
MAX_TEXT = 2000
SAMPLE_LINES = 100

TREND = "trend"
# The metric of a nested value whose curve stands at the end of its line: the first that it has.
TREND_METRICS = ("percent", "rx_bytes_per_second", "read_bytes_per_second", "current", "celsius")


class Card(NamedTuple):
    """One number: now, and over the samples that the daemon holds. low, high: None when there is one sample only."""

    metric: str
    label: str
    reading: Reading
    low: Reading | None
    high: Reading | None
    curve: Spark | None
    words: str


class Column(NamedTuple):
    metric: str
    label: str
    right: bool


class TableCell(NamedTuple):
    text: str
    fill: float | None = None
    curve: Spark | None = None


class Table(NamedTuple):
    """named: whether the first cell of a line is its name."""

    key: str
    title: str
    columns: list[Column]
    lines: list[list[TableCell]]
    named: bool


class Fact(NamedTuple):
    metric: str
    label: str
    text: str


class Samples(NamedTuple):
    """The numbers of every sample, newest first: what the curves are drawn from."""

    columns: list[Column]
    lines: list[tuple[float, list[str]]]


class PluginView(NamedTuple):
    cards: list[Card]
    tables: list[Table]
    facts: list[Fact]
    samples: Samples


EMPTY = PluginView([], [], [], Samples([], []))


def plugin_view(samples: Sequence[Sample]) -> PluginView:
    """samples: of one plugin, newest first."""
    if not samples:
        return EMPTY
    newest = samples[0].data
    numbers = [metric for metric, value in newest.items() if is_number(value) and not is_moment(metric, value)][
        :MAX_CARDS
    ]
    tables = [table for table in (_group(samples, newest), *_nested(samples, newest)) if table.lines]
    facts = [
        Fact(metric, label(metric), _text(metric, value)) for metric, value in newest.items() if _is_fact(metric, value)
    ]
    columns = [Column("", "Time", False), *(Column(metric, label(metric), True) for metric in numbers[:MAX_COLUMNS])]
    lines = [
        (sample.time, [str(reading(metric, sample.data.get(metric))) for metric in numbers[:MAX_COLUMNS]])
        for sample in samples[:SAMPLE_LINES]
    ]
    return PluginView(
        [_card(samples, metric) for metric in numbers],
        tables,
        facts[:MAX_LINES],
        Samples(columns, lines if numbers else []),
    )


def _card(samples: Sequence[Sample], metric: str) -> Card:
    points = _points(samples, (metric,))
    now = reading(metric, samples[0].data[metric])
    if len(points) < 2:
        return Card(metric, label(metric), now, None, None, None, "")
    values = [value for _, value in points]
    low, high = reading(metric, min(values)), reading(metric, max(values))
    words = f"{label(metric)}: {low} to {high} in {short_span(points[-1][0] - points[0][0])}, now {now}"
    return Card(metric, label(metric), now, low, high, spark(points), words)


def _group(samples: Sequence[Sample], newest: Data) -> Table:
    """Disks, interfaces: every metric that holds a flat set of values is a line of one table."""
    return _table("names", "", {k: v for k, v in newest.items() if _is_flat(v)}, samples, ())


def _nested(samples: Sequence[Sample], newest: Data) -> Iterator[Table]:
    for metric, value in newest.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            yield _list_table(metric, value[:MAX_LINES])
        elif isinstance(value, dict) and not _is_flat(value):
            flat = {k: v for k, v in value.items() if _is_flat(v)}
            rest = {k: v for k, v in value.items() if k not in flat}
            if flat:
                yield _table(metric, label(metric), flat, samples, (metric,))
            if rest:
                yield _table(f"{metric} ", label(metric), {k: {"value": v} for k, v in rest.items()}, (), (metric,))


def _table(
    key: str, title: str, entries: Mapping[str, Data], samples: Sequence[Sample], path: tuple[str, ...]
) -> Table:
    metrics = list(dict.fromkeys(metric for entry in entries.values() for metric in entry))[:MAX_COLUMNS]
    trend = next((metric for metric in TREND_METRICS if metric in metrics), None) if len(samples) > 1 else None
    columns = [Column("", "Name", False), *(_column(metric, entries.values()) for metric in metrics)]
    if trend:
        columns.append(Column(TREND, f"{label(trend)} trend", True))
    lines = []
    for name, entry in list(entries.items())[:MAX_LINES]:
        line = [TableCell(_cut(name)), *(_cell(metric, entry.get(metric)) for metric in metrics)]
        if trend:
            line.append(_trend(samples, (*path, name, trend)))
        lines.append(line)
    return Table(key, title, columns, lines, named=True)


def _list_table(metric: str, entries: Sequence[Data]) -> Table:
    metrics = list(dict.fromkeys(name for entry in entries for name in entry))[:MAX_COLUMNS]
    columns = [_column(name, entries) for name in metrics]
    return Table(metric, label(metric), columns, [[_cell(m, e.get(m)) for m in metrics] for e in entries], named=False)


def _column(metric: str, entries: Any) -> Column:
    return Column(metric, label(metric), all(is_number(v) or v is None for v in (e.get(metric) for e in entries)))


def _cell(metric: str, value: object) -> TableCell:
    if not is_number(value):
        return TableCell(_text(metric, value))
    percent = metric == "percent" or metric.endswith("_percent")
    shown = min(100.0, max(0.0, float(value))) if percent and isinstance(value, int | float) else None
    return TableCell(str(reading(metric, value)), shown if shown is None or shown == shown else None)


def _trend(samples: Sequence[Sample], path: tuple[str, ...]) -> TableCell:
    points = _points(samples, path)
    curve = spark(points)
    if curve is None:
        return TableCell(NOTHING)
    low, high = (str(reading(path[-1], bound(value for _, value in points))) for bound in (min, max))
    return TableCell(f"{path[-2]}: {low} to {high}", curve=curve)


def _points(samples: Sequence[Sample], path: Sequence[str]) -> list[tuple[float, float]]:
    """(time, number) of the samples that have one at the path, oldest first."""
    points = []
    for sample in reversed(samples):
        value: Any = sample.data
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if is_number(value) and math.isfinite(value):
            points.append((sample.time, float(value)))
    return points


def _is_flat(value: object) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    return not any(isinstance(inner, dict | list) for inner in value.values())


def _is_fact(metric: str, value: Any) -> bool:
    if isinstance(value, list):
        return not value or not all(isinstance(entry, dict) for entry in value)
    if is_number(value):
        return is_moment(metric, value)
    return not isinstance(value, dict) or not value


def _text(metric: str, value: object) -> str:
    if isinstance(value, list) and not any(isinstance(entry, dict | list) for entry in value):
        return _cut(", ".join(str(reading(metric, entry)) for entry in value)) or NOTHING
    if isinstance(value, dict | list):
        return _cut(json.dumps(value, ensure_ascii=False)) if value else NOTHING
    return _cut(str(reading(metric, value)))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
