"""Hostile connections (S61 to S64, S66, F57, G21): slow, too many, too large, odd. Patience is short here."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import re
import socket
import time
import tracemalloc
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestClient
from msgspec import Struct
from world import Api, RealServer, World

import hbc
import hbd
from hbd.access import Action
from hbd.stats import Stats
from hbd.web import server as web_server
from hbd.web.app import application
from hbd.web.call import Call, Route
from hbd.web.patience import GRAIN_SECONDS, OUT_OF_DESCRIPTORS, Patience
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


@pytest.fixture
async def site() -> AsyncIterator[Site]:
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


# ------------------------------------------------------------------------------------------------- S62 slow heads


async def test_s62_a_connection_that_says_nothing_is_cut_off(site: Site) -> None:
    async with site.dial() as (reader, _):
        assert await rest(reader) == b""
    assert site.cut("head") == 1


async def test_s62_headers_that_never_end_are_cut_off(site: Site) -> None:
    async with (
        site.dial(b"GET /small HTTP/1.1\r\n") as (reader, writer),
        meanwhile(dribble(writer, b"X: " + b"x" * 1000, 0.05)),
    ):
        assert await rest(reader) == b""
    assert site.cut("head") == 1


async def test_s62_a_second_request_that_never_ends_is_cut_off(site: Site) -> None:
    async with site.dial(SMALL_REQUEST) as (reader, writer):
        await reader.readuntil(b"here")
        async with meanwhile(dribble(writer, SMALL_REQUEST[:-2] + b"X: " + b"x" * 1000, 0.05)):
            assert await rest(reader) == b""
    assert site.cut("head") == 1


async def test_s62_a_connection_that_rests_between_requests_is_left_alone(site: Site) -> None:
    async with site.dial(SMALL_REQUEST) as (reader, writer):
        await reader.readuntil(b"here")
        async with site.dial() as (waiting, _):  # has come later, and is gone earlier
            await rest(waiting)
        writer.write(SMALL_REQUEST)
        await reader.readuntil(b"here")
    assert site.cut("head") == 1


async def test_s62_a_slow_request_that_comes_in_time_is_answered(site: Site) -> None:
    async with site.dial() as (reader, writer):
        await dribble(writer, SMALL_REQUEST, 0.001)
        assert b"here" in await reader.readuntil(b"here")


# ------------------------------------------------------------------------------------------------ S62 slow bodies


async def test_s62_a_body_that_never_ends_is_answered_408_and_cut_off(site: Site) -> None:
    async with site.dial(UPLOAD % 1000) as (reader, writer), meanwhile(dribble(writer, b"x" * 1000, 0.05)):
        assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")
    assert site.cut("body") == 1


async def test_s62_a_body_nobody_reads_does_not_hold_the_connection(site: Site) -> None:
    request = (UPLOAD % 1000).replace(b"/take", b"/ignore")
    async with site.dial(request) as (reader, writer), meanwhile(dribble(writer, b"x" * 1000, 0.05)):
        assert b"here" in await rest(reader)


async def test_s62_a_large_upload_that_keeps_its_pace_may_take_its_time(site: Site) -> None:
    """Others who send nothing are cut off meanwhile, one after the other."""
    size, step, sent = 4 << 20, 2_000, 0
    async with site.dial(UPLOAD % size) as (reader, writer):

        async def keep_pace() -> None:
            nonlocal sent
            while True:
                writer.write(b"x" * step)
                sent += step
                await asyncio.sleep(0.025)

        async with meanwhile(keep_pace()):
            for _ in range(3):
                async with site.dial(UPLOAD % 1) as (stalled, _):
                    assert (await rest(stalled)).startswith(b"HTTP/1.1 408 ")
        writer.write(b"x" * (size - sent))
        assert (await reader.readuntil(b"%d" % size)).startswith(b"HTTP/1.1 200 ")
    assert site.cut("body") == 3


@pytest.mark.parametrize("size", [0, 100, 4 << 20])
async def test_s62_a_request_that_waits_for_its_handler_is_not_cut_off(site: Site, size: int) -> None:
    """What the daemon takes its time for is no fault of the client's."""
    async with (
        site.dial((UPLOAD % size).replace(b"/take", b"/hold")) as (reader, writer),
        meanwhile(_send(writer, b"x" * size)),
    ):
        for _ in range(3):
            async with site.dial() as (waiting, _):
                await rest(waiting)
        site.release.set()
        assert (await reader.readuntil(b"\r\n\r\n%d" % size)).startswith(b"HTTP/1.1 200 ")
    assert site.cut("body") == 0


