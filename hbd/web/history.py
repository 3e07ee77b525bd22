"""History over HTTP: what metrics were in a span of time, as JSON or CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct, field

from hbd import spans
from hbd.access import Action, may
from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.rollups import Bucket
from hbd.store.history import RAW
from hbd.upkeep import history_kept
from hbd.web.call import Body, Call
from hbd.web.errors import require
from hbd.web.history_reading import MAX_POINTS, MAX_SERIES, Columns, Room, columns_of_host, fits

COLUMNS = ["time", "mean", "min", "max", "last", "count"]
DEFAULT_SPAN = 6 * 3600.0
MAX_METRICS = 50
MAX_HOSTS = 100
MAX_POINTS_TOGETHER = 500_000  # of all series of one answer
RAW_STEP = "raw"
COUNTER = re.compile(r"(?<!inodes)_total$")  # as many inodes as there are is no counter

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([smhdw]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"now(?:-(.+))?")


class HistoryQuery(Struct, kw_only=True):
    """What of which time."""

    metric: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=4000,
            description="`metric_path`s, separated by commas; behind the plugin `*` stands for any text.",
        ),
    ]
    start: Annotated[
        str,
        Meta(max_length=64, description="From when: Unix seconds, ISO 8601, or `now-6h`; six hours before `to`."),
    ] = field(default="", name="from")
    to: Annotated[str, Meta(max_length=64, description="Until when, itself left out; now.")] = ""
    step: Annotated[
        str,
        Meta(
            max_length=32,
            description="How long a point is: `60`, `5m`, `1h`; or `raw`, each sample; some hundred points.",
        ),
    ] = ""
    show: Annotated[
        Literal["auto", "value", "rate"],
        Meta(description="`rate`: per second what a counter grew; `auto` does that for metrics named `…_total`."),
    ] = "auto"
    format: Annotated[Literal["json", "csv"], Meta(description="`csv`: a table, a line for each point.")] = "json"


class HostsHistoryQuery(HistoryQuery, kw_only=True):
    hosts: Annotated[str, Meta(min_length=1, max_length=20_000, description="Names, separated by commas.")]
    aggregate: Annotated[
        spans.Aggregate | None, Meta(description="Make one series of all hosts, of those that have a point.")
    ] = None


class Series(Struct):
    """One metric. host: null where several are aggregated. points: rows of the values that ``columns`` names.

    counter: whether the points are rates, per second.
    """

    host: str | None
    metric: str
    counter: bool
    points: list[list[float]]


class History(Struct):
    """from, to: Unix seconds, of whole steps. step: seconds of a point. tier: of the rollups that it was made of.

    A point that nothing is known of is left out. next: where to go on (``from``) when this was not all.
    """

    start: int = field(name="from")
    to: int
    step: int
    tier: int
    columns: list[str]
    series: list[Series]
    next: int | None


class Found(NamedTuple):
    """One metric. host: None where several are put together."""

    host: Host | None
    metric: str
    counter: bool
    points: list[Bucket]


async def of_host(call: Call) -> History | Body:
    query: HistoryQuery = call.query
    return await _answer(call, query, [call.host], None)


async def of_hosts(call: Call) -> History | Body:
    query: HostsHistoryQuery = call.query
    names = list(dict.fromkeys(name for name in query.hosts.split(",") if name))
    if len(names) > MAX_HOSTS:
        raise InvalidInput(f"at most {MAX_HOSTS} at once", "hosts")
    hosts = [call.parts.hosts.require(name) for name in names]
    for host in hosts:
        require(may(call.identity, Action.VIEW, host))
    return await _answer(call, query, hosts, query.aggregate)


async def _answer(
    call: Call, query: HistoryQuery, hosts: list[Host], aggregate: spans.Aggregate | None
) -> History | Body:
    patterns = list(dict.fromkeys(pattern for pattern in query.metric.split(",") if pattern))
    told = await read(call, query, hosts, patterns, aggregate)
    if query.format == "csv":
        named = {"Content-Disposition": "attachment; filename=history.csv"}
        return Body(_csv(told.series), "text/csv; charset=utf-8", headers=named)
    return told


async def read(
    call: Call, query: HistoryQuery, hosts: list[Host], patterns: list[str], aggregate: spans.Aggregate | None = None
) -> History:
    """What these metrics of these hosts were. patterns: of metrics, in the place of those in ``query``.

    Raises InvalidInput for what cannot be asked, and StorageError.
    """
    plan, following, found = await find(call, query, hosts, patterns, aggregate)
    series = await asyncio.to_thread(lambda: list(map(_series, found)))
    return History(plan.first, plan.end, plan.step, plan.tier, COLUMNS, series, following)


async def find(
    call: Call,
    query: HistoryQuery,
    hosts: list[Host],
    patterns: list[str],
    aggregate: spans.Aggregate | None = None,
    most_points: int = MAX_POINTS_TOGETHER,
) -> tuple[spans.Plan, int | None, list[Found]]:
    """The same before it is rows: what was read, where to go on (``from``) when this is not all, and the points.

    most_points: of all series, before they are aggregated; more are refused before they are made.
    """
    if not patterns or len(patterns) > MAX_METRICS:
        raise InvalidInput(f"1 to {MAX_METRICS} of them", "metric")
    plan, following = _planned(call, query, time.time())
    if plan.tier == RAW and aggregate is not None:
        raise InvalidInput("samples of several hosts are of no common moments; give a step", "aggregate")
    found: list[Found] = []
    for host in hosts:
        of_one = await _found(call, host, patterns, plan, query.show, Room(MAX_SERIES - len(found), most_points))
        most_points -= sum(len(each.points) for each in of_one)
        found += of_one
    if aggregate is not None:
        found = await asyncio.to_thread(_aggregated, found, aggregate)
    return plan, following, found


def _planned(call: Call, query: HistoryQuery, now: float) -> tuple[spans.Plan, int | None]:
    """The plan, and where the next answer begins when this one cannot hold all."""
    end = moment(query.to, now, "to") if query.to else now
    first = moment(query.start, now, "from") if query.start else end - DEFAULT_SPAN
    if not first < end:
        raise InvalidInput("must be before to", "from")
    if query.step == RAW_STEP:
        return spans.Plan(RAW, 0, math.floor(first), math.ceil(end)), None
    step = duration(query.step, "step") if query.step else None
    plan = spans.plan(first, end, step, history_kept(call.parts.config.retention), now)
    cut = plan.first + MAX_POINTS * plan.step
    if plan.end <= cut:
        return plan, None
    return spans.Plan(plan.tier, plan.step, plan.first, cut), cut


async def _found(
    call: Call,
    host: Host,
    patterns: list[str],
    plan: spans.Plan,
    show: Literal["auto", "value", "rate"],
    room: Room,
) -> list[Found]:
    columns = await columns_of_host(call.parts.store.history, host.id, patterns, plan, room)
    return await asyncio.to_thread(_in_order, host, columns, patterns, plan.first, show)


def _in_order(
    host: Host, columns: Columns, patterns: list[str], first: int, show: Literal["auto", "value", "rate"]
) -> list[Found]:
    """What was read, in the order of the patterns."""
    known = {
        ".".join((plugin, *path)): (plugin, buckets)
        for plugin, of_plugin in columns.items()
        for path, buckets in of_plugin.items()
    }
    found: dict[str, Found] = {}
    for pattern in patterns:
        for metric, (plugin, buckets) in known.items():
            if metric not in found and fits(pattern, metric, plugin):
                counter = show == "rate" or (show == "auto" and COUNTER.search(metric) is not None)
                points = [point for point in (spans.rates(buckets) if counter else buckets) if point.start >= first]
                found[metric] = Found(host, metric, counter, points)
    return list(found.values())


def _aggregated(found: Iterable[Found], how: spans.Aggregate) -> list[Found]:
    by_metric: dict[str, list[Found]] = {}
    for each in found:
        by_metric.setdefault(each.metric, []).append(each)
    return [
        Found(None, metric, parts[0].counter, spans.aggregated([part.points for part in parts], how))
        for metric, parts in by_metric.items()
    ]


def _series(found: Found) -> Series:
    name = found.host.name if found.host is not None else None
    rows = [
        [round(point.start, 3), *map(short, (point.mean, point.low, point.high, point.last)), point.count]
        for point in found.points
    ]
    return Series(name, found.metric, found.counter, rows)


def short(value: float) -> float:
    """Without the digits that adding up made."""
    return float(f"{value:.10g}") if isinstance(value, float) else value


def _csv(series: Iterable[Series]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["host", "metric", *COLUMNS])
    for each in series:
        name = _cell(each.host or "")
        for row in each.points:
            table.writerow([name, _cell(each.metric), datetime.fromtimestamp(row[0], UTC).isoformat(), *row[1:]])
    return text.getvalue().encode()


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def duration(text: str, name: str) -> float:
    """Seconds of ``60``, ``5m``, ``1h``. Raises InvalidInput."""
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 1 <= seconds <= 366 * 86_400:
        raise InvalidInput("a duration such as 60, 5m, 1h or 1d, at most a year", name)
    return seconds


def moment(text: str, now: float, name: str) -> float:
    """Unix seconds of what a caller wrote: a number, ISO 8601 (without a zone it is UTC), ``now`` or ``now-6h``."""
    if (ago := _AGO.fullmatch(text)) is not None:
        return now - (duration(ago[1], name) if ago[1] else 0.0)
    try:
        moment = float(text)
    except ValueError:
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput("Unix seconds, ISO 8601 such as 2026-11-21T10:00:00Z, or now-6h", name) from None
        moment = (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    if not 0 <= moment <= now + 366 * 86_400:
        raise InvalidInput("a time between 1970 and a year from now", name)
    return moment
