"""The pages for people: HTML with the data inside, so that they can be read before and without any script."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import re
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hbd.access import Action, may
from hbd.hosts import Host
from hbd.model import State
from hbd.web import live_view, openapi, paint, schemas
from hbd.web.api_view import groups
from hbd.web.assets import Assets, icon_name, static_folder
from hbd.web.call import Call
from hbd.web.hostview import number
from hbd.web.plugin_view import AGENT, EMPTY, failures, ordered, plugin_view
from hbd.web.status_view import troubles

PAGES = (
    ("live", "/live", "Live", "pulse"),
    ("plugins", "/plugins", "Plugins", "plugins"),
    ("status", "/status", "Status", "status"),
    ("api", "/api", "API", "api"),
)
TITLES = {name: title for name, _, title, _ in PAGES} | {"missing": "No such page"}
MESSAGES = 100
HOSTS_AT_ONCE = 100  # so many are looked at before others get their turn on the event loop
GZIP_LEVEL = 1
FOREVER = "public, max-age=31536000, immutable"

SUGGESTIONS = 500  # names of hosts that a field offers
HOSTS_ASKED = 50  # so many are asked which plugins they have
CODE = re.compile(r"`([^`]+)`")
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
    """exposed: whether more than this machine can reach the pages."""

    text: str
    exposed: bool


class Joining(NamedTuple):
    """What somebody needs who wants to add a machine.

    origin: where its agent finds this daemon, as far as we know. local: that address means another machine elsewhere.
    enclosed: no other machine reaches this daemon as it listens now. keys: agents need one. config: the file to change.
    """

    origin: str
    local: bool
    enclosed: bool
    keys: bool
    config: str


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
    """``?host=…&plugin=…``; without them the first host and the first plugin that it has."""
    rings, asked = call.parts.rings, call.request.query.get("host", "")
    visible = _visible(call)
    host: Host | None
    if asked:
        host = next((entry for entry in visible if entry.name.lower() == asked.lower()), None)
    else:
        host = next(iter(visible), None)
    names = ordered(rings.plugins(host.id)) if host else []
    agent = rings.latest(host.id, AGENT) if host else None
    wanted = call.request.query.get("plugin", "")
    plugin = next((name for name in (wanted, *names) if name in names), "")
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
        failures=failures(agent.data, names) if agent else [],
        machine=_machine(call, host) if host else None,
        sampled=samples[0].time if samples else None,
        view=plugin_view(samples) if samples else EMPTY,
    )


async def status(call: Call) -> web.StreamResponse:
    daemon, unready = call.parts.status(), call.parts.unready()
    healthy = daemon.storage == "ok" and daemon.reload.ok and not unready
    found = troubles(daemon.counters)
    return await _page(call, "status", status=daemon, unready=unready, healthy=healthy, troubles=found)


async def api_docs(call: Call) -> web.StreamResponse:
    origin, hosts = str(call.request.url.origin()), _visible(call)
    known = {name for host in hosts[:HOSTS_ASKED] for name in call.parts.rings.plugins(host.id)}
    return await _page(
        call,
        "api",
        groups=groups(openapi.document(call.routes), origin),
        asked_at=origin,
        feed_url=origin.replace("http", "ws", 1) + "/hbd",
        suggestions={"host": [host.name for host in hosts[:SUGGESTIONS]], "plugin": ordered(known)},
    )


def missing() -> bytes:
    """The page that there is at no address: the frame and a way back. It knows nothing of this daemon's hosts."""
    problems = Problems(0, "ok", icon_name("ok", 0))
    return _render("missing", {"problems": problems, "banner": None, "joining": None}, packed=False)


async def static_file(call: Call) -> web.StreamResponse:
    asset = _site().assets.get(call.path["path"])
    if asset is None:
        raise web.HTTPNotFound
    headers = {"ETag": asset.etag, "Cache-Control": FOREVER, "Vary": "Accept-Encoding", "Content-Type": asset.type}
    if asset.etag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    if asset.packed is not None and call.takes_gzip:
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
        "code": _code,
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
    daemon = call.parts.status()
    exposed = listens_on_network(daemon.urls)
    values |= {
        "problems": _problems(call),
        "banner": _banner(exposed) if call.identity.open else None,
        "joining": _joining(call, exposed, daemon.config_file),
    }
    packed = call.takes_gzip
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


def _machine(call: Call, host: Host) -> dict[str, str]:
    """What its agent says of the machine, in words."""
    sample = call.parts.rings.latest(host.id, "os_info")
    if sample is None:
        return {}
    found = {}
    if kernel := sample.data.get("kernel"):
        found["kernel"] = str(kernel)[:100]
    booted = number(sample.data.get("boot_time"))
    if booted is not None and _state(call, host) is State.UP:
        found["running for"] = paint.long_span(max(0.0, time.time() - booted))
    return found


def _banner(exposed: bool) -> Banner:
    """What it means that nobody has to log in."""
    if exposed:
        return Banner("No users are set up: whoever can reach hbd over the network sees everything here.", True)
    return Banner("No users are set up: everybody on this machine sees everything here; hbd listens on it only.", False)


def listens_on_network(urls: Iterable[str]) -> bool:
    """Whether more than this machine can connect to one of these URLs; ``0.0.0.0`` and ``::`` are every network."""
    return not all(_is_loopback(url) for url in urls)


def _is_loopback(url: str) -> bool:
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _joining(call: Call, exposed: bool, config_file: str | None) -> Joining:
    config = call.parts.config
    origin = config.base_url or str(call.request.url.origin())
    return Joining(
        origin=origin,
        local=_is_loopback(origin),
        enclosed=not exposed and not config.base_url,
        keys=config.enrollment != "open",
        config=config_file or "hbd.yaml",
    )


def _code(text: str) -> Markup:
    """Text in which `this` is code, as HTML."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _script_data(content: bytes) -> Markup:
    """JSON for a script element, which only "<" could end early."""
    return Markup(content.replace(b"<", b"\\u003c").decode())  # noqa: S704
