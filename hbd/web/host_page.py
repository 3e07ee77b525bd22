"""The page of one host: what its tabs are, who sees which, and what each shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from aiohttp import web

from hbd.access import Action, may
from hbd.availability import FORMULA, Span
from hbd.derived import DISKS
from hbd.model import Level, Sample
from hbd.processes import PLUGIN, ProcessSample
from hbd.remote.frames import OfferedCommand, Policy
from hbd.store.reports import KEPT
from hbd.web import (
    agent_view,
    alerts,
    availability,
    availability_view,
    forecast_view,
    forecasts,
    job_pages,
    jobs,
    messages,
    paint,
    process_view,
    processes,
)
from hbd.web.agent_pages import install_line
from hbd.web.call import Call
from hbd.web.exposure import EXAMPLE, RISKS, SIGNS, exposure
from hbd.web.filtered import number
from hbd.web.host_overview import overview
from hbd.web.layout import HOST, origin_of, page
from hbd.web.pages import machine
from hbd.web.plugin_view import plugin_view
from hbd.web.pointing import ways

MAX_TEXT = 4096  # of a unit or a path
MESSAGES = 12
REPORTS = 100
COMMAND_LOOKS = {
    "queued": ("", "○"),
    "delivered": ("", "◐"),
    "running": ("ON", "◐"),
    "done": ("UP", "●"),
    "failed": ("DOWN", "■"),
    "timeout": ("DOWN", "■"),
    "rejected": ("OVERDUE", "▲"),
    "expired": ("UNKNOWN", "–"),
}
ENDED = ("done", "failed", "timeout", "rejected", "expired")
PROCESS_LOOKS = {
    "up": ("UP", "●"),
    "alerting": ("OVERDUE", "▲"),
    "down": ("DOWN", "■"),
    "pending": ("UNKNOWN", "?"),
    "paused": ("", "○"),
}
"""statuses as a state, for its colour, and a shape"""


class Tab(NamedTuple):
    """A part of a host's page. action: what it takes to see it."""

    name: str
    label: str
    action: Action

    def href(self, host: str, **query: object) -> str:
        asked = ({} if self is TABS[0] else {"tab": self.name}) | query
        path = f"/agent/{quote(host, safe='')}"
        return f"{path}?{urlencode(asked)}" if asked else path


TABS = (
    Tab("overview", "Overview", Action.VIEW),
    Tab("availability", "Availability", Action.VIEW),
    Tab("commands", "Commands", Action.REMOTE),
    Tab("logs", "Logs", Action.REMOTE),
    Tab("files", "Files", Action.REMOTE),
    Tab("processes", "Processes", Action.VIEW),
    Tab("jobs", "Jobs", Action.VIEW),
    Tab("reports", "Reports", Action.VIEW),
    Tab("policy", "Policy", Action.REMOTE),
    Tab("settings", "Settings", Action.MANAGE),
)
_BY_NAME = {tab.name: tab for tab in TABS}


async def show(call: Call) -> web.Response:
    """``?tab=``: a part of a host's page. It has no past; ``?at=`` leads to what the host reported then."""
    if at := call.request.query.get("at", "").strip():
        return web.Response(
            status=302, headers={"Location": f"/plugins?{urlencode({'host': call.host.name, 'at': at[:64]})}"}
        )
    tab = _BY_NAME.get(call.request.query.get("tab", ""), TABS[0])
    verdict = may(call.identity, tab.action, call.host)
    if not verdict.allowed:
        return await _tab(call, tab, f"{HOST}denied", 403, denied=verdict.reason)
    return await _tab(call, tab, f"{HOST}{tab.name}", **await _CONTENT[tab.name](call))


async def _tab(call: Call, tab: Tab, name: str, status_code: int = 200, **values: Any) -> web.Response:
    host = call.host
    return await page(
        call,
        name,
        title=host.name if tab is TABS[0] else f"{host.name}: {tab.label}",
        status_code=status_code,
        agent=agent_view.detail(call.parts, host),
        row=paint.row(call.parts.views.host(host)),
        machine=machine(call, host),
        tabs=[one for one in TABS if call.identity.open or may(call.identity, one.action, host).allowed],
        tab=tab,
        href=lambda name, **query: _BY_NAME[name].href(host.name, **query),
        **values,
    )


async def _overview(call: Call) -> dict[str, Any]:
    host, rings = call.host, call.parts.rings
    shown = call.parts.views.host(host)
    judged = await alerts.of_host(call)
    plugins = rings.plugins(host.id)
    view = overview(lambda plugin: rings.newest(host.id, plugin, rings.count(host.id, plugin)))
    if DISKS in plugins:
        foretold = await forecasts.disks_if_known(call, host)
        view = view._replace(
            tables=[
                (plugin, forecast_view.with_forecasts(table, foretold) if plugin == DISKS else table)
                for plugin, table in view.tables
            ]
        )
    return {
        "heard": shown.last_seen is not None or bool(plugins),
        "view": view,
        "plugins": len(plugins),
        "alerts": [alert for alert in judged.alerts if alert.level is not Level.OK],
        "judged": len(judged.alerts),
        "connections": shown.connections,
        "speaks": await _speaks(call),
        "watched": [
            process_view.process(known, call.parts.alerts) for known in call.parts.processes.watches.of(host.id)
        ],
        "process_looks": PROCESS_LOOKS,
        "jobs": (await jobs.of_host(call)).jobs,
        "job_looks": job_pages.LOOKS,
        "messages": await messages.recent(call, MESSAGES, host.name),
        "marks": paint.MARKS,
        "state_words": paint.WORDS,
        "may_own": may(call.identity, Action.OWN, host, changes=True).allowed,
    }


