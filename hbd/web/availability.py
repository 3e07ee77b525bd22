"""Availability over HTTP: how much of a span of time hosts and their families were up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct, field
from msgspec.structs import asdict

from hbd import availability
from hbd.access import visible
from hbd.alerts import PRESENCE
from hbd.availability import FORMULA, Figures, Piece, Sight, Span, figures
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
    within maintenance windows.

    whole: whether its beginning lies in the span. over: whether it is known to have ended there.
    """

    family: Family | None
    start: float
    end: float
    seconds: float
    planned: float
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
    """Of one host. pieces: by family, None for the host as a whole. planned: its maintenance windows."""

    pieces: dict[Family | None, list[Piece]]
    planned: list[Span]


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
    about = {host.id: [window for window in windows if window.matcher.about_host(host)] for host in hosts}
    return await asyncio.to_thread(_known, recorded, about, span)


def _known(recorded: Recorded, about: Mapping[int, Sequence[MaintenanceWindow]], span: Span) -> dict[int, Known]:
    sight = Sight(recorded.unseen)
    wanted = {id(window): window for windows in about.values() for window in windows}
    spans = {key: [Span(*one) for one in window.window.between(*span)] for key, window in wanted.items()}
    return {
        host_id: Known(
            {family: sight.timeline(series.get(family, ()), *span) for family in dict.fromkeys((None, *series))},
            [one for window in about[host_id] for one in spans[id(window)]],
        )
        for host_id, series in recorded.hosts.items()
    }


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
            planned=round(one.planned, 3),
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