def test_s62_the_real_patience_with_heads_ends_within_ten_seconds() -> None:
    assert Patience().head + GRAIN_SECONDS < 10


# ------------------------------------------------------------------------------------------------------ S62 crowds


async def test_s62_a_crowd_from_one_address_that_says_nothing_is_thinned_out_early() -> None:
    async with (
        serving(Patience(head=60, crowd=5, crowded=0.1, roomy=0.0)) as site,
        contextlib.AsyncExitStack() as open_ones,
    ):
        for _ in range(12):
            await open_ones.enter_async_context(site.dial())
        await until(lambda: site.cut("crowd") == 7)


async def test_s62_who_is_late_in_two_ways_at_once_is_cut_off_and_counted_once() -> None:
    async with (
        serving(Patience(head=0.1, crowd=1, crowded=0.1, roomy=0.0)) as site,
        contextlib.AsyncExitStack() as open_ones,
    ):
        readers = [(await open_ones.enter_async_context(site.dial()))[0] for _ in range(40)]
        async with site.dial(SMALL_REQUEST) as (answered, _):  # so those before it have been accepted
            await answered.readuntil(b"here")
        time.sleep(0.2)  # the loop is busy until both times are over
        await asyncio.gather(*map(rest, readers))
        assert site.cut("head") + site.cut("crowd") == 40


async def test_s62_a_crowd_that_sends_its_requests_is_answered() -> None:
    async with serving(Patience(crowd=5, roomy=0.0)) as site:

        async def ask() -> None:
            async with site.dial(SMALL_REQUEST) as (reader, _):
                await reader.readuntil(b"here")

        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(ask() for _ in range(300)))
        assert site.cut("crowd") == 0


async def test_s62_a_crowd_that_moves_on_is_given_time() -> None:
    """Of those who come at once from one address, some have to wait for others."""
    async with (
        serving(Patience(head=60, crowd=5, crowded=0.3, roomy=0.0)) as site,
        contextlib.AsyncExitStack() as open_ones,
        asyncio.timeout(DEADLINE),
    ):
        crowd = [await open_ones.enter_async_context(site.dial()) for _ in range(40)]
        for reader, writer in crowd:
            writer.write(SMALL_REQUEST)
            await reader.readuntil(b"here")
            await asyncio.sleep(0.02)  # so that the last ones wait for more than twice as long as ``crowded``
        assert site.cut("crowd") == 0


async def test_s62_crowds_are_left_alone_while_there_are_descriptors_enough() -> None:
    async with (
        serving(Patience(head=0.3, crowd=5, crowded=0.1, roomy=0.9)) as site,
        contextlib.AsyncExitStack() as open_ones,
    ):
        readers = [(await open_ones.enter_async_context(site.dial()))[0] for _ in range(12)]
        await asyncio.gather(*map(rest, readers))
        assert (site.cut("crowd"), site.cut("head")) == (0, 12)


async def test_s62_connections_that_have_been_answered_are_no_crowd(site: Site) -> None:
    async with contextlib.AsyncExitStack() as open_ones:
        for _ in range(4 * SHORT.crowd):
            reader, _ = await open_ones.enter_async_context(site.dial(SMALL_REQUEST))
            await reader.readuntil(b"here")
        async with site.dial() as (waiting, _):
            await rest(waiting)
    assert (site.cut("crowd"), site.cut("head")) == (0, 1)


async def test_g21_requests_are_answered_while_hundreds_of_hostile_connections_are_open(site: Site) -> None:
    starts = [b"", b"G", SMALL_REQUEST[:-2], UPLOAD % 1000 + b"x"]
    async with contextlib.AsyncExitStack() as open_ones, asyncio.timeout(DEADLINE):
        hostile = [await open_ones.enter_async_context(site.dial(starts[n % len(starts)])) for n in range(500)]
        async with ClientSession(f"http://127.0.0.1:{site.port}") as session:
            for _ in range(20):
                assert await (await session.get("/small")).text() == "here"
            assert all(b" 200 " not in end for end in await asyncio.gather(*(rest(reader) for reader, _ in hostile)))
            assert await (await session.get("/small")).text() == "here"
    assert sum(site.cut(reason) for reason in ("head", "crowd", "body")) == 500


# ------------------------------------------------------------------------------------------------ S63 slow readers


