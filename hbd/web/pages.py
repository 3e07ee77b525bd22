"""The pages for people: HTML with the data inside, so that they can be read before and without any script."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlencode

import msgspec
from aiohttp import web
from markupsafe import Markup

from hbd.access import visible
from hbd.derived import DISKS
from hbd.errors import NotFound
from hbd.hosts import Host
from hbd.model import Sample, State
from hbd.web import channels, forecast_view, forecasts, live_view, openapi, paint, past, schemas, scrapes
from hbd.web import messages as journal
from hbd.web.api_view import groups
from hbd.web.call import Call
from hbd.web.hostview import number
from hbd.web.layout import page, script_data, site, state_of
from hbd.web.plugin_view import AGENT, EMPTY, failures, ordered, plugin_view
from hbd.web.status_view import troubles

MESSAGES = 100
HOSTS_AT_ONCE = 100  # so many are looked at before others get their turn on the event loop
FOREVER = "public, max-age=31536000, immutable"

SUGGESTIONS = 500  # names of hosts that a field offers
HOSTS_ASKED = 50  # so many are asked which plugins they have
# A page that is drawn again in place needs no list of hosts to choose from.
REFRESH_HEADER = "X-Refresh"


async def index(call: Call) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/live"})


async def live(call: Call) -> web.StreamResponse:
    moment = await past.moment_of_page(call)
    if moment is not None:
        return await _live_at(call, moment)
    hosts = visible(call.identity, call.parts.hosts)
    messages = await journal.recent(call, MESSAGES)
    shown = []
    for start in range(0, len(hosts), HOSTS_AT_ONCE):
        shown += [call.parts.views.host(host) for host in hosts[start : start + HOSTS_AT_ONCE]]
        await asyncio.sleep(0)
    lines = [schemas.JournalMessage(message.time, message.host, message.msg) for message in messages]
    view = await asyncio.to_thread(live_view.live_view, shown, call.request.query)
    data = await asyncio.to_thread(msgspec.json.encode, {"hosts": shown, "messages": lines})
    return await page(
        call,
        "live",
        live=view,
        blank=paint.row(live_view.BLANK),
        messages=lines,
        data=script_data(data),
        look_back=past.way_back(call, view.asked.parameters()),
    )


async def _live_at(call: Call, moment: past.Moment) -> web.StreamResponse:
    shown = [] if moment.at is None else await past.hosts_at(call, moment.at)
    messages = [] if moment.at is None else await journal.recent(call, MESSAGES, until=moment.at)
    lines = [schemas.JournalMessage(message.time, message.host, message.msg) for message in messages]
    view = await asyncio.to_thread(live_view.live_view, shown, call.request.query)
    return await page(call, "live", past=moment, live=view, messages=lines)


async def plugins(call: Call) -> web.StreamResponse:
    """``?host=…&plugin=…``; without them the first host and the first plugin that it has."""
    moment = await past.moment_of_page(call)
    if moment is not None:
        return await _plugins_at(call, moment)
    rings, asked = call.parts.rings, call.request.query.get("host", "")
    hosts = visible(call.identity, call.parts.hosts)
    host: Host | None
    if asked:
        host = next((entry for entry in hosts if entry.name.lower() == asked.lower()), None)
    else:
        host = next(iter(hosts), None)
    names = ordered(rings.plugins(host.id)) if host else []
    agent = rings.latest(host.id, AGENT) if host else None
    wanted = call.request.query.get("plugin", "")
    plugin = next((name for name in (wanted, *names) if name in names), "")
    held = rings.count(host.id, plugin) if host and plugin else 0
    samples = rings.newest(host.id, plugin, held) if host and held else []
    shown = call.parts.views.host(host) if host else None
    view = plugin_view(samples) if samples else EMPTY
    if host and plugin == DISKS:
        view = forecast_view.in_view(view, await forecasts.disks_if_known(call, host))
    return await page(
        call,
        "plugins",
        status_code=404 if asked and host is None else 200,
        choices=[] if REFRESH_HEADER in call.request.headers else [entry.name for entry in hosts],
        host=shown,
        row=paint.row(shown) if shown else None,
        asked=asked,
        names=names,
        plugin=plugin,
        held=held,
        failures=failures(agent.data, names) if agent else [],
        machine=machine(call, host) if host else None,
        sampled=samples[0].time if samples else None,
        view=view,
        look_back=past.way_back(call, {"host": host.name if host else "", "plugin": plugin}),
    )


async def _plugins_at(call: Call, moment: past.Moment) -> web.StreamResponse:
    query, hosts = call.request.query, visible(call.identity, call.parts.hosts)
    asked = query.get("host", "")
    host = next((entry for entry in hosts if not asked or entry.name.lower() == asked.lower()), None)
    one: past.Shown | None = None
    newest: dict[str, Sample] = {}
    if host is None:
        moment = moment._replace(problem=moment.problem or "No host of that name.")
    elif moment.at is not None:
        try:
            one = await past.one_at(call, host, moment.at)
            newest = await past.newest_at(call, host, moment.at)
        except NotFound as wrong:
            charts = f"/history?{urlencode({'host': host.name, 'at': moment.text})}" if one else ""
            moment = moment._replace(problem=f"{wrong}.", instead=charts)
    names = ordered(newest)
    plugin = next((name for name in (query.get("plugin", ""), *names) if name in names), "")
    samples = await past.samples_at(call, host, plugin, newest[plugin].time) if host and plugin else []
    shown = past.host_of(one) if one else None
    agent, system = newest.get(AGENT), newest.get("os_info")
    return await page(
        call,
        "plugins",
        past=moment,
        choices=[entry.name for entry in hosts],
        host=shown,
        row=paint.row(shown) if shown else None,
        asked=asked,
        names=names,
        plugin=plugin,
        held=len(samples),
        failures=failures(agent.data, names) if agent else [],
        machine=machine_of(system, moment.at) if system else {},
        sampled=samples[0].time if samples else None,
        view=plugin_view(samples) if samples else EMPTY,
    )


async def status(call: Call) -> web.StreamResponse:
    daemon, unready = call.parts.status(), call.parts.unready()
    failing = [one for one in await channels.index(call) if one.enabled and one.state.failing_since is not None]
    healthy = daemon.storage == "ok" and daemon.reload.ok and not unready and not failing
    found = troubles(daemon.counters)
    return await page(
        call,
        "status",
        status=daemon,
        unready=unready,
        failing=failing,
        healthy=healthy,
        troubles=found,
        exporters=(await scrapes.index(call)).scrapes,
    )


async def api_docs(call: Call) -> web.StreamResponse:
    origin, hosts = str(call.request.url.origin()), visible(call.identity, call.parts.hosts)
    known = {name for host in hosts[:HOSTS_ASKED] for name in call.parts.rings.plugins(host.id)}
    return await page(
        call,
        "api",
        groups=groups(openapi.document(call.routes), origin),
        asked_at=origin,
        feed_url=origin.replace("http", "ws", 1) + "/hbd",
        suggestions={"host": [host.name for host in hosts[:SUGGESTIONS]], "plugin": ordered(known)},
    )


async def static_file(call: Call) -> web.StreamResponse:
    asset = site().assets.get(call.path["path"])
    if asset is None:
        raise web.HTTPNotFound
    headers = {"ETag": asset.etag, "Cache-Control": FOREVER, "Vary": "Accept-Encoding", "Content-Type": asset.type}
    if asset.etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if asset.packed is not None and call.takes_gzip:
        return web.Response(body=asset.packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=asset.content, headers=headers)


def machine(call: Call, host: Host) -> dict[str, str]:
    """What its agent says of the machine, in words."""
    sample = call.parts.rings.latest(host.id, "os_info")
    up = state_of(call, host) is State.UP
    return {} if sample is None else machine_of(sample, time.time() if up else None)


def machine_of(sample: Sample, now: float | None) -> dict[str, str]:
    """now: Unix seconds, None where the machine is not known to run."""
    found = {}
    if kernel := sample.data.get("kernel"):
        found["kernel"] = str(kernel)[:100]
    booted = number(sample.data.get("boot_time"))
    if booted is not None and now is not None:
        found["running for"] = paint.long_span(max(0.0, now - booted))
    return found


def _script_data(content: bytes) -> Markup:
    """JSON for a script element, which only "<" could end early."""
    return Markup(content.replace(b"<", b"\\u003c").decode())  # noqa: S704
