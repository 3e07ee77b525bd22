"""The agent's WebSocket to the daemon: connect, greet, send what the outbox gives, obey what comes back.

``Link.run`` never gives up. Servers are tried in the order of the config; when all failed it waits (full jitter, at
most 30 s) and begins again with the first. While it talks to a later one it keeps knocking at the earlier ones, and
changes over only after one of them has welcomed it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit, urlunsplit

from hbc import __version__
from hbc.failures import explain
from hbc.outbox import Outbox
from hbc.segment import Entry
from hbc.wire import LINK_PATH, MAX_FRAME_BYTES, Bye, Hello, Rejected, Welcome

if TYPE_CHECKING:  # 5 MiB that ``hbc once`` does not need
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

Reason = Literal["stopped", "shutdown"]

OPEN_TIMEOUT = 10.0  # seconds, for the connection and for the welcome each
PING_SECONDS = 15.0  # a peer that vanished is noticed after two of these
CLOSE_TIMEOUT = 1.0
STEADY_SECONDS = 10.0  # a link that lived this long starts the back-off anew
KNOCK_SECONDS = 60.0  # how often an earlier server is tried while a later one serves
RETRY_MAX = 3600.0  # no server can send an agent away for longer
CONFIG_CHANGED = (1001, "config changed")  # the daemon closes the link so that the agent greets it anew
_SAID_CHARACTERS = 300  # of a text from the server in the log


class Refused(Exception):
    """The server does not want this agent now. retry: seconds it asks to wait."""

    def __init__(self, text: str, retry: float) -> None:
        super().__init__(text)
        self.retry = retry


class Session(NamedTuple):
    """An open link whose hello was welcomed. rank: place of its server in the list."""

    rank: int
    socket: ClientConnection
    welcome: Welcome


class Backoff:
    """Full jitter: each wait is drawn from 0 to a bound that doubles, so that many agents come back spread out."""

    FIRST = 0.5
    CAP = 30.0

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self.reset()

    def reset(self) -> None:
        self._bound = self.FIRST

    def next(self) -> float:
        """Seconds to wait before the next try."""
        bound, self._bound = self._bound, min(self._bound * 2, self.CAP)
        return self._draw(0.0, bound)


def link_url(server: str) -> str:
    """The WebSocket address behind a configured server: https becomes wss, http ws; a path before ours is kept."""
    parts = urlsplit(server)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + LINK_PATH, "", ""))


def report_frame(entry: Entry, payload: bytes, now: float) -> bytes:
    """A report as sent. payload: its samples, a JSON array. now: the wall clock at sending."""
    head = f'{{"type":"report","run_id":"{entry.run_id}","seq":{entry.seq},"time":{now!r},"samples":'
    return head.encode() + payload + b"}"


class Link:
    def __init__(
        self,
        servers: Sequence[str],
        outbox: Outbox,
        *,
        hello: Callable[[], Hello],
        on_welcome: Callable[[str, Welcome], None],
        backoff: Backoff | None = None,
        advise: Callable[[str], str] = lambda code: "",
    ) -> None:
        """hello: makes the first frame of a session. on_welcome: told the server's URL and its welcome.

        advise: what to add to the log when a server refuses us, by the code of its refusal.
        """
        self.connected = False
        self.welcomes = 0  # sessions since the start
        self._servers = servers
        self._outbox = outbox
        self._hello = hello
        self._on_welcome = on_welcome
        self._backoff = backoff or Backoff()
        self._advise = advise
        self._not_before = [0.0] * len(servers)  # monotonic: a server that refused is left alone until then
        self._told: dict[int, str] = {}  # the last failure logged of each server
        self._wake = asyncio.Event()
        self._farewell: Reason | None = None
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """The outbox has something new."""
        self._wake.set()

    def stop(self, reason: Reason) -> None:
        """Have ``run`` say goodbye and return."""
        self._farewell = reason
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Keep a session until ``stop``; cancelling drops it without a word."""
        session: Session | None = None
        while self._farewell is None:
            session = session or await self._establish()
            if session is not None:
                session = await self._serve(session)
        if session is not None:
            await self._goodbye(session.socket)

    # ------------------------------------------------------------------------------------------------------ establish

    async def _establish(self) -> Session | None:
        """Try the servers until one welcomes us. None when the agent stops."""
        while self._farewell is None:
            session = await self._try(range(len(self._servers)))
            if session is not None:
                return session
            wait = max(self._backoff.next(), min(self._not_before) - time.monotonic())
            await self._pause(wait)
        return None

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):  # wait_for would now and then swallow a cancellation in 3.11
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _try(self, ranks: Sequence[int]) -> Session | None:
        """The first of these servers that welcomes us, each asked once."""
        for rank in ranks:
            if self._farewell is not None:
                return None
            if time.monotonic() < self._not_before[rank]:
                continue
            try:
                session = await self._open(rank)
            except Refused as refusal:
                wait = min(max(refusal.retry, 1.0), RETRY_MAX)
                self._not_before[rank] = time.monotonic() + wait * random.uniform(1.0, 1.25)  # noqa: S311
                self._tell(rank, f"refused: {refusal}")
            except (OSError, TimeoutError, EOFError) as error:
                self._tell(rank, explain(error, self._servers[rank]))
            else:
                self._told.pop(rank, None)
                return session
        return None

    async def _open(self, rank: int) -> Session:
        """Raises Refused, or OSError and its like when there is no talking to the server."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        try:
            socket = await connect(
                link_url(self._servers[rank]),
                compression=None,
                open_timeout=OPEN_TIMEOUT,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_TIMEOUT,
                max_size=MAX_FRAME_BYTES,
                user_agent_header=f"hbc/{__version__}",
            )
        except InvalidStatus as error:
            retry = error.response.headers.get("Retry-After", "")
            text = f"the server answered {error.response.status_code}"
            if retry.isdecimal():
                raise Refused(text, float(retry[:6])) from None
            raise ConnectionError(text) from None
        except (WebSocketException, ImportError) as error:  # the latter: a SOCKS proxy that nothing here can speak to
            raise ConnectionError(f"no WebSocket: {error}") from None
        try:
            await socket.send(json.dumps(self._hello()))
            async with asyncio.timeout(OPEN_TIMEOUT):
                welcome = await self._answer(socket)
        except (WebSocketException, ValueError) as error:
            await _close(socket)
            raise ConnectionError(f"closed before the welcome: {_said(error)}") from None
        except TimeoutError:
            await _close(socket)
            raise ConnectionError(f"no welcome within {OPEN_TIMEOUT:g} s") from None
        except BaseException:
            await _close(socket)
            raise
        return Session(rank, socket, welcome)

    async def _answer(self, socket: ClientConnection) -> Welcome:
        while True:
            frame = _parse(await socket.recv())
            if frame.get("type") == "welcome":
                return cast(Welcome, frame)
            if frame.get("type") == "refused":
                code = _said(frame.get("code"))
                advice = self._advise(code)
                text = f"{_said(frame.get('reason'))} ({code}){'; ' if advice else ''}{advice}"
                raise Refused(text, _seconds(frame.get("retry"), 30.0))

    def _tell(self, rank: int, text: str) -> None:
        """Log a failure once, not at every try."""
        if self._told.get(rank) != text:
            self._told[rank] = text
            log.warning("%s: %s; trying again", self._servers[rank], text)

    # ---------------------------------------------------------------------------------------------------------- serve

    async def _serve(self, session: Session) -> Session | None:
        """Talk until the link is lost (None), or an earlier server took us back (the session with it)."""
        server = self._servers[session.rank]
        log.info("connected to %s as %s", server, _said(session.welcome.get("host")))
        self._on_welcome(server, session.welcome)
        self.welcomes += 1
        self.connected = True
        began = time.monotonic()
        better: Session | None = None
        socket = session.socket
        try:
            async with _tasks(self._read(socket), self._write(socket), self._knock(session.rank)) as tasks:
                read, write, knock = tasks
                waiting = {read, write} if session.rank == 0 else set(tasks)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                better = knock.result() if knock.done() else None
                for task in (read, write):
                    if task.done() and (failure := task.exception()) is not None:
                        log.error("the link failed: %r", failure, exc_info=failure)
        finally:
            self.connected = False
            await _close(socket)
            self._outbox.link_lost(_close_code(socket))
        if better is not None:
            log.info("%s is back", self._servers[better.rank])
        elif self._farewell is None:
            planned = _close_frame(socket) == CONFIG_CHANGED
            log.log(logging.INFO if planned else logging.WARNING, "lost the link to %s: %s", server, _why(socket))
            if planned or time.monotonic() - began >= STEADY_SECONDS:
                self._backoff.reset()
            await self._pause(self._backoff.next())
        return better

    async def _read(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async for text in socket:
                try:
                    self._obey(_parse(text))
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    log.warning("the server sent a frame that makes no sense (%s: %s)", type(error).__name__, error)
        except ConnectionClosed:
            pass

    def _obey(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "ack":
            rejected = frame.get("rejected")
            samples = [sample for sample in rejected if isinstance(sample, dict)] if isinstance(rejected, list) else []
            self._outbox.acknowledge(str(frame["run_id"]), _seqs(frame), cast(list[Rejected], samples))
        elif kind == "busy":
            retry = _seconds(frame.get("retry"), 5.0)
            log.warning("the server cannot store reports now (%s); waiting %.0f s", _said(frame.get("reason")), retry)
            self._outbox.hold(str(frame["run_id"]), _seqs(frame), retry, time.monotonic())
        self._wake.set()

    async def _write(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while self._farewell is None:
                self._wake.clear()
                now = time.monotonic()
                if self._outbox.stuck(now):
                    log.warning("no acknowledgement for too long; connecting anew")
                    return
                following = self._outbox.next(now)
                if following is not None:
                    entry, payload = following
                    await socket.send(report_frame(entry, payload, time.time()), text=True)
                    continue
                try:
                    async with asyncio.timeout(self._outbox.wait(now)):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            await self._goodbye(socket)
        except ConnectionClosed:
            pass

    async def _knock(self, rank: int) -> Session | None:
        """Wait until a server before this one welcomes us."""
        while rank:
            await asyncio.sleep(KNOCK_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            session = await self._try(range(rank))
            if session is not None:
                return session
        return None

    async def _goodbye(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await socket.send(json.dumps(Bye(type="bye", reason=self._farewell or "stopped")))
        except ConnectionClosed:
            pass
        await _close(socket)


@asynccontextmanager
async def _tasks(*coroutines: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """These run side by side; on leaving all are stopped."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(socket: ClientConnection) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT * 2):
            await socket.close()
    except TimeoutError:
        socket.transport.abort()


