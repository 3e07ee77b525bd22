"""Availability over HTTP: how much of a span of time hosts and their families were up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from hbd import availability
from hbd.access import visible
from hbd.alerts import PRESENCE
from hbd.availability import FORMULA, Figures, Piece, Planned, Sight, Span, figures
from hbd.errors import InvalidInput
from hbd.hosts import Host
from hbd.hushes import MaintenanceWindow
from hbd.model import Family, Level
from hbd.store.transitions import Recorded
from hbd.web.call import Call
from hbd.web.history import moment

DEFAULT_SPAN = 30 * 86_400.0
MAX_OUTAGES = 1000
MAX_HOSTS = 200
MAX_PLANNED = 50_000  # times of maintenance that are looked at for one answer: half a second of a processor


class SpanQuery(Struct, kw_only=True):
    """Of which time. What lies in the future is left out."""

    start: Annotated[
        str,
        Meta(max_length=64, description="From when: Unix seconds, ISO 8601, or `now-7d`; 30 days before `to`."),
    ] = field(default="", name="from")
    to: Annotated[str, Meta(max_length=64, description="Until when, itself left out; now.")] = ""


class HostQuery(SpanQuery, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=MAX_OUTAGES, description="How many outages.")] = 100
    before: Annotated[
        float | None, Meta(description="Only outages that began before that, Unix seconds: `next` of the last answer.")
    ] = None


class FleetQuery(SpanQuery, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=MAX_HOSTS, description="How many hosts.")] = 100
    after: Annotated[
        str, Meta(max_length=253, description="Only hosts after that name: `next` of the last answer.")
    ] = ""


class Outage(Struct, kw_only=True):
    """family: null for the host as a whole. start, end: Unix seconds. seconds: known to be down; planned: of these,
    within maintenance windows, null where those come back too often to be counted.

    whole: whether its beginning lies in the span. over: whether it is known to have ended there.
    """

    family: Family | None
    start: float
    end: float
    seconds: float
    planned: float | None
    reason: str
    whole: bool
    over: bool


class HostFigures(Struct, kw_only=True):
    """availability: of the host as a whole, which is up while any of its families is. families: where it was seen."""

    host: str
    availability: Figures
    families: dict[str, Figures]


class HostAvailability(HostFigures, kw_only=True):
    """outages: of the host and of its families, the newest first. next: ``before`` of what follows."""

    start: float = field(name="from")
    to: float
    formula: str
    outages: list[Outage]
    next: float | None


class FleetAvailability(Struct, kw_only=True):
    """hosts: by name. next: ``after`` of what follows."""

    start: float = field(name="from")
    to: float
    formula: str
    hosts: list[HostFigures]
    next: str | None


class Known(NamedTuple):
    """Of one host. pieces: by family, None for the host as a whole. planned: its maintenance windows, from the first
    change on; None: they come back too often to be counted."""

    pieces: dict[Family | None, list[Piece]]
    planned: Planned | None


async def of_host(call: Call) -> HostAvailability:
    query: HostQuery = call.query
    span, host = _span(query), call.host
    known = (await read(call, [host], span))[host.id]
    outages, following = _newest(known, query)
    told = _figures(host, known)
    return HostAvailability(
        host=told.host,
        availability=told.availability,
        families=told.families,
        start=span.start,
        to=span.end,
        formula=FORMULA,
        outages=outages,
        next=following,
    )


async def of_hosts(call: Call) -> FleetAvailability:
    query: FleetQuery = call.query
    span, after = _span(query), query.after.lower()
    hosts = sorted(visible(call.identity, call.parts.hosts), key=lambda host: host.name.lower())
    left = [host for host in hosts if host.name.lower() > after] if after else hosts
    shown = left[: query.limit]
    known = await read(call, shown, span)
    return FleetAvailability(
        start=span.start,
        to=span.end,
        formula=FORMULA,
        hosts=await asyncio.to_thread(lambda: [_figures(host, known[host.id]) for host in shown]),
        next=shown[-1].name if len(left) > len(shown) else None,
    )


async def read(call: Call, hosts: Sequence[Host], span: Span) -> dict[int, Known]:
    """What is known of hosts in a span of time, by their ids. Raises StorageError."""
    recorded = await call.parts.store.transitions.between([host.id for host in hosts], *span)
    windows = [
        window
        for window in call.parts.hushing.windows()
        if window.matcher.about_metric(f"{PRESENCE}.host", Level.CRITICAL)
    ]
    return await asyncio.to_thread(_known, recorded, hosts, windows, span)


def _known(
    recorded: Recorded, hosts: Sequence[Host], windows: Sequence[MaintenanceWindow], span: Span
) -> dict[int, Known]:
    sight = Sight(recorded.unseen)
    planned = _planned(recorded, hosts, windows, span)
    return {
        host_id: Known(
            {family: sight.timeline(series.get(family, ()), *span) for family in dict.fromkeys((None, *series))},
            planned[host_id],
        )
        for host_id, series in recorded.hosts.items()
    }


def _planned(
    recorded: Recorded, hosts: Sequence[Host], windows: Sequence[MaintenanceWindow], span: Span
) -> dict[int, Planned | None]:
    """The maintenance windows of each host. Hosts with the same ones share the work, and windows since the year 2000
    cost nothing for the time of which nothing is recorded."""
    found: dict[int, Planned | None] = {host.id: Planned() for host in hosts}
    begins = {
        host_id: max(span.start, min(change.at for changes in series.values() for change in changes))
        for host_id, series in recorded.hosts.items()
        if series
    }
    first = min(begins.values(), default=span.end)
    near = [window for window in windows if window.window.most_between(first, span.end)]
    alike: dict[tuple[int, ...], list[int]] = {}
    for host in hosts:
        if host.id in begins:
            places = tuple(place for place, window in enumerate(near) if window.matcher.about_host(host))
            alike.setdefault(places, []).append(host.id)
    left = MAX_PLANNED
    for places, host_ids in alike.items():
        since = min(begins[host_id] for host_id in host_ids)
        of_these = [near[place].window for place in places]
        most = sum(window.most_between(since, span.end) for window in of_these)
        if most > left:
            found |= dict.fromkeys(host_ids)
            continue
        left -= most
        planned = Planned(chain.from_iterable(window.between(since, span.end) for window in of_these))
        found |= {host_id: planned.since(begins[host_id]) for host_id in host_ids}
    return found


def _span(query: SpanQuery) -> Span:
    now = time.time()
    end = min(now, moment(query.to, now, "to")) if query.to else now
    first = moment(query.start, now, "from") if query.start else end - DEFAULT_SPAN
    if not first < end:
        raise InvalidInput("must be before to, and not in the future", "from")
    return Span(first, end)


def _figures(host: Host, known: Known) -> HostFigures:
    told = {family: _short(figures(pieces, known.planned)) for family, pieces in known.pieces.items()}
    overall = told.pop(None)
    return HostFigures(
        host=host.name,
        availability=overall,
        families={str(family): found for family, found in told.items()},
    )


def _short(told: Figures) -> Figures:
    """To the millisecond."""
    exact = {"percent": told.percent, "outages": told.outages}
    return Figures(**{name: value and round(value, 3) for name, value in asdict(told).items()} | exact)


def _newest(known: Known, query: HostQuery) -> tuple[list[Outage], float | None]:
    """A page of outages, and where the next one begins. Those that began at one moment stay together."""
    found = [
        Outage(
            family=family,
            start=one.start,
            end=one.end,
            seconds=round(one.seconds, 3),
            planned=one.planned and round(one.planned, 3),
            reason=one.reason,
            whole=one.whole,
            over=one.over,
        )
        for family, pieces in known.pieces.items()
        for one in availability.outages(pieces, known.planned)
        if query.before is None or one.start < query.before
    ]
    found.sort(key=lambda outage: (-outage.start, outage.family or ""))
    end = query.limit
    while end < len(found) and found[end].start == found[end - 1].start:
        end += 1
    return found[:end], found[end - 1].start if end < len(found) else None
