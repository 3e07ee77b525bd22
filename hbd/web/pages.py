"""The pages for people: HTML with the data inside, so that they can be read before and without any script."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import time
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hbd.access import Action, may
from hbd.hosts import Host
from hbd.model import State
from hbd.web import live_view, openapi, paint, schemas
from hbd.web.api_view import groups
from hbd.web.assets import Assets, icon_name, static_folder
from hbd.web.call import Call
from hbd.web.plugin_view import EMPTY, plugin_view

PAGES = (
    ("live", "/live", "Live", "pulse"),
    ("plugins", "/plugins", "Plugins", "plugins"),
    ("status", "/status", "Status", "status"),
    ("api", "/api", "API", "api"),
)
TITLES = {name: title for name, _, title, _ in PAGES}
MESSAGES = 100
HOSTS_AT_ONCE = 100  # so many are looked at before others get their turn on the event loop
GZIP_LEVEL = 1
FOREVER = "public, max-age=31536000, immutable"

FIRST_PLUGIN = "cpu_monitor"  # what people look for first
# A page that is drawn again in place needs no list of hosts to choose from.
REFRESH_HEADER = "X-Refresh"


class Site(NamedTuple):
    assets: Assets
    templates: Environment


class Problems(NamedTuple):
    """hosts: how many watched ones are not up."""

    hosts: int
    level: str
    icon: str


class Banner(NamedTuple):
    text: str
    exposed: bool


async def index(call: Call) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/live"})


async def live(call: Call) -> web.StreamResponse:
    visible = _visible(call)
    messages = await call.parts.store.messages.recent(MESSAGES)
    if not call.identity.open:
        names = {host.name for host in visible}
        messages = [message for message in messages if message.host in names]
    shown = []
    for start in range(0, len(visible), HOSTS_AT_ONCE):
        shown += [call.parts.views.host(host) for host in visible[start : start + HOSTS_AT_ONCE]]
        await asyncio.sleep(0)
    lines = [schemas.JournalMessage(message.time, message.host, message.msg) for message in messages]
    view = await asyncio.to_thread(live_view.live_view, shown, call.request.query)
    data = await asyncio.to_thread(msgspec.json.encode, {"hosts": shown, "messages": lines})
    return await _page(
        call, "live", live=view, blank=paint.row(live_view.BLANK), messages=lines, data=_script_data(data)
    )


async def plugins(call: Call) -> web.StreamResponse:
    """``?host=…&plugin=…``; without them the first host, and its processors or the first plugin that it has."""
    rings, asked = call.parts.rings, call.request.query.get("host", "")
    visible = _visible(call)
    host: Host | None
    if asked:
        host = next((entry for entry in visible if entry.name.lower() == asked.lower()), None)
    else:
        host = next(iter(visible), None)
    names = rings.plugins(host.id) if host else []
    wanted = call.request.query.get("plugin", "")
    plugin = next((name for name in (wanted, FIRST_PLUGIN, *names) if name in names), "")
    held = rings.count(host.id, plugin) if host and plugin else 0
    samples = rings.newest(host.id, plugin, held) if host and held else []
    shown = call.parts.views.host(host) if host else None
    return await _page(
        call,
        "plugins",
        status_code=404 if asked and host is None else 200,
        choices=[] if REFRESH_HEADER in call.request.headers else [entry.name for entry in visible],
        host=shown,
        row=paint.row(shown) if shown else None,
        asked=asked,
        names=names,
        plugin=plugin,
        held=held,
        sampled=samples[0].time if samples else None,
        view=plugin_view(samples) if samples else EMPTY,
    )


async def status(call: Call) -> web.StreamResponse:
    daemon, unready = call.parts.status(), call.parts.unready()
    healthy = daemon.storage == "ok" and daemon.reload.ok and not unready
    return await _page(call, "status", status=daemon, unready=unready, healthy=healthy)


async def api_docs(call: Call) -> web.StreamResponse:
    return await _page(
        call,
        "api",
        groups=groups(openapi.document(call.routes), _origin(call)),
        feed_url=_origin(call).replace("http", "ws", 1) + "/hbd",
    )


async def static_file(call: Call) -> web.StreamResponse:
    asset = _site().assets.get(call.path["path"])
    if asset is None:
        raise web.HTTPNotFound
    headers = {"ETag": asset.etag, "Cache-Control": FOREVER, "Vary": "Accept-Encoding", "Content-Type": asset.type}
    if asset.etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if asset.packed is not None and "gzip" in call.request.headers.get("Accept-Encoding", ""):
        return web.Response(body=asset.packed, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=asset.content, headers=headers)


@cache
def _site() -> Site:
    folder = static_folder()
    templates = Environment(
        loader=FileSystemLoader(folder / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters |= {
        "clock": paint.clock,
        "iso": paint.iso,
        "short_span": paint.short_span,
        "long_span": paint.long_span,
        "plain": paint.plain,
        "file_size": lambda value: paint.scaled(value, "B", 1024),
    }
    assets = Assets(folder)
    templates.globals |= {
        "url": assets.url,
        "modules": {name: assets.modules(f"{name}.js") for name in TITLES},
        "version": assets.version,
        "pages": PAGES,
    }
    return Site(assets, templates)


async def _page(call: Call, page: str, *, status_code: int = 200, **values: Any) -> web.Response:
    values |= {"problems": _problems(call), "banner": _banner(call), "origin": _origin(call)}
    packed = "gzip" in call.request.headers.get("Accept-Encoding", "")
    content = await asyncio.to_thread(_render, page, values, packed)
    headers = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=content, status=status_code, headers=headers)


def _render(page: str, values: dict[str, Any], packed: bool) -> bytes:
    template = _site().templates.get_template(f"{page}.html")
    content = template.render(page=page, title=TITLES[page], now=round(time.time(), 3), **values).encode()
    return gzip.compress(content, GZIP_LEVEL, mtime=0) if packed else content


def _visible(call: Call) -> list[Host]:
    if call.identity.open:
        return list(call.parts.hosts)
    return [host for host in call.parts.hosts if may(call.identity, Action.VIEW, host).allowed]


def _problems(call: Call) -> Problems:
    if call.identity.open:
        counts = dict(call.parts.presence.counts())
        for host in call.parts.hosts:
            if not host.watched:
                counts[_state(call, host)] -= 1
    else:
        counts = dict.fromkeys(State, 0)
        for host in _visible(call):
            if host.watched:
                counts[_state(call, host)] += 1
    hosts = sum(number for state, number in counts.items() if state is not State.UP)
    level = "ok"
    for state, name in ((State.UNKNOWN, "unknown"), (State.OVERDUE, "warning"), (State.DOWN, "critical")):
        if counts.get(state):
            level = name
    return Problems(hosts, level, icon_name(level, hosts))


def _state(call: Call, host: Host) -> State:
    view = call.parts.presence.view(host.id)
    return view.state if view else State.UNKNOWN


def _banner(call: Call) -> Banner | None:
    """What it means that nobody has to log in; None when somebody has to."""
    if not call.identity.open:
        return None
    if all(_is_loopback(url) for url in call.parts.status().urls):
        return Banner(
            "No users are set up: whoever can reach this address sees everything here. "
            "It listens on this machine only.",
            exposed=False,
        )
    return Banner(
        "No users are set up: whoever can reach this address over the network sees everything here.", exposed=True
    )


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _origin(call: Call) -> str:
    """Where this daemon is reached, as the caller reached it."""
    return call.parts.config.base_url or str(call.request.url.origin())


def _script_data(content: bytes) -> Markup:
    """JSON for a script element, which only "<" could end early."""
    return Markup(content.replace(b"<", b"\\u003c").decode())  # noqa: S704
