"""The page of alerts, and the number of open ones on all pages."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from hbd.access import sees_everything, visible
from hbd.web import alert_view, alerts, past, schemas
from hbd.web.call import Call
from hbd.web.layout import page, script_data

BLANK = schemas.Alert(
    hostname="", metric_path="", level=alert_view.SHOWN[0], since=0.0, last_value=None, last_check=0.0
)


async def index(call: Call) -> web.Response:
    """``?q=&level=&host=&tag=&state=&at=``"""
    moment = await past.moment_of_page(call)
    if moment is not None:
        return await _index_at(call, moment)
    found = alerts.listed(call)
    view = alert_view.alerts_view(found.alerts, alert_view.asked_by(call.request.query))
    data = await asyncio.to_thread(msgspec.json.encode, found)
    return await page(
        call,
        "alerts",
        view=view,
        found=found,
        blank=BLANK,
        quiet_since=None if found.alerts else await _quiet_since(call),
        data=script_data(data),
        look_back=past.way_back(call, view.asked.parameters()),
    )


async def _index_at(call: Call, moment: past.Moment) -> web.Response:
    found = schemas.Alerts(host_count=0) if moment.at is None else await past.alerts_at(call, moment.at)
    for alert in found.alerts:
        alert.allowed = []  # nothing can be done about it any more
    view = alert_view.alerts_view(found.alerts, alert_view.asked_by(call.request.query))
    return await page(call, "alerts", past=moment, view=view, found=found, quiet_since=None)


async def _quiet_since(call: Call) -> float | None:
    """When the last alert ended that the caller may know of, Unix seconds; None when none is remembered."""
    wanted = None
    if not sees_everything(call.identity):
        wanted = [host.id for host in visible(call.identity, call.parts.hosts)]
    events = await call.parts.store.alerts.events(1, wanted)
    return events[0].at if events else None
