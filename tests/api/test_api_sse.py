"""Server-sent events: what every stream keeps to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientError, ClientResponse, DummyCookieJar, web
from aiohttp.test_utils import TestClient
from world import RealServer, World

from hbd.access import Action
from hbd.errors import Conflict
from hbd.web import sse
from hbd.web.app import application
from hbd.web.call import EVENTS, Call, Kind, Route
from hbd.web.sse import Event, Mailbox, encode

DEADLINE = 20.0


class Source:
    """Events of a test, and whether whoever reads them has gone."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.closed = asyncio.Event()
        self.last_id: str | None = None

    async def handler(self, call: Call) -> web.StreamResponse:
        self.last_id = sse.last_event_id(call)
        return await sse.serve(call, self.events())

    async def events(self) -> AsyncIterator[Event | bytes]:
        try:
            async for event in self.mailbox:
                if event.event == "break":
                    raise Conflict(event.data)
                yield event
        finally:
            self.closed.set()


Open = Callable[..., "asyncio.Future[ClientResponse]"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(sse, "RIGHT_SECONDS", 0.02)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def client(world: World, source: Source) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    route = Route(
        "GET", "/hosts/{host}/events", source.handler, Action.VIEW, summary="", kind=Kind.STREAM, media=EVENTS
    )
    async with TestClient(RealServer(application(world.parts, [route])), cookie_jar=DummyCookieJar()) as made:
        yield made


@pytest.fixture
async def token(world: World) -> str:
    await world.enrol("web-1")
    await world.user("root", "admin")
    return await world.session("root")


async def heard(response: ClientResponse, until: bytes) -> bytes:
    """All that comes up to these bytes."""
    text = b""
    async with asyncio.timeout(DEADLINE):
        while until not in text:
            part = await response.content.readany()
            assert part, text
            text += part
    return text


async def ended(response: ClientResponse) -> bytes:
    async with asyncio.timeout(DEADLINE):
        try:
            return await response.content.read()
        except (OSError, ClientError):
            return b""


def test_an_event_is_its_fields_in_lines() -> None:
    assert encode(Event("up", "state", "7")) == b"id: 7\nevent: state\ndata: up\n\n"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\nb"])
def test_a_line_end_in_the_data_makes_no_field(text: str) -> None:
    assert encode(Event(text)) == b"data: a\ndata: b\n\n"


async def test_events_come_as_they_are_made(client, source, token) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert response.headers["Cache-Control"] == "no-store"
    source.mailbox.put(Event("one", id="1"))
    assert await heard(response, b"one\n\n") == b"retry: 3000\n\nid: 1\ndata: one\n\n"
    source.mailbox.put(Event("two", id="2"))
    assert await heard(response, b"two\n\n") == b"id: 2\ndata: two\n\n"


async def test_a_stream_ends_with_its_events(client, source, token) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    source.mailbox.put(Event("last"))
    source.mailbox.close()
    assert (await ended(response)).endswith(b"data: last\n\n")
    assert source.closed.is_set()


async def test_a_proxy_that_speaks_http_1_0_gets_events_too(client, source, token) -> None:
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        f"GET /hosts/web-1/events?token={token} HTTP/1.0\r\nHost: {client.host}:{client.port}\r\n\r\n".encode()
    )
    source.mailbox.put(Event("one"))
    source.mailbox.close()
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 200") and answer.endswith(b"\r\n\r\nretry: 3000\n\ndata: one\n\n")


async def test_who_comes_again_says_what_was_seen(client, source, token) -> None:
    source.mailbox.close()
    await client.get("/hosts/web-1/events", headers={"Last-Event-ID": "41", "X-Auth-Token": token})
    assert source.last_id == "41"


async def test_an_idle_stream_carries_comments(client, source, token, monkeypatch) -> None:
    monkeypatch.setattr(sse, "COMMENT_SECONDS", 0.01)
    response = await client.get(f"/hosts/web-1/events?token={token}")
    await heard(response, b": idle\n\n: idle\n\n")


async def test_an_error_of_the_source_is_told_in_an_event(client, source, token) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    source.mailbox.put(Event("the agent has gone", "break"))
    assert (await ended(response)).endswith(b'event: error\ndata: {"error":"the agent has gone"}\n\n')


async def test_the_source_is_closed_when_the_client_leaves(client, source, token, quick) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    await heard(response, b"retry")
    response.close()
    await asyncio.wait_for(source.closed.wait(), DEADLINE)


async def test_s45_a_right_that_is_taken_away_ends_the_stream(client, source, token, world, quick) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    await heard(response, b"retry")
    session = world.security.accounts.credential(token, time.time()).session
    await world.security.accounts.end([session])
    await ended(response)
    await asyncio.wait_for(source.closed.wait(), DEADLINE)


async def test_a_host_that_is_gone_ends_the_stream(client, source, token, world, quick) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    await heard(response, b"retry")
    world.hosts.remove(world.hosts.require("web-1"))
    await ended(response)
    assert source.closed.is_set()


async def test_all_streams_end_when_the_daemon_stops(client, source, token) -> None:
    response = await client.get(f"/hosts/web-1/events?token={token}")
    await heard(response, b"retry")
    await client.app.shutdown()
    await ended(response)
    assert source.closed.is_set()


async def test_s45_without_the_right_there_is_no_stream(client, source, token) -> None:
    assert (await client.get("/hosts/web-1/events")).status == 401
    assert (await client.get("/hosts/web-1/events?token=wrong")).status == 401


async def test_a_client_that_cannot_follow_is_told_and_dropped() -> None:
    mailbox = Mailbox(most=2)
    assert [mailbox.put(Event(str(number))) for number in range(4)] == [True, True, False, False]
    assert [event.data async for event in mailbox] == ["0", "1", "You read too slowly; come again"]
