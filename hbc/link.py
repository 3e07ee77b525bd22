"""The agent's link to the daemon: send what the outbox gives, obey what comes back, and never give up.

Servers are tried in the order of the config (``hbc/greeting.py``); when all failed the link waits (full jitter, at
most 30 s) and begins again with the first. While it talks to a later one it keeps knocking at the earlier ones, and
changes over only after one of them has welcomed it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from hbc.failures import explain
from hbc.greeting import RETRY_MAX, Refused, close, greet, parse, said, seconds
from hbc.outbox import Outbox
from hbc.segment import Entry
from hbc.trust import SYSTEM_TRUST, Trust
from hbc.wire import Bye, Hello, Rejected, Welcome

if TYPE_CHECKING:  # 5 MiB that ``hbc once`` does not need
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

Reason = Literal["stopped", "shutdown"]

STEADY_SECONDS = 10.0  # a link that lived this long starts the back-off anew
KNOCK_SECONDS = 60.0  # how often an earlier server is tried while a later one serves
UNREADABLE_MOST = 5  # frames of one session that make no sense, before the link is closed
UNREADABLE_RETRY = 30.0  # seconds; a server that sent them is left alone for so long
CONFIG_CHANGED = (1001, "config changed")  # the daemon closes the link so that the agent greets it anew
_FRAMES_WAITING = 1_000  # that are not about reports
_BUSY_REASONS = 8  # that are logged of one time of being busy


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
        trust: Trust = SYSTEM_TRUST,
        handlers: Mapping[str, Callable[[dict[str, Any]], None]] | None = None,
        hashed: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        """hello: makes the first frame of a session. on_welcome: told the server's URL and its welcome.

        advise: what to add to the log when a server refuses us, by the code of its refusal. trust: whom to believe.
        handlers: who hears of the frames of other types than those about reports, by that type.
        hashed: of the agent's key; see ``hbc.greeting.greet``.
        """
        self.connected = False
        self.welcomes = 0  # sessions since the start
        self._servers = servers
        self._outbox = outbox
        self._hello = hello
        self._on_welcome = on_welcome
        self._backoff = backoff or Backoff()
        self._advise = advise
        self._trust = trust
        self._handlers = handlers or {}
        self._hashed = hashed
        self._frames: deque[str] = deque()
        self._not_before = [0.0] * len(servers)  # monotonic: a server that refused is left alone until then
        self._told: dict[int, str] = {}  # the last failure logged of each server
        self._busy: set[str] = set()  # the reasons logged since a report was acknowledged
        self._wake = asyncio.Event()
        self._farewell: Reason | None = None
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """The outbox has something new."""
        self._wake.set()

    def send(self, frame: object) -> bool:
        """Have a frame go out before any further report. False when there is no link, or too much waits for it."""
        if not self.connected or len(self._frames) >= _FRAMES_WAITING:
            return False
        self._frames.append(json.dumps(frame))
        self._wake.set()
        return True

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
                self._leave_alone(rank, min(max(refusal.retry, 1.0), RETRY_MAX))
                advice = self._advise(refusal.code)
                self._tell(rank, f"refused: {refusal}{'; ' if advice else ''}{advice}")
            except (OSError, TimeoutError, EOFError) as error:
                self._tell(rank, explain(error, self._servers[rank]))
            except Exception as error:  # whatever a server answers, it must not keep us from the others
                self._tell(rank, f"unexpected: {said(repr(error))}")
            else:
                self._told.pop(rank, None)
                return session
        return None

    async def _open(self, rank: int) -> Session:
        return Session(rank, *await greet(self._servers[rank], self._hello, self._trust, self._hashed))

    def _leave_alone(self, rank: int, wait: float) -> None:
        self._not_before[rank] = time.monotonic() + wait * random.uniform(1.0, 1.25)  # noqa: S311

    def _tell(self, rank: int, text: str) -> None:
        """Log a failure once, not at every try."""
        if self._told.get(rank) != text:
            self._told[rank] = text
            log.warning("%s: %s; trying again", self._servers[rank], text)

    # ---------------------------------------------------------------------------------------------------------- serve

    async def _serve(self, session: Session) -> Session | None:
        """Talk until the link is lost (None), or an earlier server took us back (the session with it)."""
        server = self._servers[session.rank]
        log.info("connected to %s as %s", server, said(session.welcome.get("host")))
        self.connected = True
        self._on_welcome(server, session.welcome)
        self.welcomes += 1
        began = time.monotonic()
        better: Session | None = None
        socket = session.socket
        try:
            async with _tasks(
                self._read(session.rank, socket), self._write(socket), self._knock(session.rank)
            ) as tasks:
                read, write, knock = tasks
                waiting = {read, write} if session.rank == 0 else set(tasks)
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                better = knock.result() if knock.done() else None
                for task in (read, write):
                    if task.done() and (failure := task.exception()) is not None:
                        log.error("the link failed: %r", failure, exc_info=failure)
        finally:
            self.connected = False
            self._frames.clear()
            await close(socket)
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

    async def _read(self, rank: int, socket: ClientConnection) -> None:
        """Obey the server until the link ends, or too much came that makes no sense."""
        from websockets.exceptions import ConnectionClosed

        unreadable = 0
        kinds: set[str] = set()
        try:
            async for text in socket:
                await asyncio.sleep(0)  # frames that lie ready must not keep the heartbeats and the end waiting
                try:
                    self._obey(parse(text))
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    unreadable += 1
                    kind = type(error).__name__
                    if kind not in kinds:
                        kinds.add(kind)
                        log.warning("the server sent a frame that makes no sense (%s: %s)", kind, said(error))
                    if unreadable == UNREADABLE_MOST:
                        self._leave_alone(rank, UNREADABLE_RETRY)
                        log.error("%s sends nonsense; left alone for %g s", self._servers[rank], UNREADABLE_RETRY)
                        return
        except ConnectionClosed:
            pass

    def _obey(self, frame: dict[str, Any]) -> None:
        kind = frame.get("type")
        if kind == "ack":
            rejected = frame.get("rejected")
            samples = [sample for sample in rejected if isinstance(sample, dict)] if isinstance(rejected, list) else []
            if self._outbox.acknowledge(str(frame["run_id"]), _seqs(frame), cast(list[Rejected], samples)):
                self._busy.clear()
        elif kind == "busy":
            retry, reason = seconds(frame.get("retry"), 5.0), said(frame.get("reason"))
            if reason not in self._busy and len(self._busy) < _BUSY_REASONS:
                self._busy.add(reason)
                log.warning("the server cannot store reports now (%s); waiting %.0f s", reason, retry)
            self._outbox.hold(str(frame["run_id"]), _seqs(frame), retry, time.monotonic())
        elif (handler := self._handlers.get(str(kind))) is not None:
            handler(frame)
        self._wake.set()

    async def _write(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while self._farewell is None:
                self._wake.clear()
                while self._frames:
                    await socket.send(self._frames.popleft())
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
        await close(socket)


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


def _seqs(frame: dict[str, Any]) -> list[int]:
    return [seq for seq in frame["seqs"] if isinstance(seq, int) and not isinstance(seq, bool)]


def _close_frame(socket: ClientConnection) -> tuple[int, str] | None:
    """Code and reason with which the server closed the link, None when it did not."""
    close = socket.protocol.close_rcvd
    return None if close is None else (close.code, close.reason)


def _close_code(socket: ClientConnection) -> int | None:
    """Why the server closed the link; None when it was not the server that did."""
    protocol = socket.protocol
    return protocol.close_rcvd.code if protocol.close_rcvd is not None and protocol.close_rcvd_then_sent else None


def _why(socket: ClientConnection) -> str:
    protocol = socket.protocol
    by_us = protocol.close_sent is not None and not protocol.close_rcvd_then_sent
    close = protocol.close_sent if by_us else protocol.close_rcvd
    if close is None:
        return "the connection broke"
    return f"closed by {'this agent' if by_us else 'the server'}, {close.code} {close.reason}".rstrip()
