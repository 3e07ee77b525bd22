"""Streams to agents: logs and files, each over a connection that the agent makes for it.

The daemon asks over the link (``open``: id and token), the agent connects with both, and then the two talk about that
one thing; what they say stands in ``hbc/talks.py``. A token is good once, and as long as somebody waits for the agent.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NoReturn, Protocol, TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from hbc import wire
from hbd.config import Config
from hbd.errors import AgentFailed, Conflict, Forbidden, HbdError, NotFound, TooLarge, TooMany
from hbd.hosts import Host
from hbd.remote.frames import Frame, Unopened
from hbd.stats import Stats

ANSWER_SECONDS = 35.0  # for the agent to open what is asked for and to connect; the token dies with that
SILENCE_SECONDS = 60.0  # an agent that is to say something and does not is given up
TAKING_SECONDS = 120.0  # the same for one that is to take something: its disk may be slow
CLOSE_SECONDS = 2.0
RETRY_SECONDS = 5.0
OFFLINE = "agent_offline"

Said = dict[str, Any]
T = TypeVar("T")


class Links(Protocol):
    """What streams need of the agents' links."""

    def send(self, host: Host, frame: Frame) -> bool: ...


class Stream:
    """One connection to an agent, from the moment that it was asked for. Frames are read one after the other."""

    def __init__(self, host: Host) -> None:
        self.id = f"str_{secrets.token_hex(12)}"
        self.host = host
        self.token = secrets.token_hex(32)
        self.arrived: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        """nobody needs the connection any more"""

    def fail(self, error: HbdError) -> None:
        """It will not come about. Whoever waits for it is told, if anybody does."""
        if not self.arrived.done():
            self.arrived.set_exception(error)
            self.arrived.exception()

    async def hear(self, seconds: float = SILENCE_SECONDS) -> Said | bytes:
        """The next frame. Raises what the agent's ``error`` stands for, or AgentFailed when nothing more comes."""
        try:
            async with asyncio.timeout(seconds):
                message = await self._socket.receive()
        except TimeoutError:
            raise AgentFailed("The agent says nothing any more") from None
        if message.type is WSMsgType.BINARY:
            data: bytes = message.data
            return data
        if message.type is not WSMsgType.TEXT:
            raise AgentFailed("The agent's connection has ended")
        try:
            said = msgspec.json.decode(message.data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise AgentFailed("The agent says what cannot be understood")
        if said.get("type") == "error":
            refuse(str(said.get("code")), str(said.get("reason")))
        return said

    async def expect(self, kind: str, seconds: float = SILENCE_SECONDS) -> Said:
        """The next frame, which has to be of that type."""
        said = await self.hear(seconds)
        if isinstance(said, bytes) or said.get("type") != kind:
            raise AgentFailed(f"The agent said something else than '{kind}'")
        return said

    async def say(self, kind: str, **fields: Any) -> None:
        """Raises as ``send`` does."""
        await self._write(self._socket.send_str(msgspec.json.encode({"type": kind} | fields).decode()))

    async def send(self, data: bytes) -> None:
        """Waits as long as the agent is slower than we are. Raises what the agent objects, or AgentFailed."""
        await self._write(self._socket.send_bytes(data))

    async def _write(self, sending: Any) -> None:
        try:
            async with asyncio.timeout(TAKING_SECONDS):
                await sending
        except TimeoutError:
            raise AgentFailed("The agent takes nothing any more") from None
        except ConnectionError:
            await self.hear()  # why it closed, if it said so
            raise AgentFailed("The agent's connection has ended") from None

    @property
    def _socket(self) -> web.WebSocketResponse:
        return self.arrived.result()


class Streams:
    """All of them, with their limits."""

    def __init__(self, config: Config, links: Links, stats: Stats) -> None:
        self.config = config
        self._links = links
        self._waiting: dict[str, Stream] = {}
        self._open: set[Stream] = set()
        self._of_user: Counter[str] = Counter()
        stats.gauge("streams", "Streams of logs, files and numbers that people have open.", self._of_user.total)

    @contextmanager
    def place(self, user: str) -> Iterator[None]:
        """One more stream of this user for as long as the block runs. Raises TooMany."""
        limits = self.config.limits
        if self._of_user[user] >= limits.max_streams_per_user:
            raise TooMany(f"You have {limits.max_streams_per_user} streams open; close one first", RETRY_SECONDS)
        if self._of_user.total() >= limits.max_streams:
            raise TooMany("Too many streams are open", RETRY_SECONDS)
        self._of_user[user] += 1
        try:
            yield
        finally:
            self._of_user[user] -= 1
            if not self._of_user[user]:
                del self._of_user[user]

    @asynccontextmanager
    async def open(self, host: Host, kind: str, params: Mapping[str, Any], user: str) -> AsyncIterator[Stream]:
        """A stream to the agent of a host, closed on both sides when the block ends.

        Raises TooMany, Conflict when the agent is not connected, or what its refusal stands for (``refuse``).
        """
        with self.place(user):
            async with self.connection(host, kind, params) as stream:
                yield stream

    @asynccontextmanager
    async def connection(self, host: Host, kind: str, params: Mapping[str, Any]) -> AsyncIterator[Stream]:
        """The same for somebody who has a place already."""
        stream = Stream(host)
        asked = wire.Open(type="open", id=stream.id, token=stream.token, kind=kind, params=dict(params))
        self._waiting[stream.id] = stream
        try:
            if not self._links.send(host, dict(asked)):
                raise Conflict(OFFLINE)
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await stream.arrived
            except TimeoutError:
                raise AgentFailed("The agent has not answered") from None
            finally:
                self._waiting.pop(stream.id, None)
            yield stream
        finally:
            self._waiting.pop(stream.id, None)
            stream.over.set()

    def unopened(self, host: Host, frame: Unopened) -> None:
        """An agent will not open what it was asked for."""
        stream = self._waiting.get(frame.id)
        if stream is not None and stream.host is host:
            try:
                refuse(frame.code, frame.reason)
            except HbdError as error:
                stream.fail(error)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """The connection of an agent, from its first byte to its last. Raises NotFound when nobody waits for it."""
        stream = self._claimed(request.headers)
        transport = request.transport  # the request forgets it when the connection breaks
        # No pings: as long as whoever reads a file is slow, the agent's answers to them would not be read either.
        socket = web.WebSocketResponse(compress=False, max_msg_size=wire.MAX_FRAME_BYTES, timeout=CLOSE_SECONDS)
        self._open.add(stream)
        try:
            await socket.prepare(request)
            if stream.arrived.done():  # nobody waits any more
                return socket
            stream.arrived.set_result(socket)
            await stream.over.wait()
        finally:
            self._open.discard(stream)
            stream.fail(AgentFailed("The agent's connection has ended"))
            await _close(socket, transport)
        return socket

    def drop(self, host: Host) -> None:
        """End the streams of a host, whose key or existence has just ended."""
        for stream in (*self._waiting.values(), *self._open):
            if stream.host is host:
                self._end(stream)

    async def close(self) -> None:
        """End all of them; the daemon stops."""
        for stream in (*self._waiting.values(), *self._open):
            self._end(stream)

    @staticmethod
    def _end(stream: Stream) -> None:
        stream.fail(AgentFailed("The stream was ended"))
        stream.over.set()

    def _claimed(self, headers: Mapping[str, str]) -> Stream:
        """Take what waits under the id that is shown; with a wrong token it goes on waiting for its own agent."""
        stream = self._waiting.get(headers.get(wire.STREAM_HEADER, ""))
        shown = headers.get(wire.STREAM_TOKEN_HEADER, "").encode("utf-8", "replace")
        if stream is None or not hmac.compare_digest(shown, stream.token.encode()):
            raise NotFound("There is no such stream")
        del self._waiting[stream.id]
        return stream


def refuse(code: str, reason: str) -> NoReturn:
    """Raise what the word of an agent stands for. code: see ``wire.Unopened``."""
    reason = reason[:400]
    match code:
        case "denied":
            raise Forbidden(reason)
        case "missing":
            raise NotFound(reason)
        case "busy":
            raise TooMany(reason, RETRY_SECONDS)
        case "large":
            raise TooLarge(reason)
        case "conflict":
            raise Conflict(reason)
    raise AgentFailed(reason)


def checked(said: object, kind: type[T]) -> T:
    """What an agent said, as that type. Raises AgentFailed."""
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as error:
        raise AgentFailed(f"The agent says what cannot be: {error}") from None


async def _close(socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
    """Let go of a connection, also when its peer does not read."""
    if not socket.prepared or socket.closed:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            # Without a drain: one that was given up before, as the peer took nothing, would end this one at once.
            await socket.close(code=WSCloseCode.OK, drain=False)
    except (TimeoutError, ConnectionError, RuntimeError):
        pass
    finally:
        if transport is not None and transport.get_write_buffer_size():  # else it waits until all of that is read
            transport.abort()
