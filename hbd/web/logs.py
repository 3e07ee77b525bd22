"""Logs of a host, line by line as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from hbd.errors import InvalidInput
from hbd.remote.log_lines import Line, LogEvent, LogLines, Notice, Skipped
from hbd.web import sse, trail
from hbd.web.call import Call

_Text = Annotated[str, Meta(max_length=4096)]


class LogQuery(Struct):
    source: Annotated[
        Literal["journald", "file"], Meta(description="Where the log is: systemd's journal, or a file.")
    ] = "journald"
    unit: Annotated[_Text | None, Meta(description="Name of the systemd unit; with `journald`.")] = None
    path: Annotated[_Text | None, Meta(description="Full path of the file; with `file`.")] = None
    lines: Annotated[int, Meta(ge=0, le=1000, description="How many lines of the past come first.")] = 100
    last_event_id: Annotated[
        _Text | None, Meta(description="Go on behind this event; the header `Last-Event-ID` says it too.")
    ] = None


async def stream(call: Call) -> web.StreamResponse:
    query: LogQuery = call.query
    params = {"source": query.source, "lines": query.lines, "after": sse.last_event_id(call)}
    name = "unit" if query.source == "journald" else "path"
    value = query.unit if query.source == "journald" else query.path
    if not value:
        raise InvalidInput(f"is needed with source={query.source}", name)
    async with (
        trail.trail(call, "log.follow", "log.followed", f"{name} {value}") as left,
        call.parts.streams.open(call.host, "logs", {**params, name: value}, call.identity.name) as agent,
    ):
        lines = LogLines(agent)
        filling = asyncio.create_task(lines.fill())
        try:
            return await sse.serve(call, _events(lines))
        finally:
            left.told = f"{lines.lines} lines"
            filling.cancel()
            await asyncio.wait({filling})


async def _events(lines: LogLines) -> AsyncIterator[bytes]:
    async for events in lines:
        yield b"".join(sse.encode(_event(event)) for event in events)
    yield sse.encode(_named("end", reason="the log has ended"))


def _event(event: LogEvent) -> sse.Event:
    match event:
        case Line():
            return sse.Event(event.text, id=event.position)
        case Skipped():
            return _named("skipped", event.position, lines=event.lines, bytes=event.bytes)
        case Notice():
            return _named("notice", what=event.what, text=event.text)


def _named(kind: str, id: str = "", **data: Any) -> sse.Event:
    return sse.Event(msgspec.json.encode(data).decode(), kind, id)
