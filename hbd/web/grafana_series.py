"""What Grafana is shown, read and kept within bounds: hosts, metrics, their points, and when something was wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Literal, NamedTuple

from hbd import spans
from hbd.access import Action, may, visible
from hbd.alerts import Alert, AlertEvent
from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.matching import Matcher, flaw_of_patterns, is_pattern
from hbd.rollups import Bucket, columns_of
from hbd.store.history import RAW
from hbd.upkeep import history_kept
from hbd.web import grafana_asked, history
from hbd.web.call import Call
from hbd.web.errors import require
from hbd.web.grafana_asked import Condition
from hbd.web.history_alerts import AlertSpan, alert_spans
from hbd.web.history_reading import MAX_POINTS, TOO_MANY_POINTS, fits

MOST_POINTS = 100_000  # of all series of one answer
MOST_NAMES = 2_000
MOST_TOP = 100
MOST_PATTERNS = 100  # of hosts; each of them is tried with every host
HOSTS_AT_ONCE = 20  # so many are looked at before others get their turn on the event loop
EVENTS = 1_000  # changes of alerts that are read at once
MOST_EVENTS = 10_000
RAW_SPAN = 3600.0  # seconds; so short a time is shown sample by sample where points shall be that close
RAW_STEP = 0.0
CLOSEST = 60.0  # seconds of the shortest point that is not a sample

Of = Literal["mean", "min", "max", "last"]
Show = Literal["auto", "value", "rate"]


class Fields(NamedTuple):
    """What the parameters are called where they were asked with, for errors."""

    metric: str = "metric"
    hosts: str = "hosts"
    tags: str = "tags"
    start: str = "from"
    to: str = "to"
    step: str = "interval"
    top: str = "top"
    aggregate: str = "aggregate"


class Wanted(NamedTuple):
    """start, to: Unix seconds. step: seconds of a point, RAW_STEP for each sample. top: of the hosts, those so many
    where the newest value is the largest."""

    metrics: list[str]
    hosts: list[Host]
    start: float
    to: float
    step: float
    of: Of = "mean"
    show: Show = "auto"
    aggregate: spans.Aggregate | None = None
    top: int | None = None


class Line(NamedTuple):
    """One series. host: "" where several are put together. points: (Unix seconds, value), None in a gap."""

    host: str
    metric: str
    points: list[tuple[float, float | None]]


class Newest(NamedTuple):
    host: Host
    metric: str
    bucket: Bucket


class WrongSpan(NamedTuple):
    host: Host
    span: AlertSpan


def hosts_of(
    call: Call, names: Sequence[str], tags: Sequence[str], fields: Fields, conditions: Sequence[Condition] = ()
) -> list[Host]:
    """The hosts that are meant, of those that the caller sees; without names all of them. names: patterns too.

    Raises InvalidInput; NotFound and Forbidden for a name.
    """
    for field, texts in ((fields.hosts, names), (fields.tags, tags)):
        if flaw := flaw_of_patterns(texts):
            raise InvalidInput(flaw, field)
    found: dict[int, Host] = {}
    patterns = tuple(name for name in names if is_pattern(name))
    if len(patterns) > MOST_PATTERNS:
        raise InvalidInput(f"at most {MOST_PATTERNS} patterns", fields.hosts)
    for name in names:
        if not is_pattern(name):
            host = call.parts.hosts.require(name)
            require(may(call.identity, Action.VIEW, host))
            found[host.id] = host
    if patterns or not names:
        meant = Matcher(hosts=patterns)
        found |= {host.id: host for host in visible(call.identity, call.parts.hosts) if meant.about_host(host)}
    tagged = Matcher(tags=tuple(tags))
    return [
        host
        for host in found.values()
        if tagged.about_host(host) and all(each.fits(host.name, host.tags) for each in conditions)
    ]


async def lines(call: Call, wanted: Wanted, fields: Fields, room: int = MOST_POINTS) -> list[Line]:
    """The series that are wanted. room: how many points there may be. Raises InvalidInput and StorageError."""
    if not wanted.start < wanted.to:
        raise InvalidInput(f"must be before {fields.to}", fields.start)
    hosts = wanted.hosts
    if wanted.top is not None:
        hosts = await _largest(call, wanted, wanted.top)
    if len(hosts) > history.MAX_HOSTS:
        raise InvalidInput(f"at most {history.MAX_HOSTS} at once; name some, or set top", fields.hosts)
    if not hosts:
        return []
    step = wanted.step
    if step != RAW_STEP:
        # Of many hosts there are fewer points of each, rather than none; the first and the last one are parts of one.
        span, most = wanted.to - wanted.start, min(room / len(hosts), MAX_POINTS) - 2
        step = max(step, 1.0, span / most if most > 1 else span)
    query = history.HistoryQuery(
        metric="",
        start=str(wanted.start),
        to=str(wanted.to),
        step=history.RAW_STEP if step == RAW_STEP else f"{step:.3f}",
        show=wanted.show,
    )
    # What is put together may be more before that.
    most_read = room if wanted.aggregate is None else history.MAX_POINTS_TOGETHER
    try:
        plan, _, found = await history.find(call, query, hosts, wanted.metrics, wanted.aggregate, most_read)
    except InvalidInput as error:
        raise InvalidInput(error.reason, fields._asdict().get(error.field, error.field)) from None
    if sum(len(each.points) for each in found) > room:
        raise InvalidInput(TOO_MANY_POINTS, fields.metric)
    return await asyncio.to_thread(_lines, found, plan.step, wanted.of)


def step_of(call: Call, span: float, step: float, now: float, start: float) -> float:
    """The step for points that are wanted so close: each sample where that is a short time in which these are kept."""
    kept = history_kept(call.parts.config.retention)[RAW]
    return RAW_STEP if step < CLOSEST and span <= RAW_SPAN and start >= now - kept else max(step, CLOSEST)


_VALUES: dict[Of, Callable[[Bucket], float]] = {
    "mean": attrgetter("mean"),
    "min": attrgetter("low"),
    "max": attrgetter("high"),
    "last": attrgetter("last"),
}


def _lines(found: Iterable[history.Found], step: float, of: Of) -> list[Line]:
    value_of = _VALUES[of]
    lines = []
    for each in found:
        points = [(point.start, history.short(value_of(point))) for point in each.points]
        name = each.host.name if each.host is not None else ""
        lines.append(Line(name, each.metric, list(grafana_asked.with_gaps(points, step))))
    return lines


async def newest(call: Call, hosts: Iterable[Host], patterns: Sequence[str]) -> AsyncIterator[Newest]:
    """The newest values of these metrics, from memory."""
    plugins = {pattern[:place] for pattern in patterns for place, letter in enumerate(pattern) if letter == "."}
    fitting: dict[str, bool] = {}
    for number, host in enumerate(hosts):
        if number % HOSTS_AT_ONCE == HOSTS_AT_ONCE - 1:
            await asyncio.sleep(0)
        for plugin in plugins:
            sample = call.parts.rings.latest(host.id, plugin)
            if sample is None:
                continue
            for path, buckets in columns_of([(sample.time, sample.data)]).items():
                metric = ".".join((plugin, *path))
                meant = fitting.get(metric)
                if meant is None:
                    meant = any(fits(pattern, metric, plugin) for pattern in patterns)
                    fitting[metric] = meant
                if meant:
                    yield Newest(host, metric, buckets[0])


async def _largest(call: Call, wanted: Wanted, top: int) -> list[Host]:
    best: dict[int, float] = {}
    async for each in newest(call, wanted.hosts, wanted.metrics):
        best[each.host.id] = max(each.bucket.last, best.get(each.host.id, each.bucket.last))
    ranked = sorted(best, key=lambda host_id: -best[host_id])[:top]
    by_id = {host.id: host for host in wanted.hosts}
    return [by_id[host_id] for host_id in ranked]


async def metric_names(call: Call, hosts: Iterable[Host], find: str = "") -> list[str]:
    """What these hosts measure as numbers, in alphabetical order. find: only what has this in its name."""
    found: set[str] = set()
    shapes: set[tuple[str, frozenset[str]]] = set()
    for number, host in enumerate(hosts):
        if number % HOSTS_AT_ONCE == HOSTS_AT_ONCE - 1:
            await asyncio.sleep(0)
        for plugin in call.parts.rings.plugins(host.id):
            sample = call.parts.rings.latest(host.id, plugin)
            if sample is None or (shape := (plugin, frozenset(sample.data))) in shapes:
                continue  # as of another host: the same disks, the same interfaces
            shapes.add(shape)
            for path in columns_of([(sample.time, sample.data)]):
                metric = ".".join((plugin, *path))
                if find.lower() in metric.lower():
                    found.add(metric)
        if len(found) > MOST_NAMES:
            break
    return sorted(found)[:MOST_NAMES]


def tag_names(hosts: Iterable[Host]) -> list[str]:
    return sorted({tag for host in hosts for tag in host.tags}, key=str.lower)[:MOST_NAMES]


async def wrong_spans(call: Call, hosts: Sequence[Host], start: float, to: float) -> list[WrongSpan]:
    """When something was wrong with these hosts in that time, the newest first."""
    now = time.time()
    by_id = {host.id: host for host in hosts}
    events: dict[int, list[AlertEvent]] = {}
    for event in await _events(call, list(by_id), start):
        events.setdefault(event.host_id, []).append(event)
    open_ones: dict[int, list[Alert]] = {}
    for alert in call.parts.alerts.not_ok():
        if alert.host_id in by_id:
            open_ones.setdefault(alert.host_id, []).append(alert)
    return await asyncio.to_thread(_spans, by_id, events, open_ones, (start, to), now)


def _spans(
    hosts: Mapping[int, Host],
    events: Mapping[int, list[AlertEvent]],
    alerts: Mapping[int, list[Alert]],
    span: tuple[float, float],
    now: float,
) -> list[WrongSpan]:
    found = [
        WrongSpan(hosts[host_id], each)
        for host_id in dict.fromkeys((*events, *alerts))
        for each in alert_spans(events.get(host_id, []), alerts.get(host_id, []), span, now)
    ]
    found.sort(key=lambda each: -each.span.start)
    return found


async def _events(call: Call, host_ids: list[int], start: float) -> list[AlertEvent]:
    """Changes since a time, newest first; of more than are read the newest."""
    found: list[AlertEvent] = []
    before: int | None = None
    while host_ids and len(found) < MOST_EVENTS:
        page = await call.parts.store.alerts.history(EVENTS, host_ids=host_ids, before=before)
        found += [event for _, event in page]
        if len(page) < EVENTS or page[-1][1].at < start:
            break
        before = page[-1][0]
    return found[:MOST_EVENTS]
