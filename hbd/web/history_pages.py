"""The page of history: what metrics of a host were, as charts and as tables."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

import msgspec
from aiohttp import web

from hbd.access import visible
from hbd.derived import DISKS
from hbd.errors import InvalidInput, StorageError
from hbd.hosts import Host
from hbd.store.history import RAW
from hbd.upkeep import history_kept
from hbd.web import forecast_view, forecasts, history_asked, history_view
from hbd.web.call import Call
from hbd.web.history import History, HistoryQuery, moment, read
from hbd.web.history_alerts import AlertSpan, alert_spans
from hbd.web.history_asked import Asked
from hbd.web.history_view import Chart
from hbd.web.layout import page, script_data
from hbd.web.pages import REFRESH_HEADER
from hbd.web.plugin_view import ordered

EVENTS = 1000  # changes of alerts of a host that are looked at, the newest


class _Found(NamedTuple):
    """What could be read; problem: or why nothing could."""

    told: History | None
    problem: str = ""
    status: int = 200


async def index(call: Call) -> web.StreamResponse:
    """``?host=…&metric=…`` (several) ``&range=…``, or ``&from=…&to=…``; see ``history_asked``. ``&at=…``, as other
    pages have it, leads to the time around that moment."""
    now = time.time()
    asked = history_asked.asked_by(call.request.query)
    if (at := call.request.query.get("at", "").strip()) and not (asked.start or asked.to):
        with suppress(InvalidInput):
            if (seconds := moment(at, now, "at")) <= now:
                return web.Response(status=302, headers={"Location": history_asked.around(asked, seconds, now)})
        asked = asked._replace(start=at)  # which is told to be none of the past
    hosts = visible(call.identity, call.parts.hosts)
    host: Host | None
    if asked.host:
        host = next((each for each in hosts if each.name.lower() == asked.host.lower()), None)
    else:
        host = next(iter(hosts), None)
    latest = _latest(call, host)
    groups = history_view.choices(latest, asked.metrics)
    if host is not None:
        asked = asked._replace(host=host.name)
        if not asked.metrics:
            asked = asked._replace(metrics=history_view.usual(groups))
            groups = history_view.choices(latest, asked.metrics)
    found = _Found(None)
    if host is not None and asked.metrics:
        found = await _read(call, host, asked, now)
    told = found.told
    charts: list[Chart] = []
    alerts: list[AlertSpan] = []
    span: tuple[float, float] | None = None
    picture = b"null"
    if host is not None and told is not None:
        span = told.start, min(told.to, max(now, told.start + 1))
        charts = await asyncio.to_thread(history_view.charts, told, asked, list(latest))
        alerts = await _alerts(call, host, span, now)
        picture = await asyncio.to_thread(_encoded, told, asked, span, charts, alerts)
    return await page(
        call,
        "history",
        status_code=404 if asked.host and host is None else found.status,
        hosts=[] if REFRESH_HEADER in call.request.headers else [each.name for each in hosts],
        host=host,
        asked=asked,
        groups=groups,
        problem=found.problem,
        charts=charts,
        alerts=alerts,
        span=span,
        ways=history_asked.ways(asked, span, now),
        missing=history_view.missing(told, asked) if told is not None and charts else [],
        left_out=max(0, len(told.series) - history_view.MAX_CURVES) if told is not None else 0,
        words=history_view.point_words(told) if told is not None else "",
        foretold=await _foretold(call, host, asked, charts) if host is not None else {},
        csv=history_asked.csv_url(host.name, asked, told) if host is not None and told is not None else None,
        picture=script_data(picture),
    )


async def _foretold(call: Call, host: Host, asked: Asked, charts: list[Chart]) -> dict[str, list[str]]:
    """Key of a chart → what to say below it of disks that fill up; nothing where the time does not end now."""
    metrics = {chart.key: [curve.metric for curve in chart.curves] for chart in charts}
    if not asked.live or not any(metric.startswith(f"{DISKS}.") for each in metrics.values() for metric in each):
        return {}
    found = await forecasts.disks_if_known(call, host)
    return {key: forecast_view.sentences(each, found) for key, each in metrics.items()}


def _encoded(
    told: History,
    asked: Asked,
    span: tuple[float, float],
    charts: list[Chart],
    alerts: list[AlertSpan],
) -> bytes:
    return msgspec.json.encode(history_view.picture(told, asked, span, charts, alerts))


def _latest(call: Call, host: Host | None) -> dict[str, dict[str, object]]:
    """The newest sample of each plugin, in the order of the tabs of /plugins."""
    if host is None:
        return {}
    rings = call.parts.rings
    samples = ((plugin, rings.latest(host.id, plugin)) for plugin in ordered(rings.plugins(host.id)))
    return {plugin: sample.data for plugin, sample in samples if sample is not None}


async def _read(call: Call, host: Host, asked: Asked, now: float) -> _Found:
    start, to, step = asked.times(now, history_kept(call.parts.config.retention)[RAW])
    query = HistoryQuery(metric="", start=start, to=to, step=step)
    try:
        return _Found(await read(call, query, [host], list(asked.metrics)))
    except InvalidInput as error:
        return _Found(None, str(error), 400)
    except StorageError:
        return _Found(None, "The database does not answer. Samples are not lost: agents keep them.", 503)


async def _alerts(call: Call, host: Host, span: tuple[float, float], now: float) -> list[AlertSpan]:
    events = await call.parts.store.alerts.history(EVENTS, host_ids=[host.id])
    return alert_spans([event for _, event in events], call.parts.alerts.of(host.id), span, now)
