"""Server-sent events: every stream of this kind goes through ``serve``, which keeps the promises that all of them make.

An idle stream carries a comment now and then, so that no proxy takes it for dead. It ends when its events end, when the
client leaves or reads too slowly, when the caller loses the right to it, and when the daemon stops; whatever its events
come from is closed then.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

import msgspec
from aiohttp import web

from hbd.errors import Forbidden, HbdError, NotFound
from hbd.web.auth import ask_again
from hbd.web.call import EVENTS, Call
from hbd.web.errors import Unauthorised, printable

log = logging.getLogger(__name__)

COMMENT_SECONDS = 15.0  # an idle stream says so
LOOK_SECONDS = 1.0  # how soon it shows that a client has left
RIGHT_SECONDS = 3.0  # how soon a right that was taken away ends the stream
RETRY_MILLISECONDS = 3_000  # after which a browser comes again when the stream broke
SEND_BUFFER_BYTES = 64 * 1024  # small, so that a slow reader is noticed soon and does not get old news
MOST_WAITING = 1_000  # events for one client
_ID_CHARACTERS = 500
_LINE_END = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """data: any text, its lines are kept. event: its type, "" is a plain message. id: what a client names that comes
    again, to go on behind it; "" leaves the one before."""

    data: str
    event: str = ""
    id: str = ""


def encode(event: Event) -> bytes:
    """An event as it goes over the wire."""
    lines = [f"data: {line}" for line in _LINE_END.split(event.data)]
    if event.event:
        lines.insert(0, f"event: {event.event}")
    if event.id:
        lines.insert(0, f"id: {event.id}")
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def last_event_id(call: Call) -> str:
    """The id of the last event that the client has seen, "" when it is new here."""
    request = call.request
    shown = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
    return shown[:_ID_CHARACTERS]


class Mailbox:
    """Events on their way from somebody who does not wait to one client, as an iterator over them."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._events: deque[Event] = deque()
        self._most = most
        self._closed = False
        self._came = asyncio.Event()

    def put(self, event: Event) -> bool:
        """False when the client is so slow that it is given up: its stream ends after what waits."""
        if not self._closed and len(self._events) >= self._most:
            self._events.append(Event("You read too slowly; come again", "error"))
            self.close()
        if self._closed:
            return False
        self._events.append(event)
        self._came.set()
        return True

    def close(self) -> None:
        """Nothing more comes; what waits still goes out."""
        self._closed = True
        self._came.set()

    def __aiter__(self) -> Mailbox:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        return self._events.popleft()


class Streams:
    """The streams of one application that are open."""

    def __init__(self) -> None:
        self._pumps: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._pumps)

    def add(self, pump: asyncio.Task[None]) -> None:
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def close(self, app: web.Application) -> None:
        for pump in tuple(self._pumps):
            pump.cancel()


STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)


def install(app: web.Application) -> None:
    """Have the streams of an application end with it."""
    app[STREAMS] = streams = Streams()
    app.on_shutdown.append(streams.close)


async def serve(call: Call, events: AsyncIterator[Event | bytes]) -> web.StreamResponse:
    """Send events until they or the client or its right come to an end.

    events: pulled as fast as the client reads, and closed at the end where it can be; bytes are events that are encoded
    already, as many at once as they like. An HbdError of theirs becomes an event ``error`` with its text. What can be
    known to fail should be raised before this is called, while there can be a status code.
    """
    request = call.request
    response = web.StreamResponse(
        headers={"Content-Type": EVENTS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    pump = asyncio.create_task(_pump(response, events))
    request.app[STREAMS].add(pump)
    try:
        await _watch(call, pump)
    finally:
        pump.cancel()
        await asyncio.wait({pump})
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    if not pump.cancelled() and (failure := pump.exception()) is not None and not isinstance(failure, ConnectionError):
        log.error("A stream of events failed", exc_info=failure)
    return response


async def _watch(call: Call, pump: asyncio.Task[None]) -> None:
    """Return when the pump has ended or has to."""
    loop = asyncio.get_running_loop()
    asked = loop.time()
    while not pump.done():
        await asyncio.wait({pump}, timeout=LOOK_SECONDS)
        transport = call.request.transport
        if transport is None or transport.is_closing():
            return
        if loop.time() - asked >= RIGHT_SECONDS:
            asked = loop.time()
            try:
                ask_again(call)
            except (Unauthorised, Forbidden, NotFound):
                if transport.get_write_buffer_size():
                    transport.abort()  # what waits to be read is not theirs any more either
                return


async def _pump(response: web.StreamResponse, events: AsyncIterator[Event | bytes]) -> None:
    await response.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
    following: asyncio.Task[Event | bytes] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(events))
            await asyncio.wait({following}, timeout=COMMENT_SECONDS)
            if not following.done():
                await response.write(b": idle\n\n")
                continue
            event, following = following.result(), None
            await response.write(event if isinstance(event, bytes) else encode(event))
    except StopAsyncIteration:
        pass
    except HbdError as error:
        await response.write(encode(Event(msgspec.json.encode({"error": printable(str(error))}).decode(), "error")))
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
