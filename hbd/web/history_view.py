"""What the page of history shows: metrics to choose from, charts by unit, the same numbers as tables. Pure.

Times are Unix seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from hbd.model import Data
from hbd.rollups import columns_of
from hbd.web.history import COUNTER, History, Series
from hbd.web.history_alerts import AlertSpan
from hbd.web.history_asked import Asked
from hbd.web.paint import NOTHING, is_moment, label, long_span, reading, unit_key
from hbd.web.plugin_view import NAMES

MAX_CHOICES = 2000
MAX_CURVES = 40
COLOURS = 8
ROWS = 500
TITLE_NAMES = 3
USUAL = ("cpu_monitor.cpu_percent", "memory_monitor.percent", "cpu_monitor.load_1min")
"""what is shown where nobody says what they want"""


class Choice(NamedTuple):
    metric: str
    label: str
    chosen: bool


class Group(NamedTuple):
    plugin: str
    choices: list[Choice]


class Curve(NamedTuple):
    """One line of a chart. colour: 1 to COLOURS; newest, mean, low, high: of the whole time, as text; drop: the page
    without it, None where a pattern named it."""

    metric: str
    label: str
    plugin: str
    colour: int
    rate: bool
    newest: str
    mean: str
    low: str
    high: str
    drop: str | None


class Cell(NamedTuple):
    """spread: the least and the most, "" where they are the mean."""

    mean: str
    spread: str = ""


class Chart(NamedTuple):
    """Curves of one unit. key: of that unit; rows: (time, a cell for each curve), newest first; left: more rows."""

    key: str
    unit: str
    title: str
    curves: list[Curve]
    rows: list[tuple[float, list[Cell]]]
    left: int


class Drawn(Struct):
    """A curve as the script draws it. points: time, mean, least, most."""

    metric: str
    label: str
    colour: int
    points: list[list[float]]


class DrawnChart(Struct):
    key: str
    unit: str
    curves: list[Drawn]


class Picture(Struct):
    """What the script needs to draw the charts. start, end: of the time that was asked for."""

    start: float
    end: float
    step: int
    live: bool
    plugins: list[str]
    charts: list[DrawnChart]
    alerts: list[AlertSpan]


# ------------------------------------------------------------------------------------------------------------- metrics


def choices(latest: Mapping[str, Data], chosen: Iterable[str]) -> list[Group]:
    """What can be shown, by plugin. latest: plugin → its newest sample. What is chosen but not in it comes first."""
    wanted = dict.fromkeys(chosen)
    groups: list[Group] = []
    room = MAX_CHOICES
    for plugin, data in latest.items():
        found = [
            Choice(metric := ".".join((plugin, *path)), _name(plugin, path), metric in wanted)
            for path, (bucket,) in columns_of([(0.0, data)]).items()
            if not is_moment(path[-1], bucket.last)
        ][:room]
        room -= len(found)
        if found:
            groups.append(Group(plugin, found))
    known = {choice.metric for group in groups for choice in group.choices}
    others = [Choice(metric, metric, True) for metric in wanted if metric not in known]
    return [Group("", others), *groups] if others else groups


def usual(groups: Sequence[Group]) -> tuple[str, ...]:
    """What to show of a host when nobody says what: the usual metrics, or else the first that it has."""
    known = [choice.metric for group in groups for choice in group.choices]
    return tuple(metric for metric in USUAL if metric in known) or tuple(known[:1])


def _name(plugin: str, path: Sequence[str]) -> str:
    """``/home · Disk used``; a counter is named by its rate."""
    *keys, metric = path
    given = NAMES.get(plugin, {}).get(metric)
    name = label(f"{plugin.removesuffix('_monitor')} {given.lower()}") if given else label(_as_shown(metric))
    return " · ".join([*keys, name])


def _as_shown(metric: str) -> str:
    """``sent_bytes_total`` → ``sent_bytes_per_second``: a name that says the unit of a rate."""
    return COUNTER.sub("_per_second", metric)


# -------------------------------------------------------------------------------------------------------------- charts


class _Part(NamedTuple):
    """plugin, rest: of the metric's path. shown: its last name, which says the unit."""

    series: Series
    plugin: str
    rest: str
    shown: str


