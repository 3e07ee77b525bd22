"""The pages for people: HTML with the data inside, so that they can be read before and without any script."""

from __future__ import annotations

import asyncio
import time

import msgspec
from aiohttp import web
from markupsafe import Markup

from hbd.access import visible
from hbd.hosts import Host
from hbd.model import State
from hbd.web import channels, live_view, openapi, paint, schemas
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
    hosts = visible(call.identity, call.parts.hosts)
    messages = await journal.recent(call, MESSAGES)
    shown = []
    for start in range(0, len(hosts), HOSTS_AT_ONCE):
        shown += [call.parts.views.host(host) for host in hosts[start : start + HOSTS_AT_ONCE]]
        await asyncio.sleep(0)
    lines = [schemas.JournalMessage(message.time, message.host, message.msg) for message in messages]
    view = await asyncio.to_thread(live_view.live_view, shown, call.request.query)
    data = await asyncio.to_thread(msgspec.json.encode, {"hosts": shown, "messages": lines})
    return await page(call, "live", live=view, blank=paint.row(live_view.BLANK), messages=lines, data=script_data(data))


async def plugins(call: Call) -> web.StreamResponse:
    """``?host=…&plugin=…``; without them the first host and the first plugin that it has."""
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
        view=plugin_view(samples) if samples else EMPTY,
    )


async def status(call: Call) -> web.StreamResponse:
    daemon, unready = call.parts.status(), call.parts.unready()
    failing = [one for one in await channels.index(call) if one.enabled and one.state.failing_since is not None]
    healthy = daemon.storage == "ok" and daemon.reload.ok and not unready and not failing
    found = troubles(daemon.counters)
    return await page(call, "status", status=daemon, unready=unready, failing=failing, healthy=healthy, troubles=found)


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
    if sample is None:
        return {}
    found = {}
    if kernel := sample.data.get("kernel"):
        found["kernel"] = str(kernel)[:100]
    booted = number(sample.data.get("boot_time"))
    if booted is not None and state_of(call, host) is State.UP:
        found["running for"] = paint.long_span(max(0.0, time.time() - booted))
    return found


def _script_data(content: bytes) -> Markup:
    """JSON for a script element, which only "<" could end early."""
    return Markup(content.replace(b"<", b"\\u003c").decode())  # noqa: S704