def _parse(text: str | bytes) -> dict[str, Any]:
    """Raises ValueError for anything but a JSON object."""
    try:
        frame = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(frame, dict):
        raise ValueError("not an object")
    return frame


def _seqs(frame: dict[str, Any]) -> list[int]:
    return [seq for seq in frame["seqs"] if isinstance(seq, int) and not isinstance(seq, bool)]


def _seconds(value: object, default: float) -> float:
    """A wait the server asks for, kept in bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return default
    return float(min(value, RETRY_MAX))


def _said(value: object) -> str:
    """A text of the server's for the log, however long or odd it is."""
    return str(value)[:_SAID_CHARACTERS]


def _close_frame(socket: ClientConnection) -> tuple[int, str] | None:
    """Code and reason with which the server closed the link, None when it did not."""
    close = socket.protocol.close_rcvd
    return None if close is None else (close.code, close.reason)


def _close_code(socket: ClientConnection) -> int | None:
    """Why the server closed the link; None when it was not the server that did."""
    protocol = socket.protocol
    return protocol.close_rcvd.code if protocol.close_rcvd is not None and protocol.close_rcvd_then_sent else None


def _why(socket: ClientConnection) -> str:
    close = socket.protocol.close_rcvd
    if close is None:
        return "the connection broke"
    return f"closed by the server, {close.code} {close.reason}".rstrip()
