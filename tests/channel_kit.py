"""What tests of channels share: messages, tools, and services on this machine that answer as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from hbd.channels.base import Item, Message, Tools, worst
from hbd.channels.guard import Allowed, Guard, Lookup, look_up
from hbd.channels.threads import Threads
from hbd.channels.words import compose
from hbd.model import Level

NOW = 1_750_000_000.0


def item(level: Level = Level.CRITICAL, **changed: Any) -> Item:
    given: dict[str, Any] = {
        "id": "p1",
        "host": "web1",
        "metric": "cpu_monitor.cpu_percent",
        "name": "CPU",
        "level": level,
        "value": "95.5",
        "reason": "CPU 95.5 > 90 for 5 min",
        "since": NOW - 300,
        "at": NOW,
        "url": "https://hbd.example.org/alerts?host=web1",
        "tags": ("prod",),
        "owner": "alice",
    }
    return Item(**given | changed)


def message(*items: Item, **changed: Any) -> Message:
    told = items or (item(),)
    title, text = compose(told)
    given: dict[str, Any] = {
        "id": "m1",
        "items": told,
        "title": title,
        "text": text,
        "level": worst(told),
        "sent": NOW,
    }
    return Message(**given | changed)


def guard(
    *,
    trusted: bool = True,
    allowed: Sequence[str] = (),
    own_ports: Collection[int] = (),
    lookup: Lookup = look_up,
) -> Guard:
    return Guard(
        trusted=trusted,
        allowed=Allowed(allowed),
        own_ports=lambda: own_ports,
        threads=Threads(4, "lookup"),
        lookup=lookup,
    )


def tools(scripts: Path | None = None, **of_guard: Any) -> Tools:
    return Tools(guard=guard(**of_guard), threads=Threads(4, "send"), scripts=scripts, clock=lambda: NOW)


class Service:
    """An HTTP server that remembers what it was asked and answers with what it was told to. port: where it listens."""

    def __init__(self, server: TestServer) -> None:
        self._server = server
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b""
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path, dict(request.headers), await request.read()))
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=self.status, headers=self.headers, body=self.body)

    async def hang(self, _: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def cut(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def serving() -> AsyncIterator[Service]:
    app = web.Application()
    server = TestServer(app, host="127.0.0.1")
    service = Service(server)
    app.router.add_route("*", "/{path:.*}", service.handle)
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield service
    finally:
        await server.close()