def charts(told: History, asked: Asked, plugins: Sequence[str]) -> list[Chart]:
    """Curves of one unit together, in the order in which they were asked for; none where nothing is known.

    plugins: those that the host has.
    """
    if not any(series.points for series in told.series):
        return []
    by_unit: dict[str, list[_Part]] = {}
    for series in told.series[:MAX_CURVES]:
        part = _part(series, plugins)
        # Numbers without a unit are alike when they come from one plugin.
        by_unit.setdefault(unit_key(part.shown) or f"of {part.plugin}", []).append(part)
    found, colour = [], 0
    for key, parts in by_unit.items():
        curves = []
        for part in parts:
            curves.append(_curve(part, colour % COLOURS + 1, asked))
            colour += 1
        rows, left = _rows(parts)
        found.append(Chart(key, "" if key.startswith("of ") else key, _title(curves), curves, rows, left))
    return found


def missing(told: History, asked: Asked) -> list[str]:
    """Metrics that were asked for, and of which nothing is known in that time."""
    known = {series.metric for series in told.series if series.points}
    return [metric for metric in asked.metrics if metric not in known and "*" not in metric]


def picture(
    told: History, asked: Asked, span: tuple[float, float], drawn: Sequence[Chart], alerts: list[AlertSpan]
) -> Picture:
    """drawn: what ``charts`` made of the same. span: the time that was asked for."""
    points = {series.metric: [row[:4] for row in series.points] for series in told.series}
    return Picture(
        start=span[0],
        end=span[1],
        step=told.step,
        live=asked.live,
        plugins=list(dict.fromkeys(curve.plugin for chart in drawn for curve in chart.curves)),
        charts=[
            DrawnChart(
                chart.key,
                chart.unit,
                [Drawn(curve.metric, curve.label, curve.colour, points[curve.metric]) for curve in chart.curves],
            )
            for chart in drawn
        ],
        alerts=alerts,
    )


def _part(series: Series, plugins: Sequence[str]) -> _Part:
    fitting = [plugin for plugin in plugins if series.metric.startswith(f"{plugin}.")]
    plugin = max(fitting, key=len, default=series.metric.partition(".")[0])
    rest = series.metric[len(plugin) + 1 :]
    last = rest.rpartition(".")[2]
    return _Part(series, plugin, rest, _as_shown(last) if series.counter else last)


def _curve(part: _Part, colour: int, asked: Asked) -> Curve:
    metric, points = part.series.metric, part.series.points
    key, _, last = part.rest.rpartition(".")
    newest = mean = low = high = NOTHING
    if points:
        total = sum(row[5] for row in points)
        newest = _text(part, points[-1][4])
        mean = _text(part, math.fsum(row[1] * row[5] for row in points) / total)
        low, high = _text(part, min(row[2] for row in points)), _text(part, max(row[3] for row in points))
    rest = tuple(name for name in asked.metrics if name != metric)
    drop = asked._replace(metrics=rest).url() if rest and len(rest) < len(asked.metrics) else None
    text = _name(part.plugin, [*([key] if key else []), last])
    return Curve(metric, text, part.plugin, colour, part.series.counter, newest, mean, low, high, drop)


def _text(part: _Part, value: float) -> str:
    return str(reading(part.shown, value))


def _title(curves: Sequence[Curve]) -> str:
    names = list(dict.fromkeys(curve.label for curve in curves))
    more = len(names) - TITLE_NAMES
    return ", ".join(names[:TITLE_NAMES]) + (f" and {more} more" if more > 0 else "")


def _rows(parts: Sequence[_Part]) -> tuple[list[tuple[float, list[Cell]]], int]:
    by_time: dict[float, dict[int, Cell]] = {}
    for place, part in enumerate(parts):
        for at, mean, low, high, *_ in part.series.points[-ROWS:]:
            spread = "" if low == high else f"{_text(part, low)} – {_text(part, high)}"
            by_time.setdefault(at, {})[place] = Cell(_text(part, mean), spread)
    times = sorted(by_time, reverse=True)
    empty = Cell(NOTHING)
    rows = [(at, [by_time[at].get(place, empty) for place in range(len(parts))]) for at in times[:ROWS]]
    return rows, max(len(times), *(len(part.series.points) for part in parts)) - len(rows)


def point_words(told: History) -> str:
    """How long a point is, in words."""
    return f"a point is {long_span(told.step)}" if told.step else "every sample is a point"
