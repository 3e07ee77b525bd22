"""Hostile requests (S61, S64, S66): too large once unpacked, odd, or made to keep a pattern busy."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import re
import time
import tracemalloc
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hostile_site import DEADLINE, SMALL_REQUEST, Site, a_site, meanwhile, rest, send
from msgspec import Struct
from world import Api, RealServer, World

import hbc
import hbd
from hbd.access import Action
from hbd.web.app import application
from hbd.web.call import Call, Route

__all__ = ["a_site"]


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
        meanwhile(send(writer, SMALL_REQUEST * many)),
    ):
        for _ in range(many):
            await reader.readuntil(b"here")


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
