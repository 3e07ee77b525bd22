"""The frame around the pages: templates, who is looking, which pages there are for them, and what all pages tell."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from functools import cache
from typing import Any, NamedTuple

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hbd.access import Action, may, sees_everything, visible
from hbd.hosts import Host
from hbd.model import State
from hbd.reach import Reach, is_loopback, reach
from hbd.web import account_view, alert_view, notify_view, paint, past
from hbd.web.alert_count import NONE_OPEN, open_alerts
from hbd.web.assets import Assets, icon_name, static_folder
from hbd.web.call import Call


class Item(NamedTuple):
    """A page that the rail leads to, for those who may do ``action``."""

    name: str
    path: str
    label: str
    symbol: str
    action: Action


PAGES = (
    Item("live", "/live", "Live", "pulse", Action.VIEW),
    Item("alerts", "/alerts", "Alerts", "alerts", Action.VIEW),
    Item("plugins", "/plugins", "Plugins", "plugins", Action.VIEW),
    Item("agents", "/agents", "Agents", "agents", Action.VIEW),
    Item("silences", "/silences", "Silences", "silences", Action.VIEW),
    Item("jobs", "/jobs", "Jobs", "jobs", Action.VIEW),
    Item("channels", "/channels", "Channels", "channels", Action.VIEW),
    Item("routes", "/routes", "Routes", "routes", Action.ADMIN),
    Item("access", "/access", "Access", "access", Action.VIEW),
    Item("users", "/users", "Users", "users", Action.ADMIN),
    Item("audit", "/audit", "Audit", "audit", Action.ADMIN),
    Item("status", "/status", "Status", "status", Action.INSPECT),
    Item("api", "/api", "API", "api", Action.VIEW),
)
BAR = 5  # so many fit beside each other at the bottom of a phone
BARE = {"login": "Sign in", "setup": "First user"}
"""pages without the frame: nobody has signed in yet"""
SETUP_OVER = "This link leads nowhere"
HOST = "agent_"
"""begins the names of the pages about one host"""
HOST_PAGES = (
    *("overview", "availability", "commands", "logs", "files", "processes", "jobs", "reports", "policy", "settings"),
    "denied",
)
SECTIONS = {"deploy": "agents", "scrapes": "agents"} | {HOST + name: "agents" for name in HOST_PAGES}
"""pages that the rail does not lead to itself, and what it leads to of which they are a part"""
TITLES = {item.name: item.label for item in PAGES} | {
    **{HOST + name: name.capitalize() for name in HOST_PAGES},
    "deploy": "Deploy",
    "history": "History",
    "scrapes": "Exporters",
    "profile": "Profile",
    "missing": "No such page",
    "refused": "Not yours",
}
FOREIGN = "Asked by another site"
"""the title where nobody's rights are at fault, but the page that the request came from"""
LOOKS_BACK = ("live", "alerts", "plugins")
"""pages that show the past, too"""
ALWAYS_TOLD = ("status", "access", "users", "audit", "profile")
"""pages on which the words about missing users cannot be hidden"""
WITHOUT_USERS = {
    Reach.NETWORK: "whoever can reach hbd over the network sees everything here",
    Reach.PROXY: "hbd listens on this machine only, but by its config a proxy brings others (`base_url`, "
    "`trusted_proxies`), and whoever gets through that sees everything here",
    Reach.MACHINE: "everybody on this machine sees everything here; hbd listens on it only",
}
GZIP_LEVEL = 1
CODE = re.compile(r"`([^`]+)`")


class Site(NamedTuple):
    assets: Assets
    templates: Environment


class Problems(NamedTuple):
    """hosts: how many watched ones are not up."""

    hosts: int
    level: str
    icon: str


class Banner(NamedTuple):
    """What it means that nobody has to sign in. exposed: whether more than this machine can reach the pages."""

    text: str
    exposed: bool


class Joining(NamedTuple):
    """What somebody needs who wants to add a machine.

    origin: where its agent finds this daemon, as far as we know. local: that address means another machine elsewhere.
    enclosed: no other machine reaches this daemon as it listens now. keys: agents need one. config: the file to change.
    adds: whether they may make a key here.
    """

    origin: str
    local: bool
    enclosed: bool
    keys: bool
    config: str
    adds: bool


class Viewer(NamedTuple):
    """Whoever has signed in."""

    name: str
    full_name: str
    role: str
    face: account_view.Face


@cache
def site() -> Site:
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
        "face": account_view.face,
        "browser": account_view.browser,
        "json": notify_view.json,
        "shown": notify_view.shown,
        "days": notify_view.days,
        "recurrence": notify_view.recurrence,
        "measured": alert_view.measured,
        "level_mark": paint.LEVEL_MARKS.__getitem__,
        "latency": paint.latency,
        "pretty": paint.pretty,
    }
    assets = Assets(folder)
    templates.globals |= {
        "url": assets.url,
        "modules": {name: assets.modules(f"{name}.js") for name in (*TITLES, *BARE, "past")},
        "version": assets.version,
        "always_told": ALWAYS_TOLD,
        "looks_back": LOOKS_BACK,
    }
    return Site(assets, templates)


