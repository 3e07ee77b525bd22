"""Hosts, series and alerts for Grafana as flat JSON: an array of objects without objects in them, as its data source
Infinity and most other readers of JSON want it. Times are milliseconds since 1970; what is empty is ``[]``."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from hbd import spans
from hbd.access import visible
from hbd.errors import InvalidInput, NotFound
from hbd.hosts import Host
from hbd.model import Level
from hbd.web import grafana_asked, grafana_series
from hbd.web.assets import static_folder
from hbd.web.call import Body, Call
from hbd.web.grafana_asked import Budget
from hbd.web.grafana_rows import (
    AlertRow,
    HostRow,
    MetricRow,
    SpanRow,
    ValueRow,
    alert_rows,
    host_rows,
    milliseconds,
    span_rows,
)
from hbd.web.grafana_series import MOST_TOP, Fields, Line, Of, Show, Wanted
from hbd.web.history import DEFAULT_SPAN

MOST_ROWS = 100_000
POINTS = 500  # of a series, about, where nobody says how long a point is
FIELDS = Fields()
PLACE = "grafana"  # of the dashboards, among the static files

Text = Annotated[str, Meta(max_length=20_000)]
Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS)]


class _Hosts(Struct, kw_only=True):
    hosts: Annotated[Text, Meta(description="Names and patterns such as `web*`, separated by commas; all.")] = ""
    tags: Annotated[Text, Meta(description="Only hosts that have one of these, separated by commas.")] = ""


class _Span(_Hosts, kw_only=True):
    start: Annotated[
        str,
        Meta(max_length=64, description="From when: milliseconds since 1970, ISO 8601, or `now-6h`, which it is else."),
    ] = field(default="", name="from")
    to: Annotated[str, Meta(max_length=64, description="Until when; now.")] = ""


class HostsQuery(_Hosts, kw_only=True):
    limit: Annotated[Limit, Meta(description="How many rows at most.")] = MOST_ROWS


class NamesQuery(_Hosts, kw_only=True):
    find: Annotated[str, Meta(max_length=1000, description="Only what has this in its name.")] = ""


class LatestQuery(_Hosts, kw_only=True):
    metric: Annotated[
        str, Meta(min_length=1, max_length=4000, description="`metric_path`s with `*`, separated by commas.")
    ]
    limit: Annotated[Limit, Meta(description="How many rows at most.")] = MOST_ROWS


class SeriesQuery(_Span, kw_only=True):
    metric: Annotated[
        str, Meta(min_length=1, max_length=4000, description="`metric_path`s with `*`, separated by commas.")
    ]
    interval: Annotated[
        str,
        Meta(
            max_length=32,
            description="How long a point is: `1m`, or milliseconds; a minute or more. `raw`: each sample.",
        ),
    ] = ""
    of: Annotated[Of, Meta(description="Which value of a point.")] = "mean"
    show: Annotated[
        Show, Meta(description="`rate`: per second what a counter grew; `auto`: that, of what ends in `_total`.")
    ] = "auto"
    aggregate: Annotated[
        spans.Aggregate | None, Meta(description="Make one series of all hosts, of those that have a point.")
    ] = None
    top: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_TOP)] | None,
        Meta(description="Only so many hosts, those where the newest value is the largest."),
    ] = None
    limit: Annotated[Limit | None, Meta(description="How many rows at most, the newest.")] = None


class AlertsQuery(_Hosts, kw_only=True):
    levels: Annotated[str, Meta(max_length=100, description="`CRITICAL,WARNING,UNKNOWN`: only these.")] = ""
    limit: Annotated[Limit, Meta(description="How many rows at most, the worst.")] = MOST_ROWS


class SpansQuery(_Span, kw_only=True):
    limit: Annotated[Annotated[int, Meta(ge=1, le=10_000)], Meta(description="How many at most, the newest.")] = 1_000


async def hosts(call: Call) -> list[HostRow]:
    query: HostsQuery = call.query
    return await host_rows(call, _hosts(call, query)[: query.limit])


async def metrics(call: Call) -> list[MetricRow]:
    query: NamesQuery = call.query
    return list(map(MetricRow, await grafana_series.metric_names(call, _hosts(call, query), query.find)))


async def latest(call: Call) -> list[ValueRow]:
    query: LatestQuery = call.query
    budget = Budget()
    patterns = grafana_asked.metrics(query.metric, "metric", budget, several=True)
    found: list[ValueRow] = []
    async for each in grafana_series.newest(call, _hosts(call, query, budget), patterns):
        if len(found) == query.limit:
            break
        found.append(ValueRow(milliseconds(each.bucket.start), each.host.name, each.metric, each.bucket.last))
    return found


async def series(call: Call) -> Body:
    query: SeriesQuery = call.query
    now, budget = time.time(), Budget()
    start, to = _span(query, now)
    wanted = Wanted(
        grafana_asked.metrics(query.metric, "metric", budget, several=True),
        _hosts(call, query, budget),
        start,
        to,
        _step(query.interval, to - start),
        query.of,
        query.show,
        query.aggregate,
        query.top,
    )
    found = await grafana_series.lines(call, wanted, FIELDS)
    return Body(await asyncio.to_thread(_encoded, found, query.limit))


async def alerts(call: Call) -> list[AlertRow]:
    query: AlertsQuery = call.query
    return alert_rows(call, _hosts(call, query), _levels(query.levels))[: query.limit]


async def wrong_times(call: Call) -> list[SpanRow]:
    query: SpansQuery = call.query
    return await span_rows(call, _hosts(call, query), *_span(query, time.time()), query.limit)


async def dashboard(call: Call) -> Body:
    """A dashboard to import, as a file."""
    name = call.path["name"]
    content = _dashboards().get(name)
    if content is None:
        raise NotFound(f"There are {' and '.join(sorted(_dashboards()))}")
    return Body(content, headers={"Content-Disposition": f"attachment; filename=hbd-{name}"})


def _hosts(call: Call, query: _Hosts, budget: Budget | None = None) -> list[Host]:
    if not query.hosts and not query.tags:
        return visible(call.identity, call.parts.hosts)
    budget = budget or Budget()
    names = grafana_asked.names(query.hosts, "hosts", budget)
    tags = grafana_asked.names(query.tags, "tags", budget)
    return grafana_series.hosts_of(call, names, tags, FIELDS)


def _span(query: _Span, now: float) -> tuple[float, float]:
    to = grafana_asked.moment(query.to, now, "to") if query.to else now
    start = grafana_asked.moment(query.start, now, "from") if query.start else to - DEFAULT_SPAN
    if not start < to:
        raise InvalidInput("must be before to", "from")
    return start, to


def _step(interval: str, span: float) -> float:
    if interval == "raw":
        return grafana_series.RAW_STEP
    wanted = grafana_asked.interval(interval, "interval") if interval else span / POINTS
    # Readers of tables want the points of all series at the same times, which samples do not have.
    return max(wanted, grafana_series.CLOSEST)


def _levels(text: str) -> frozenset[Level]:
    try:
        return frozenset(Level(level.strip().upper()) for level in text.split(",") if level.strip())
    except ValueError:
        raise InvalidInput(f"{', '.join(Level)} are known", "levels") from None


def _encoded(found: list[Line], limit: int | None) -> bytes:
    """The points of all series in the order of their times, as who makes columns of them needs it."""
    rows = [
        ValueRow(milliseconds(moment), line.host, line.metric, value) for line in found for moment, value in line.points
    ]
    rows.sort(key=lambda row: row.time)
    if limit is not None:
        rows = rows[-limit:]
    encode = msgspec.json.Encoder().encode
    parts = [encode(rows[first : first + 1000])[1:-1] for first in range(0, len(rows), 1000)]
    return b"[" + b",".join(parts) + b"]"


@lru_cache(maxsize=1)
def _dashboards() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (static_folder() / PLACE).glob("*.json")}
