"""One plugin's samples as cards, tables and facts: what goes where on the plugins page. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hbd.model import Data, Sample
from hbd.web.paint import (
    NOTHING,
    Reading,
    Spark,
    is_moment,
    is_number,
    label,
    labels,
    reading,
    same_unit,
    short_span,
    spark,
)

# How much of a hostile or huge sample is drawn.
MAX_CARDS = 100
MAX_LINES = 500
MAX_COLUMNS = 30
MAX_TEXT = 2000
SAMPLE_LINES = 100

TREND = "trend"
# The metric of a nested value whose curve stands at the end of its line: the first that it has.
TREND_METRICS = ("percent", "rx_bytes_per_second", "read_bytes_per_second", "current", "celsius", "cpu_percent")

# In which order people look for things; plugins of their own come next, the agent's view of itself last.
ORDER = (
    "cpu_monitor",
    "memory_monitor",
    "disk_monitor",
    "network_monitor",
    "process_monitor",
    "watched_processes",
    "temperature",
    "os_info",
)
AGENT = "agent_monitor"

# Labels that only the plugin can tell.
NAMES = {
    "memory_monitor": {"percent": "Used"},
    "disk_monitor": {"percent": "Used", "read_bytes_per_second": "Read", "write_bytes_per_second": "Written"},
    "watched_processes": {"count": "Running", "oldest_start_time": "Oldest started"},
    AGENT: {"seconds": "Took"},
}
# What stands in small letters under the name of a line: texts as they are, flags by their name where they are set.
UNDER_NAME = ("device", "fstype")
FLAGS = {"read_only": "read-only", "hanging": "does not answer"}
# Columns that say nothing new once all of the others are there.
DERIVED = {
    "used_gb": {"percent", "total_gb", "free_gb"},
    "inodes_total": {"inodes_percent"},
    "inodes_free": {"inodes_percent"},
    "oldest_after_boot_seconds": {"oldest_start_time"},
}


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
    """below: a smaller line under the text."""

    text: str
    fill: float | None = None
    curve: Spark | None = None
    below: str = ""


class Table(NamedTuple):
    """named: whether the first cell of a line is its name. above: what stands before a column's metric in the paths of
    all its lines, with a `*` for their names; "" when it has no history."""

    key: str
    title: str
    columns: list[Column]
    lines: list[list[TableCell]]
    named: bool
    above: str = ""


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


class Failure(NamedTuple):
    """A plugin that has no samples because it does not work."""

    plugin: str
    reason: str


EMPTY = PluginView([], [], [], Samples([], []))


def ordered(names: Iterable[str]) -> list[str]:
    """Plugins in the order of their tabs."""
    places = {name: place for place, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: (name == AGENT, places.get(name, len(ORDER)), name))


def failures(agent: Data, names: Sequence[str]) -> list[Failure]:
    """agent: the newest sample of agent_monitor. names: plugins with samples, which need no word here."""
    found = [
        Failure(_cut(name), _cut(str(run.get("reason") or "no reason given")))
        for name, run in agent.items()
        if isinstance(run, dict) and run.get("ok") is False and name not in names
    ]
    return found[:MAX_LINES]


def plugin_view(samples: Sequence[Sample]) -> PluginView:
    """samples: of one plugin, newest first."""
    if not samples:
        return EMPTY
    newest = samples[0].data
    names = NAMES.get(samples[0].plugin, {})
    numbers = [metric for metric, value in newest.items() if is_number(value) and not is_moment(metric, value)]
    numbers = numbers[:MAX_CARDS]
    told = labels(numbers, names)
    tables = [table for table in (_group(samples, newest), *_nested(samples, newest)) if table.lines]
    facts = [
        Fact(metric, label(metric), _text(metric, value)) for metric, value in newest.items() if _is_fact(metric, value)
    ]
    pairs = list(zip(numbers, told, strict=True))
    columns = [Column("", "Time", False), *(Column(metric, text, True) for metric, text in pairs[:MAX_COLUMNS])]
    lines = [
        (sample.time, [str(reading(metric, sample.data.get(metric))) for metric in numbers[:MAX_COLUMNS]])
        for sample in samples[:SAMPLE_LINES]
    ]
    return PluginView(
        [_card(samples, metric, text) for metric, text in pairs],
        tables,
        facts[:MAX_LINES],
        Samples(columns, lines if numbers else []),
    )


def _card(samples: Sequence[Sample], metric: str, text: str) -> Card:
    points = _points(samples, (metric,))
    now = reading(metric, samples[0].data[metric])
    if len(points) < 2:
        return Card(metric, text, now, None, None, None, "")
    values = [value for _, value in points]
    low, high = reading(metric, min(values)), reading(metric, max(values))
    words = f"{text}: {low} to {high} in {short_span(points[-1][0] - points[0][0])}, now {now}"
    return Card(metric, text, now, low, high, spark(points), words)


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
    entries = dict(list(entries.items())[:MAX_LINES])
    names = NAMES.get(samples[0].plugin, {}) if samples else {}
    metrics = _columns_of(entries.values())
    trend = next((metric for metric in TREND_METRICS if metric in metrics), None) if len(samples) > 1 else None
    columns, cells = _columns(metrics, list(entries.values()), names)
    columns.insert(0, Column("", "Name", False))
    if trend:
        columns.append(Column(TREND, f"{names.get(trend) or label(trend)} trend", True))
    lines = []
    for (name, entry), line in zip(entries.items(), cells, strict=True):
        first = TableCell(_cut(name), below=_below(entry))
        last = [_trend(samples, (*path, name, trend))] if trend else []
        lines.append([first, *line, *last])
    above = ".".join((samples[0].plugin, *path, "*")) if samples else ""
    return Table(key, title, columns, lines, named=True, above=above)


def _list_table(metric: str, entries: Sequence[Data]) -> Table:
    metrics = list(dict.fromkeys(name for entry in entries for name in entry))[:MAX_COLUMNS]
    columns, lines = _columns(metrics, entries, {})
    return Table(metric, label(metric), columns, lines, named=False)


def _columns_of(entries: Iterable[Data]) -> list[str]:
    """The metrics that get a column of their own."""
    metrics = dict.fromkeys(metric for entry in entries for metric in entry)
    left_out = {*UNDER_NAME, *FLAGS} | {metric for metric, others in DERIVED.items() if others <= metrics.keys()}
    return [metric for metric in metrics if metric not in left_out][:MAX_COLUMNS]


def _below(entry: Data) -> str:
    texts = [_text(metric, entry[metric]) for metric in UNDER_NAME if entry.get(metric)]
    return " · ".join([*texts, *(words for metric, words in FLAGS.items() if entry.get(metric) is True)])


def _columns(
    metrics: Sequence[str], entries: Sequence[Data], names: Mapping[str, str]
) -> tuple[list[Column], list[list[TableCell]]]:
    """Columns, and the cells of each entry."""
    columns, cells = [], []
    for metric, text in zip(metrics, labels(metrics, names), strict=True):
        values = [entry.get(metric) for entry in entries]
        columns.append(Column(metric, text, all(is_number(value) or value is None for value in values)))
        form = same_unit(metric, [float(value) for value in values if value is not None and is_number(value)])
        cells.append([_cell(metric, value, form) for value in values])
    return columns, [list(line) for line in zip(*cells, strict=True)] if cells else [[] for _ in entries]


def _cell(metric: str, value: Any, form: Callable[[float], str]) -> TableCell:
    if not is_number(value):
        return TableCell(_text(metric, value))
    percent = metric == "percent" or metric.endswith("_percent")
    fill = min(100.0, max(0.0, float(value))) if percent and math.isfinite(value) else None
    return TableCell(form(value), fill)


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