def thirsty(port: int) -> socket.socket:
    """A connection with little room for what it is sent."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


async def sip(sock: socket.socket, size: int, gap: float) -> None:
    """Read so much at a time until there is no more."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(sock, size):
            await asyncio.sleep(gap)


async def test_s63_a_client_that_reads_a_byte_at_a_time_is_cut_off(site: Site) -> None:
    with thirsty(site.port) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, SMALL_REQUEST.replace(b"small", b"big"))
        async with meanwhile(sip(sock, 1, 0.02)):
            await until(lambda: site.cut("reply") == 1)


async def test_s63_a_client_that_reads_nothing_and_asks_on_is_cut_off(site: Site) -> None:
    with thirsty(site.port) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, SMALL_REQUEST.replace(b"small", b"big") * 50)
        await until(lambda: site.cut("reply") == 1)


async def test_s63_a_slow_reader_that_keeps_its_pace_gets_all() -> None:
    async with serving(Patience(reply=0.2, pace=200_000)) as site, asyncio.timeout(DEADLINE):
        async with site.dial(SMALL_REQUEST.replace(b"small", b"big")) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            left = BIG
            while left:
                left -= len(await reader.readexactly(min(left, 1 << 20)))
                await asyncio.sleep(0.025)  # so that all of it takes several times as long as the patience for a reply
        assert site.cut("reply") == 0


async def test_s63_a_slow_reader_of_a_websocket_is_not_the_servers_business(site: Site) -> None:
    async with ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{site.port}/socket") as ws:
        for _ in range(20):
            await ws.send_str("x" * 1_000_000)
        async with site.dial() as (waiting, _):
            await rest(waiting)
        for _ in range(20):
            assert (await ws.receive(DEADLINE)).type is WSMsgType.TEXT
    assert site.cut("reply") == 0


# ------------------------------------------------------------------------------------------------- F57 descriptors


async def test_f57_connections_leave_some_descriptors_to_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web_server, "descriptor_limit", lambda: 32)
    async with serving(Patience(spare=32)) as site:
        for _ in range(20):
            async with site.dial(SMALL_REQUEST) as (reader, _):
                assert await rest(reader) == b""
        assert site.stats.value("connections_refused_total") == 20
    assert len(caplog.records) == 1


async def test_f57_what_cannot_be_accepted_does_not_fill_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        asyncio.get_running_loop().call_exception_handler({"message": OUT_OF_DESCRIPTORS, "exception": OSError(24, "")})
    assert len(caplog.records) == 1
    assert site.stats.value("connections_refused_total") == 100


async def test_f57_other_troubles_of_the_loop_are_still_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "something else"})
    assert "something else" in caplog.text


# ------------------------------------------------------------------------------------------------------ S61 bombs


class Order(Struct):
    count: int


async def count(call: Call) -> Order:
    assert isinstance(call.body, Order)
    return call.body


@pytest.fixture
async def orders(world: World) -> AsyncIterator[Api]:
    route = Route("POST", "/orders", count, Action.VIEW, summary="Takes.", body=Order, answer=Order)
    async with TestClient(RealServer(application(world.parts, [route]))) as client:
        yield client


def bomb(wbits: int) -> bytes:
    """Many zeros, packed."""
    packer = zlib.compressobj(level=9, wbits=wbits)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(128)), packer.flush()])


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_s61_a_packed_bomb_is_refused_and_never_unpacked_whole(orders: Api, encoding: str, wbits: int) -> None:
    body = bomb(wbits)
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    tracemalloc.start()
    try:
        with contextlib.suppress(ConnectionError):  # the rest of it may find the connection closed
            assert (await orders.post("/orders", data=body, headers=headers)).status == 413
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


