"""A little application behind the real server, whose patience is short, and what hostile clients do to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from hbd.stats import Stats
from hbd.web.patience import Patience
from hbd.web.server import Runner

SHORT = Patience(head=0.3, body=0.3, reply=0.3, crowd=5, crowded=0.1, roomy=0.0)
DEADLINE = 10.0
BIG = 32 << 20  # more than the kernel takes on loopback

SMALL_REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPLOAD = b"POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


async def small(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def big(_: web.Request) -> web.Response:
    return web.Response(body=bytes(BIG))


async def take(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def hold(request: web.Request) -> web.Response:
    await request.app[SITE].release.wait()
    return await take(request)


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        await ws.send_str(message.data)
    return ws


class Site:
    """A little application behind the real server. stats: what it counted. release: what ``/hold`` waits for."""

    def __init__(self) -> None:
        self.port = 0
        self.stats = Stats()
        self.release = asyncio.Event()

    @asynccontextmanager
    async def dial(self, first: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(first)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def cut(self, reason: str) -> float:
        return self.stats.value("connections_cut_total", reason=reason)


SITE = web.AppKey("site", Site)


@asynccontextmanager
async def serving(patience: Patience) -> AsyncIterator[Site]:
    app = web.Application(client_max_size=8 << 20)
    app.router.add_get("/small", small)
    app.router.add_get("/big", big)
    app.router.add_post("/take", take)
    app.router.add_post("/ignore", small)
    app.router.add_post("/hold", hold)
    app.router.add_get("/socket", open_socket)
    site = app[SITE] = Site()
    runner = Runner(app, patience=patience, stats=site.stats)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        site.port = runner.addresses[0][1]
        yield site
    finally:
        await runner.cleanup()


@pytest.fixture(name="site")
async def a_site() -> AsyncIterator[Site]:
    async with serving(SHORT) as made:
        yield made


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side ends the connection, however it does."""
    got = b""
    async with asyncio.timeout(DEADLINE):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                got += data
    return got


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not true():
            await asyncio.sleep(0.01)


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def dribble(writer: asyncio.StreamWriter, data: bytes, gap: float) -> None:
    """One byte after the other, until nobody takes them any more."""
    with contextlib.suppress(ConnectionError):
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(gap)


@asynccontextmanager
async def meanwhile(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
