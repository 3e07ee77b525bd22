"""Hostile connections (S62, S63, F57, G21): slow, or too many. Patience is short here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest
from aiohttp import ClientSession, WSMsgType
from hostile_site import (
    BIG,
    DEADLINE,
    SHORT,
    SMALL_REQUEST,
    UPLOAD,
    Site,
    a_site,
    dribble,
    meanwhile,
    rest,
    send,
    serving,
    until,
)

from hbd.web import server as web_server
from hbd.web.patience import GRAIN_SECONDS, OUT_OF_DESCRIPTORS, Patience

__all__ = ["a_site"]


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
        meanwhile(send(writer, b"x" * size)),
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