async def test_s61_a_packed_bomb_that_nobody_asked_for_is_not_unpacked_whole(orders: Api) -> None:
    body = bomb(31)
    tracemalloc.start()
    try:
        with contextlib.suppress(ConnectionError):
            assert (await orders.post("/nowhere", data=body, headers={"Content-Encoding": "gzip"})).status == 404
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_s61_what_is_not_packed_as_it_says_is_a_bad_request(
    orders: Api, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = await orders.post("/orders", data=b"secret", headers=headers)
    assert answer.status == 400
    assert b"secret" not in await answer.read()
    assert caplog.text == ""


@pytest.mark.parametrize("body", [b'{"count":1,"x":' + b"[" * 100_000, b'{"x":' * 100_000, b"[" * 100_000])
async def test_s61_json_nested_too_deep_is_a_bad_request(orders: Api, body: bytes) -> None:
    answer = await orders.post("/orders", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == 400


async def test_s61_who_hangs_up_in_a_body_does_not_fill_the_log(
    orders: Api, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", orders.port)
    writer.write(head + b"{")
    await writer.drain()
    writer.close()
    answer = await orders.post("/orders", json={"count": 1})  # by now the other has been seen to go
    assert (answer.status, caplog.text) == (200, "")


# --------------------------------------------------------------------------------------------------- S64 odd HTTP


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
GET = POST.replace(b"POST", b"GET")
ODD = {
    "20,000 headers": GET + b"secret: 1\r\n" * 20_000 + b"\r\n",
    "a header of 100 kB": GET + b"X: " + b"secret" * 17_000,
    "a path of 100 kB": b"GET /" + b"secret" * 17_000,
    "a line without an end": b"secret" * 20_000,
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nsecret",
    "a length with a sign": POST + b"Content-Length: +3\r\n\r\nsecret",
    "a length below zero": POST + b"Content-Length: -3\r\n\r\nsecret",
    "a length in hex": POST + b"Content-Length: 0x3\r\n\r\nsecret",
    "a length beyond all bounds": POST + b"Content-Length: 99999999999999999999999\r\n\r\nsecret",
    "a length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nsecret",
    "a coding nobody knows": POST + b"Transfer-Encoding: chunked, secret\r\n\r\nsecret",
    "a chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n",
    "a chunk beyond all bounds": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nsecret",
    "a blank before the colon": GET + b"X : secret\r\n\r\n",
    "a NUL": GET + b"X: a\x00secret\r\n\r\n",
    "a folded header": GET + b"X: a\r\n secret: folded\r\n\r\n",
    "no carriage returns": b"GET / HTTP/1.1\nHost: secret\n\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
async def test_s64_odd_http_is_refused_without_an_echo(api: Api, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(sent)
    answer = await rest(reader)
    writer.transport.abort()
    assert answer == b"" or answer.split(b" ")[1] == b"400", answer
    assert b"secret" not in answer


async def test_s64_a_chunk_that_is_none_ends_the_connection(site: Site) -> None:
    head = b"POST /take HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with site.dial(head + b"3\r\nabc\r\n") as (reader, writer):
        await writer.drain()
        writer.write(b"secret\r\n")
        answer = await rest(reader)
    assert b" 200 " not in answer
    assert b"secret" not in answer


async def test_s64_thousands_of_requests_at_once_are_answered_in_turn(site: Site) -> None:
    """They neither pile up in memory nor are they lost."""
    many = 5_000
    async with (
        asyncio.timeout(DEADLINE),
        site.dial() as (reader, writer),
        meanwhile(_send(writer, SMALL_REQUEST * many)),
    ):
        for _ in range(many):
            await reader.readuntil(b"here")


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


# ------------------------------------------------------------------------------------------------------ S66 ReDoS


def patterns() -> list[Any]:
    """Every pattern that a module of ours keeps, with what is done with it anywhere."""
    modules = [
        importlib.import_module(info.name)
        for package in (hbd, hbc)
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not info.name.endswith("__main__")
    ]
    sources = "".join(Path(str(module.__file__)).read_text() for module in modules)
    found = {}
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                uses = re.findall(rf"\b{name}\.(fullmatch|match|search|findall|finditer|split)\(", sources)
                for use in sorted(set(uses)):
                    found[value.pattern, use] = pytest.param(getattr(value, use), id=f"{module.__name__}.{name}.{use}")
                if re.search(rf"\b{name}\.sub\(", sources):
                    found[value.pattern, "sub"] = pytest.param(
                        partial(value.sub, ""), id=f"{module.__name__}.{name}.sub"
                    )
    return list(found.values())


REPEATED = [
    "a",
    " ",
    "0",
    ".",
    "-",
    "a.",
    "a:",
    "[",
    "a,",
    "gzip ,",
    ", ",
    "\\",
    "`",
    "{a",
    '"run_id" ',
    " - at `$",
    "\n",
]


@pytest.mark.parametrize("use", patterns())
def test_s66_no_pattern_can_be_made_to_run_for_long(use: Callable[[str], Any]) -> None:
    began = time.thread_time()
    for piece in REPEATED:
        found = use((piece * 50_000)[:50_000] + "\x00!")
        if isinstance(found, Iterator):
            deque(found, 0)
    # CPU time of this thread alone. What backtracks takes seconds to minutes.
    assert time.thread_time() - began < len(REPEATED) * 0.1
