"""The live feed over real WebSockets, at /hbd."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from aiohttp.test_utils import TestClient
from world import WALL, Api, RealServer, World

from hbd import feed as feed_module
from hbd.config import Config
from hbd.config.structs import Cors
from hbd.web import make_app, make_feed_app, websocket

SECONDS = 10


async def receive(ws: ClientWebSocketResponse) -> dict[str, Any]:
    return await ws.receive_json(timeout=SECONDS)


async def receive_until(ws: ClientWebSocketResponse, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        while not wanted(message := await receive(ws)):
            pass
    return message


async def closing(ws: ClientWebSocketResponse) -> int | None:
    """Read until the other side closes; returns its code."""
    async with asyncio.timeout(SECONDS):
        async for _ in ws:
            pass
    return ws.close_code


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def test_the_snapshot_holds_each_host_as_the_api_shows_it(api: Api, world: World) -> None:
    for name in ("db", "web"):
        world.beat(await world.enrol(name))
    hosts = await (await api.get("/api/0/hosts")).json()
    async with api.ws_connect("/hbd") as ws:
        assert [await receive(ws) for _ in hosts] == [{"type": "host", "data": host} for host in hosts]


async def test_a_change_of_a_host_follows(api: Api, world: World) -> None:
    host = await world.enrol("web")
    async with api.ws_connect("/hbd") as ws:
        assert (await receive(ws))["data"]["state"] == "UNKNOWN"
        world.beat(host)
        assert (await receive(ws))["data"]["state"] == "UP"


async def test_a_sample_follows_in_the_words_of_the_contract(api: Api, world: World) -> None:
    host = await world.enrol("web")
    async with api.ws_connect("/hbd") as ws:
        world.sample(host, "cpu_monitor", {"cpu_percent": 12.5})
        assert await receive_until(ws, lambda message: message["type"] == "plugin") == {
            "type": "plugin",
            "data": {"host": "web", "plugin": "cpu_monitor", "data": {"cpu_percent": 12.5}, "timestamp": WALL},
        }


async def test_a_message_follows(api: Api, world: World) -> None:
    async with api.ws_connect("/hbd") as ws:
        await until(lambda: len(world.feed) == 1)
        await world.note("hbd started")
        assert await receive(ws) == {"type": "message", "data": {"time": WALL, "host": "", "msg": "hbd started"}}


async def test_a_subscriber_may_narrow_what_it_gets(api: Api, world: World) -> None:
    web, db = await world.enrol("web"), await world.enrol("db")
    async with api.ws_connect("/hbd") as ws:
        await receive(ws), await receive(ws)
        await ws.send_json({"type": "subscribe", "hosts": ["WEB"], "types": ["host"]})
        assert (await receive(ws))["data"]["name"] == "web"  # the snapshot of the new view
        for host in (db, web):
            world.sample(host, "cpu_monitor", {"cpu_percent": 1.0})
        message = await receive(ws)
        assert (message["type"], message["data"]["name"]) == ("host", "web")


async def test_a_subscriber_may_ask_for_batches(api: Api, world: World) -> None:
    for name in ("db", "web"):
        await world.enrol(name)
    async with api.ws_connect("/hbd") as ws:
        await ws.send_json({"type": "subscribe", "batch": True})
        message = await receive_until(ws, lambda message: message["type"] == "batch")
        assert [inner["data"]["name"] for inner in message["data"]] == ["db", "web"]


async def test_the_url_may_say_what_is_wanted(api: Api, world: World) -> None:
    for name in ("db", "web"):
        await world.enrol(name)
    async with api.ws_connect("/hbd?batch=true&hosts=web,nope&types=host") as ws:
        message = await receive(ws)
        assert (message["type"], [inner["data"]["name"] for inner in message["data"]]) == ("batch", ["web"])


async def test_a_large_snapshot_comes_whole(api: Api, world: World) -> None:
    names = [f"host-{number:04}.example" for number in range(150)]
    for name in names:
        await world.enrol(name)
    async with api.ws_connect("/hbd?batch=true") as ws:
        seen: list[str] = []
        async with asyncio.timeout(SECONDS):
            while len(seen) < len(names):
                seen += [inner["data"]["name"] for inner in (await receive(ws))["data"]]
    assert seen == names


async def test_a_token_in_a_first_message_is_no_mistake(api: Api, world: World) -> None:
    await world.enrol("web")
    async with api.ws_connect("/hbd") as ws:
        await ws.send_json({"type": "auth", "token": None})
        assert (await receive(ws))["type"] == "host"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ("{", "this is not JSON"),
        ("[]", "expected object, got array"),
        ('{"type": "nope"}', "type: expected one of subscribe, auth, not 'nope'"),
        ('{"type": "subscribe", "hosts": "web"}', "hosts: expected array | null, got str"),
        (
            '{"type": "subscribe", "types": ["nope"]}',
            "types[0]: expected one of alert, host, message, plugin, not 'nope'",
        ),
    ],
)
async def test_a_frame_that_cannot_be_read_is_answered(api: Api, frame: str, error: str) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_str(frame)
        assert await receive(ws) == {"type": "error", "error": error}


async def test_too_many_of_them_end_it(api: Api) -> None:
    async with api.ws_connect("/hbd") as ws:
        for _ in range(5):
            await ws.send_bytes(b"{}")
        assert await closing(ws) == 1008


async def test_a_frame_that_is_too_large_ends_it(api: Api) -> None:
    async with api.ws_connect("/hbd") as ws:
        await ws.send_str(" " * 70_000)
        assert await closing(ws) == 1009


async def test_what_is_wanted_wrongly_in_the_url_is_named(api: Api) -> None:
    with pytest.raises(WSServerHandshakeError) as raised:
        await api.ws_connect("/hbd?types=host,nope")
    assert raised.value.status == 400


async def test_a_plain_request_is_told_what_this_is(api: Api) -> None:
    answer = await api.get("/hbd")
    assert (answer.status, "error" in await answer.json()) == (400, True)


# ------------------------------------------------------------------------------------------------------------ origins


def own(api: Api) -> str:
    return f"http://{api.host}:{api.port}"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "file://127.0.0.1",
        "",
        "http://",
    ],
)
async def test_pages_of_other_sites_get_nothing(api: Api, origin: str) -> None:
    with pytest.raises(WSServerHandshakeError) as raised:
        await api.ws_connect("/hbd", headers={"Origin": origin})
    assert raised.value.status == 403


async def test_our_own_pages_get_in(api: Api) -> None:
    async with api.ws_connect("/hbd", headers={"Origin": own(api)}) as ws:
        assert not ws.closed


async def test_pages_of_base_url_and_of_the_configured_origins_get_in(api: Api, world: World) -> None:
    world.parts.config = Config(base_url="https://hb.example.org/hb", cors=Cors(origins=("https://dash.example.org",)))
    for origin in ("https://hb.example.org", "https://HB.example.org:443", "https://dash.example.org"):
        async with api.ws_connect("/hbd", headers={"Origin": origin}) as ws:
            assert not ws.closed


async def test_a_page_of_the_http_port_gets_in_at_the_feed_port(world: World) -> None:
    async with TestClient(RealServer(make_feed_app(world.parts))) as client:
        origin = f"http://{client.host}:{world.parts.config.hbd_port}"
        async with client.ws_connect("/hbd", headers={"Origin": origin}) as ws:
            assert not ws.closed
            world.feed.close()


async def test_the_feed_port_serves_the_feed_alone(world: World) -> None:
    async with TestClient(RealServer(make_feed_app(world.parts))) as client:
        assert (await client.get("/api/0/hosts")).status == 404


# ------------------------------------------------------------------------------------------------- many, slow, leaving


async def test_there_is_room_for_so_many_and_no_more(api: Api, world: World) -> None:
    world.feed.max_subscribers = 1
    async with api.ws_connect("/hbd"):
        with pytest.raises(WSServerHandshakeError) as raised:
            await api.ws_connect("/hbd")
        assert raised.value.status == 503
    await until(lambda: len(world.feed) == 0)
    async with api.ws_connect("/hbd") as ws:
        assert not ws.closed


async def test_pages_that_open_at_once_share_one_snapshot(api: Api, world: World) -> None:
    await world.enrol("web")
    opened = await asyncio.gather(*(api.ws_connect("/hbd") for _ in range(40)))
    assert {(await receive(ws))["data"]["name"] for ws in opened} == {"web"}
    assert world.stats.value("feed_snapshots_total") == 1
    for ws in opened:
        await ws.close()


async def test_who_reads_nothing_is_sent_away_and_others_are_not_held_up(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "STALL_SECONDS", 0.5)
    host = await world.enrol("web")
    stalled = await open_raw(api)
    async with api.ws_connect("/hbd?types=plugin") as quick:
        number = 0
        async with asyncio.timeout(SECONDS):
            while not world.stats.value("feed_slow_total"):
                number += 1
                world.sample(host, "cpu_monitor", {"n": number, "ballast": "x" * 200_000})
                message = await receive_until(quick, lambda message: message["data"]["plugin"] == "cpu_monitor")
                assert message["data"]["data"]["n"] == number
    assert await close_code(stalled) == 1013


async def open_raw(api: Api) -> socket.socket:
    """A subscriber that reads its handshake and then nothing."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", api.port))
    await loop.sock_sendall(
        sock,
        b"GET /hbd HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    assert b"101" in await loop.sock_recv(sock, 100)
    return sock


async def close_code(sock: socket.socket) -> int:
    """Read everything that is still there; returns the code of the close frame at its end."""
    loop = asyncio.get_running_loop()
    received = b""
    async with asyncio.timeout(SECONDS):
        while got := await loop.sock_recv(sock, 65536):
            received = received[-200:] + got
    sock.close()
    frame = received[received.rindex(b"\x88") :]
    assert len(frame) == 2 + frame[1]
    return int.from_bytes(frame[2:4], "big")


async def test_a_goodbye_that_nobody_reads_does_not_keep_the_connection(
    api: Api, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(websocket, "GOODBYE_SECONDS", 0.2)
    host = await world.enrol("web")
    stalled = await open_raw(api)
    async with asyncio.timeout(SECONDS):
        while not world.stats.value("feed_slow_total"):
            world.sample(host, "cpu_monitor", {"ballast": "x" * 200_000})
            await asyncio.sleep(0.05)
    await until(lambda: len(world.feed) == 0)
    stalled.close()


async def test_when_the_daemon_stops_pages_are_told_at_once(world: World) -> None:
    async with TestClient(RealServer(make_app(world.parts))) as client:
        ws = await client.ws_connect("/hbd")
        await until(lambda: len(world.feed) == 1)
        world.feed.close()
        assert await closing(ws) == 1001


async def test_stopping_the_server_ends_the_feed_of_those_who_do_not_answer(world: World) -> None:
    async with TestClient(RealServer(make_app(world.parts))) as client:
        stalled = await open_raw(client)
        await until(lambda: len(world.feed) == 1)
        world.feed.close()
    assert len(world.feed) == 0
    stalled.close()


async def test_who_leaves_without_a_word_is_forgotten(api: Api, world: World) -> None:
    sock = await open_raw(api)
    await until(lambda: len(world.feed) == 1)
    sock.close()
    await until(lambda: len(world.feed) == 0)


async def test_frames_are_not_compressed(api: Api) -> None:
    async with api.ws_connect("/hbd", compress=15) as ws:
        assert not ws.compress


async def test_frames_of_every_length_are_readable(api: Api, world: World) -> None:
    host = await world.enrol("web")
    async with api.ws_connect("/hbd?types=plugin") as ws:
        await until(lambda: len(world.feed) == 1)
        for size in (1, 200, 70_000):
            world.sample(host, "cpu_monitor", {"ballast": "é" * size})
            message = await ws.receive(timeout=SECONDS)
            assert message.type is WSMsgType.TEXT
            assert len(json.loads(message.data)["data"]["data"]["ballast"]) == size
