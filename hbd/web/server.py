"""The HTTP server below the application: its limits, and what it says to those who do not speak HTTP.

A connection that is waited for is in one of the queues of ``hbd/web/patience.py``: until its head is complete, then
until its body is, then while a reply is stuck in its buffer. One that is answered, rests between two requests or has
become a WebSocket is in none of them and costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage, WebSocketReader
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from hbd.stats import Stats
from hbd.web import errors
from hbd.web.app import SECURITY_HEADERS
from hbd.web.patience import CROWD_MOVES, Crowd, Origin, Patience, Shortage, Vigil, descriptor_limit

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 75.0
SHUTDOWN_SECONDS = 1.0
MAX_HEADER_BYTES = 8190

_TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux
_BYTES_ACKED = struct.Struct("120xQ")  # where tcp(7) has tcpi_bytes_acked


class _Connection(web.RequestHandler):
    """One client connection. What cannot be read as HTTP is answered in the one shape of errors, without an echo."""

    __slots__ = ("_between", "_came", "_heard", "_link", "_payload", "_server", "_taken", "_websocket", "origin")

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._link: asyncio.Transport | None = None
        self._payload: StreamReader = EMPTY_PAYLOAD  # of the latest request
        self._between = False  # the latest request is answered, and the next has not begun
        self._websocket = False
        self._came = 0  # bytes of the body that were here when this span of patience began
        self._taken = 0  # bytes that the client had taken when this span of patience began
        self._heard = 0  # how many others had been heard from there when this connection began to wait
        self.origin: Origin | None = None
        """where this connection is from, while no request has come over it yet"""

    # ------------------------------------------------------------------------------------------- what is waited for

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        self._server.arrived(self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.gone(self)
        self._link = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # What comes before the body of the last request is complete is still that body, which nobody wants any more.
        if self._between and data and self._payload.is_eof():
            self._between = False
            self._server.heads.add(self)
        super().data_received(data)

    def head_complete(self, payload: StreamReader) -> None:
        """A request begins to be served. payload: its body, of which nothing needs to be here yet."""
        self._between = False
        self._payload = payload
        self._server.heard(self)
        if not payload.is_eof():
            self._came = payload.total_raw_bytes
            self._server.bodies.add(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._websocket = False
        if self._payload.exception() is not None and not self._payload.is_eof():
            self._give_up_body()
        finished = await super().finish_response(request, resp, start_time)
        self._between = True
        if self._link is not None and _buffered(self._link):
            self._wait_for_reader()  # too little for pause_writing, and yet a close would wait for it for ever
        return finished

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        self._websocket = True  # its slow readers are the business of whoever writes to it
        super().set_parser(parser, data_received_cb)

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._websocket:
            self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        if self._link is not None:
            self._taken = _bytes_taken(self._link)
            self._server.replies.add(self)

    def wait_in_crowd(self, origin: Origin) -> None:
        self._heard = origin.heard
        self._server.crowded.add(self)

    # ---------------------------------------------------------------------------------------------- and came too late

    def head_is_late(self) -> None:
        self._cut("head")

    def crowd_is_large(self) -> None:
        origin = self.origin
        if origin is None or origin.waiting <= self._server.patience.crowd:
            return
        if (origin.heard - self._heard) * CROWD_MOVES >= origin.waiting:
            self.wait_in_crowd(origin)
        else:
            self._cut("crowd")

    def body_is_due(self) -> None:
        """The handler that reads it gets a 408 to answer with, unless the body came on at its pace."""
        payload = self._payload
        if self._between or payload.is_eof() or self._link is None:
            return
        came, self._came = payload.total_raw_bytes - self._came, payload.total_raw_bytes
        if came >= self._server.least(self._server.patience.body) or not self._link.is_reading():
            self._server.bodies.add(self)
            return
        self._server.count_cut("body")
        payload.set_exception(web.HTTPRequestTimeout())
        self._give_up_body()

    def _give_up_body(self) -> None:
        """Nothing more is read from this client; the connection ends with the reply, and does not wait for a rest."""
        self._payload.feed_eof()
        self.close()

    def reply_is_due(self) -> None:
        link = self._link
        if link is None or self._websocket or not _buffered(link):
            return
        taken, before = _bytes_taken(link), self._taken
        if taken - before >= self._server.least(self._server.patience.reply):
            self._taken = taken
            self._server.replies.add(self)
        else:
            self._cut("reply")

    def _cut(self, reason: str) -> None:
        """End the connection now; what is still on its way to the client is lost."""
        link, self._link = self._link, None
        if link is not None:  # else somebody was quicker
            self._server.count_cut(reason)
            self.force_close()
            link.abort()

    # --------------------------------------------------------------------------------------------------------- errors

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) and (self._link is None or self._link.is_closing()):
            raise exc  # the client has gone or was cut off: nobody is left to answer, and it is no fault of ours
        if status < 500:
            log.debug("Not HTTP from %s: %s", request.remote, type(exc).__name__)
        else:
            log.error("Serving %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("Half a response is out already")
        text = "This is not a request that can be read" if status < 500 else "internal error"
        response = errors.response(status, text, SECURITY_HEADERS)
        response.headers["Server"] = "hbd"
        response.force_close()
        return response


class _Server(web.Server):
    """Makes the connections, and knows which of them are waited for."""

    def __init__(self, like: web.Server, patience: Patience, stats: Stats, **options: Any) -> None:
        super().__init__(like.request_handler, request_factory=self._begin, **options)
        self._make = like.request_factory
        self._options = options
        self._stats = stats
        self._crowd = Crowd()
        self._shortage = Shortage(stats)
        self._shortage.watch(self._loop)
        limit = descriptor_limit()
        self._roomy_descriptors = limit * patience.roomy
        self._last_descriptor = limit - patience.spare
        self.patience = patience
        self.heads: Vigil[_Connection] = Vigil(patience.head, _Connection.head_is_late)
        self.crowded: Vigil[_Connection] = Vigil(patience.crowded, _Connection.crowd_is_large)
        self.bodies: Vigil[_Connection] = Vigil(patience.body, _Connection.body_is_due)
        self.replies: Vigil[_Connection] = Vigil(patience.reply, _Connection.reply_is_due)
        stats.describe("connections_cut_total", "Connections that were cut off for being too slow, by what was late.")

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._options)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's own
        for vigil in (self.heads, self.crowded, self.bodies, self.replies):
            vigil.close()
        await super().shutdown(timeout)

    def _begin(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        cast(_Connection, protocol).head_complete(payload)
        return self._make(message, payload, protocol, writer, task)

    def arrived(self, connection: _Connection, link: asyncio.BaseTransport) -> None:
        """A new connection; from here on its first request is waited for."""
        connection.origin = origin = self._crowd.enter(link.get_extra_info("peername"))
        sock = link.get_extra_info("socket")
        # The lowest free descriptor is given out, so the number of this one tells how many are taken.
        taken = sock.fileno() if sock is not None else 0
        if taken > self._last_descriptor:
            self._shortage.tell(self._loop.time())
            connection.force_close()
            return
        self.heads.add(connection)
        if origin.waiting > self.patience.crowd and taken > self._roomy_descriptors:
            connection.wait_in_crowd(origin)

    def heard(self, connection: _Connection) -> None:
        """A request has come over this connection."""
        self.heads.discard(connection)
        if connection.origin is not None:
            connection.origin.heard += 1
            self._leave(connection, connection.origin)

    def gone(self, connection: _Connection) -> None:
        for vigil in (self.heads, self.bodies, self.replies):
            vigil.discard(connection)
        if connection.origin is not None:
            self._leave(connection, connection.origin)

    def _leave(self, connection: _Connection, origin: Origin) -> None:
        self.crowded.discard(connection)
        self._crowd.leave(origin)
        connection.origin = None

    def least(self, seconds: float) -> float:
        """Bytes that have to come or go in that time."""
        return self.patience.pace * seconds

    def count_cut(self, reason: str) -> None:
        self._stats.count("connections_cut_total", reason=reason)


class Runner(web.AppRunner):
    """Runs an application on the sockets it is given (``web.SockSite``)."""

    __slots__ = ("_patience", "_stats")

    def __init__(self, app: web.Application, *, patience: Patience | None = None, stats: Stats | None = None) -> None:
        """stats: where it is counted who was cut off."""
        self._patience = patience or Patience()
        self._stats = stats or Stats()
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            lingering_time=self._patience.body,  # for the rest of a body that the handler did not want
        )

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._patience, self._stats, **self._kwargs)


def _bytes_taken(link: asyncio.Transport) -> int:
    """How much the client has taken so far, to compare with later; only that tells of a reader who is slow.

    What leaves our own buffer goes to the kernel's at first, in leaps of megabytes, and then nothing moves for as long
    as it takes to send them.
    """
    sock = link.get_extra_info("socket")
    acknowledged = 0
    if _TCP_INFO is not None and sock is not None:
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
            (acknowledged,) = _BYTES_ACKED.unpack(info)
        except (OSError, struct.error):
            pass  # not TCP, or a kernel that does not tell
    return acknowledged or -_buffered(link)


def _buffered(link: asyncio.Transport) -> int:
    """Bytes that have not left; a TLS transport that is closed cannot even be asked."""
    return 0 if link.is_closing() else link.get_write_buffer_size()
