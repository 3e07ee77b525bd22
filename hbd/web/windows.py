"""Maintenance windows over HTTP."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from hbd.accounts.shown import check_texts
from hbd.errors import InvalidInput, NotFound
from hbd.hushes import MaintenanceWindow
from hbd.matching import Matcher
from hbd.schedule import UTC, Span, Window, WindowTexts
from hbd.web import schemas
from hbd.web.call import Call
from hbd.web.errors import require
from hbd.web.scope import Scope, Sight, matcher, may_hold_back, refresh, seconds

Text = Annotated[str, Meta(max_length=64)]
Days = Annotated[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Meta(max_length=7)]


class WindowBody(Scope, kw_only=True):
    """All of a window. start: what clocks in the time zone show, ``2026-11-21T22:00``; duration: seconds, or ``2h``.

    days: of a weekly one, on which it begins; none: on the weekday of its start. until: the last day on which it may
    begin, ``2027-01-01``; null: no last one.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    timezone: Text = UTC
    start: Text
    duration: float | Annotated[str, Meta(max_length=20)]
    repeat: Literal["once", "daily", "weekly", "monthly"] = "once"
    days: Days = field(default_factory=list)
    until: Text | None = None


async def index(call: Call) -> list[schemas.Window]:
    return listed(call)


def listed(call: Call) -> list[schemas.Window]:
    """Those that the caller may see, by name."""
    now, sight = time.time(), Sight(call)
    found = (one for one in call.parts.hushing.windows() if sight.shows(one.matcher))
    return [schemas.Window(**_words(call, sight, one, now)) for one in found]


async def create(call: Call) -> schemas.ChangedWindow:
    window = _given(call)
    require(may_hold_back(call, window.matcher))
    entry = call.entry("window.create", f"window {window.name}", detail=_told(window))
    return _changed(call, await call.parts.hushing.add_window(window, entry))


async def update(call: Call) -> schemas.ChangedWindow:
    """What it was about before has to be the caller's as well."""
    window_id, before, window = *_named(call), _given(call)
    require(may_hold_back(call, before.matcher))
    require(may_hold_back(call, window.matcher))
    entry = call.entry("window.change", f"window {window.name}", detail=_told(window))
    return _changed(call, await call.parts.hushing.change_window(window_id, window, entry), before.matcher)


async def delete(call: Call) -> schemas.Done:
    window_id, window = _named(call)
    require(may_hold_back(call, window.matcher))
    entry = call.entry("window.delete", f"window {window.name}", detail=_told(window))
    await call.parts.hushing.delete_window(window_id, entry)
    refresh(call, window.matcher)
    return schemas.Done()


def _named(call: Call) -> tuple[int, MaintenanceWindow]:
    """The window in the path, if the caller may know of it; those of the config have no id."""
    text = call.path["id"]
    if text.isascii() and text.isdigit() and len(text) < 19:
        window = call.parts.hushing.window(int(text))
        if Sight(call).shows(window.matcher):
            return int(text), window
    raise NotFound(f"Window '{text}' not found")


def _given(call: Call) -> MaintenanceWindow:
    body = call.body
    assert isinstance(body, WindowBody)
    check_texts(name=body.name)
    if not body.name.strip():
        raise InvalidInput("is needed", "name")
    texts = WindowTexts(
        body.start, seconds(body.duration), body.timezone, body.repeat, tuple(dict.fromkeys(body.days)), body.until
    )
    return MaintenanceWindow(
        id=None,
        name=body.name.strip(),
        matcher=matcher(body),
        window=Window.read(texts),
        author=call.identity.name,
        source="api",
    )


def _changed(call: Call, window: MaintenanceWindow, *before: Matcher) -> schemas.ChangedWindow:
    refresh(call, window.matcher, *before)
    return schemas.ChangedWindow(**_words(call, Sight(call), window, time.time()))


def _told(window: MaintenanceWindow) -> str:
    """For the audit log."""
    about, texts = window.matcher, window.window.texts
    lists = {"hosts": about.hosts, "tags": about.tags, "metrics": about.metrics, "days": texts.days}
    told = [f"{texts.repeat} from {texts.start} {texts.timezone} for {texts.duration:.0f} s"]
    told += [f"{name}: {', '.join(found)}" for name, found in lists.items() if found]
    return "; ".join([*told, *([f"until {texts.until}"] if texts.until else [])])[:1000]


def _words(call: Call, sight: Sight, window: MaintenanceWindow, now: float) -> dict[str, Any]:
    about, texts = window.matcher, window.window.texts
    active = window.window.active(now)
    return {
        "id": window.id,
        "name": window.name,
        "hosts": sight.hosts(about),
        "tags": list(about.tags),
        "metrics": list(about.metrics),
        "timezone": texts.timezone,
        "start": texts.start,
        "duration": texts.duration,
        "repeat": texts.repeat,
        "days": list(texts.days),
        "until": texts.until,
        "author": window.author,
        "source": window.source,
        "active": active is not None,
        "current": _span(active),
        "next": _span(window.window.next(now)),
        "editable": window.source == "api" and may_hold_back(call, about).allowed,
    }


def _span(span: Span | None) -> schemas.Span | None:
    return None if span is None else schemas.Span(span.start, span.end)