async def page(call: Call, name: str, *, title: str = "", status_code: int = 200, **values: Any) -> web.Response:
    """A page in its frame, for whoever is calling. title: another than the page has as a rule."""
    found = reach(call.parts.config, call.parts.urls())
    guest = call.identity.open
    values |= {
        "pages": [item for item in PAGES if may(call.identity, item.action).allowed],
        "problems": _problems(call),
        "open_alerts": open_alerts(call),
        "banner": _banner(found) if guest else None,
        "viewer": None if guest else _viewer(call),
        "joining": _joining(call, found) if may(call.identity, Action.INSPECT).allowed else None,
    }
    return await _respond(call, name, title or TITLES[name], values, status_code)


async def bare_page(call: Call, name: str, *, title: str = "", status_code: int = 200, **values: Any) -> web.Response:
    """A page for those who have not signed in: it knows nothing of hosts and users."""
    return await _respond(call, name, title or BARE[name], values, status_code)


async def missing_page(call: Call) -> web.Response:
    """The page that there is at no address: the frame and a way back."""
    return await _page_for_anybody(call, "missing", TITLES["missing"], 404)


async def refused_page(call: Call, reason: str, *, foreign: bool) -> web.Response:
    """The page of what is not the caller's, with the reason in words. foreign: another site's page asked for it."""
    title = FOREIGN if foreign else TITLES["refused"]
    return await _page_for_anybody(call, "refused", title, 403, reason=reason, foreign=foreign)


async def _page_for_anybody(call: Call, name: str, title: str, status_code: int, **values: Any) -> web.Response:
    """Like ``page``, also for strangers: theirs has the rail that everybody has, and knows nothing of hosts and users.

    They are told whom a proxy takes them for.
    """
    if call.identity.open or call.identity.role is not None:
        return await page(call, name, title=title, status_code=status_code, named="", **values)
    values |= {
        "pages": [item for item in PAGES if item.action is Action.VIEW],
        "problems": Problems(0, "ok", icon_name("ok", 0)),
        "open_alerts": NONE_OPEN,
        "banner": None,
        "viewer": None,
        "joining": None,
        "named": call.caller.named,
    }
    return await _respond(call, name, title, values, status_code)


async def _respond(call: Call, name: str, title: str, values: dict[str, Any], status_code: int) -> web.Response:
    packed = call.takes_gzip
    content = await asyncio.to_thread(_render, name, title, values, packed)
    headers = {"Content-Type": "text/html; charset=utf-8", "Vary": "Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=content, status=status_code, headers=headers)


def _render(name: str, title: str, values: dict[str, Any], packed: bool) -> bytes:
    template = site().templates.get_template(f"{name}.html")
    moment: past.Moment | None = values.setdefault("past", None)
    values.setdefault("look_back", None)
    now = round(time.time(), 3) if moment is None or moment.at is None else moment.at
    section = SECTIONS.get(name, name)
    content = template.render(page=name, section=section, title=title, bar=BAR, now=now, **values).encode()
    return gzip.compress(content, GZIP_LEVEL, mtime=0) if packed else content


def state_of(call: Call, host: Host) -> State:
    view = call.parts.presence.view(host.id)
    return view.state if view else State.UNKNOWN


def _problems(call: Call) -> Problems:
    if sees_everything(call.identity):
        counts = dict(call.parts.presence.counts())
        for host in call.parts.hosts:
            if not host.watched:
                counts[state_of(call, host)] -= 1
    else:
        counts = dict.fromkeys(State, 0)
        for host in visible(call.identity, call.parts.hosts):
            if host.watched:
                counts[state_of(call, host)] += 1
    hosts = sum(number for state, number in counts.items() if state is not State.UP)
    level = "ok"
    for worse, name in ((State.UNKNOWN, "unknown"), (State.OVERDUE, "warning"), (State.DOWN, "critical")):
        if counts.get(worse):
            level = name
    return Problems(hosts, level, icon_name(level, hosts))


def _viewer(call: Call) -> Viewer:
    name, user = call.identity.name, call.user
    full_name, avatar = (user.full_name, user.avatar) if user else ("", "")
    return Viewer(name, full_name, str(call.identity.role), account_view.face(name, full_name, avatar))


def _banner(found: Reach) -> Banner:
    add = "Add the first one on the machine of hbd: `hbd user add --admin NAME`"
    return Banner(f"No users are set up: {WITHOUT_USERS[found]}. {add}", found is not Reach.MACHINE)


def _joining(call: Call, found: Reach) -> Joining:
    config, origin = call.parts.config, origin_of(call)
    return Joining(
        origin=origin,
        local=is_loopback(origin),
        enclosed=found is Reach.MACHINE,
        keys=config.enrollment(not call.parts.accounts.open) != "open",
        config=str(config.source or "hbd.yaml"),
        adds=may(call.identity, Action.ADMIN, changes=True).allowed,
    )


def origin_of(call: Call) -> str:
    """Where this daemon is reached, as far as we know."""
    return call.parts.config.base_url or str(call.request.url.origin())


def script_data(content: bytes) -> Markup:
    """JSON for a script element, which only "<" could end early."""
    return Markup(content.replace(b"<", b"\\u003c").decode())  # noqa: S704


def _code(text: str) -> Markup:
    """Text in which `this` is code, as HTML."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704
