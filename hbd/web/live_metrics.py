"""The newest numbers of a host, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from hbd.web import sse
from hbd.web.agent_view import current_metrics
from hbd.web.call import Call

EVERY_SECONDS = 5.0


async def stream(call: Call) -> web.StreamResponse:
    with call.parts.streams.place(call.identity.name):
        return await sse.serve(call, _metrics(call))


async def _metrics(call: Call) -> AsyncIterator[sse.Event]:
    while True:
        metrics = current_metrics(call.parts, call.host)
        yield sse.Event(msgspec.json.encode(metrics).decode(), id=str(metrics.timestamp or ""))
        await asyncio.sleep(EVERY_SECONDS)