async def _availability(call: Call) -> dict[str, Any]:
    now = time.time()
    known = (await availability.read(call, [call.host], Span(now - availability_view.LONGEST, now)))[call.host.id]
    view = await asyncio.to_thread(availability_view.availability_view, known.pieces, known.planned)
    return {"view": view, "formula": FORMULA}


async def _speaks(call: Call) -> str:
    """What the host's reports come through: ``hbc``, or the receiver of the newest report; "" when none is known."""
    if call.host.link:
        return "hbc"
    newest = await call.parts.doors.log.recent(call.host, 1)
    return newest[0].receiver if newest else ""


def _policy(call: Call) -> Policy | None:
    """What the host's agent says that it allows; None when it has not said so, or is of a kind that never does."""
    heard = call.parts.commands.heard(call.host)
    return heard.policy if heard is not None else None


def _offered(call: Call) -> list[OfferedCommand]:
    """The commands to choose from that the caller may give."""
    commands, host = call.parts.commands, call.host
    heard = commands.heard(host)
    if heard is None:
        return []
    known = {one.name: one for one in heard.policy.commands} if heard.policy is not None else {}
    offered = [known.get(name) or OfferedCommand(name, commands.risk(host, name)) for name in heard.names]
    all_of_it = may(call.identity, Action.REMOTE_ADMIN, host, changes=True).allowed
    return [one for one in offered if all_of_it or one.risk != "high"]


async def _commands(call: Call) -> dict[str, Any]:
    return {
        "policy": _policy(call),
        "offered": _offered(call),
        "commands": await call.parts.commands.history(call.host),
        "looks": COMMAND_LOOKS,
        "ended": ENDED,
    }


async def _show_policy(call: Call) -> dict[str, Any]:
    policy = _policy(call)
    return {
        "policy": policy,
        "shown": exposure(policy) if policy is not None else None,
        "signs": SIGNS,
        "risks": RISKS,
        "example": EXAMPLE,
        "admin": may(call.identity, Action.ADMIN).allowed,
    }


async def _logs(call: Call) -> dict[str, Any]:
    """``?source=&unit=&path=``: the log to follow."""
    asked = call.request.query
    values = {name: asked.get(name, "")[:MAX_TEXT] for name in ("source", "unit", "path")}
    return {"policy": _policy(call), **values}


async def _files(call: Call) -> dict[str, Any]:
    return {"policy": _policy(call)}


async def _processes(call: Call) -> dict[str, Any]:
    """``?process=``: the id of one, with its history; without it all that are watched."""
    host, register = call.host, call.parts.processes
    asked = number(call, "process")
    values: dict[str, Any] = {
        "looks": PROCESS_LOOKS,
        "asked": asked,
        "chosen": None,
        "may_manage": may(call.identity, Action.MANAGE, host, changes=True).allowed,
    }
    known = register.watches.get(host.id, asked) if asked is not None else None
    if known is None:
        found = await processes.index(call)
        return values | {"processes": found.processes, "limit": found.plan_limit, "plan": found.plan}
    history = await register.history(known.watched, time.time())
    return values | {
        "chosen": process_view.process(known, call.parts.alerts),
        "samples": history.samples,
        "total": history.total,
        "restarts": history.restarts,
        "cards": plugin_view([_as_sample(one) for one in history.samples]).cards,
    }


def _as_sample(one: ProcessSample) -> Sample:
    numbers = {"count": one.count, "cpu_percent": one.cpu_percent, "memory_percent": one.memory_percent}
    return Sample(PLUGIN, one.time, {name: value for name, value in numbers.items() if value is not None})


async def _reports(call: Call) -> dict[str, Any]:
    host = call.host
    return {
        "reports": await call.parts.doors.log.recent(host, REPORTS),
        "kept": KEPT,
        "ways": ways(origin_of(call), host.name, host.id),
        "may_own": may(call.identity, Action.OWN, host, changes=True).allowed,
    }


async def _settings(call: Call) -> dict[str, Any]:
    host = call.host
    return {
        "created": host.created or None,
        "install_line": install_line(call),
        "may_own": may(call.identity, Action.OWN, host, changes=True).allowed,
        "enabled": host.enabled,
        "min_report_interval": host.min_report_interval,
    }


_CONTENT: dict[str, Callable[[Call], Awaitable[dict[str, Any]]]] = {
    "overview": _overview,
    "availability": _availability,
    "commands": _commands,
    "logs": _logs,
    "files": _files,
    "processes": _processes,
    "jobs": job_pages.of_host,
    "reports": _reports,
    "policy": _show_policy,
    "settings": _settings,
}
"""what each tab shows"""
