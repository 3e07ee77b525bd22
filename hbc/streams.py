"""Streams that the daemon asks for: a connection of its own for each, so that reports and heartbeats are never behind a
log or a file.

What was asked for is opened first; only then, and only when the host's policy lets it, the agent connects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from hbc.failures import explain
from hbc.greeting import Refused, close, connect, link_url, said
from hbc.trust import SYSTEM_TRUST, Trust
from hbc.wire import STREAM_HEADER, STREAM_PATH, STREAM_TOKEN_HEADER, Unopened

if TYPE_CHECKING:  # 5 MiB that ``hbc once`` does not need
    from websockets.asyncio.client import ClientConnection

    from hbc.policy import Policy

log = logging.getLogger(__name__)

PLACE_SECONDS = 2.0  # when there are too many: one that ends may just be letting go
OPEN_SECONDS = 20.0  # what a disk has not opened by then is not waited for
LOST_SECONDS = 60.0  # without a link to the daemon nobody can be at the other end any more
LOOK_SECONDS = 5.0


class Talk(Protocol):
    """What is said over one stream, once it is open."""

    async def run(self, socket: ClientConnection, threads: Executor) -> None:
        """Until all is said, or raise ``websockets.exceptions.ConnectionClosed``."""

    def close(self) -> None:
        """Let go of whatever is open. Blocks."""


Opener = Callable[[str, dict[str, Any]], Talk]
"""opens, by kind and params; blocks, and raises ``hbc.files.beneath.Refusal``"""


def opener_of(policy: Policy) -> Opener:
    """Opens what a policy allows."""

    def opener(kind: str, params: dict[str, Any]) -> Talk:
        from hbc.stream_kinds import Kinds

        return Kinds(policy)(kind, params)

    return opener


class Streams:
    def __init__(
        self,
        opener: Opener,
        *,
        tell: Callable[[Unopened], bool],
        linked: Callable[[], bool],
        most: int,
        trust: Trust = SYSTEM_TRUST,
    ) -> None:
        """tell: sends over the link. linked: whether there is one. most: streams at a time."""
        self.server = ""
        """the URL of the daemon that asks"""
        self._opener = opener
        self._tell = tell
        self._linked = linked
        self._most = most
        self._places = asyncio.Semaphore(most)
        self._trust = trust
        self._tasks: set[asyncio.Task[None]] = set()
        # Of their own: a file system that hangs must not take the threads that everything else needs.
        self._threads = ThreadPoolExecutor(most, "stream")

    def open(self, frame: dict[str, Any]) -> None:
        """Take an ``open`` frame. Raises KeyError or TypeError for one that makes no sense."""
        name, token, kind, params = frame["id"], frame["token"], frame["kind"], frame["params"]
        for text in (name, token, kind):
            if not isinstance(text, str) or not text.isascii() or not text.isprintable():
                raise TypeError("open: id, token and kind are plain texts")
        if not isinstance(params, dict):
            raise TypeError("open: params are no object")
        if len(self._tasks) >= self._most * 2:
            self._refuse_busy(name)
            return
        task = asyncio.get_running_loop().create_task(self._serve(name, token, kind, params))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """End all streams and whatever they have started."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refuse_busy(self, name: str) -> None:
        self._refuse(name, "busy", f"{self._most} streams are open on this host already")

    def _refuse(self, name: str, code: Any, reason: str) -> None:
        log.info("stream refused: %s (%s)", reason, code)
        self._tell(Unopened(type="unopened", id=name, code=code, reason=said(reason)))

    async def _serve(self, name: str, token: str, kind: str, params: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            self._refuse_busy(name)
            return
        try:
            await self._served(name, token, kind, params)
        finally:
            self._places.release()

    async def _served(self, name: str, token: str, kind: str, params: dict[str, Any]) -> None:
        from hbc.files.beneath import Refusal

        try:
            talk = await self._opened(kind, params)
        except Refusal as refusal:
            self._refuse(name, refusal.code, refusal.reason)
            return
        except Exception as error:
            log.exception("opening a stream failed")
            self._refuse(name, "failed", repr(error))
            return
        about = params.get("path") or params.get("unit") or params.get("dest") or ""
        log.info("stream for the daemon: %s %s", kind, said(about))
        try:
            await self._connected(talk, name, token)
        finally:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._threads, talk.close))

    async def _opened(self, kind: str, params: dict[str, Any]) -> Talk:
        from hbc.files.beneath import Refusal

        opening = asyncio.get_running_loop().run_in_executor(self._threads, self._opener, kind, params)
        try:
            await asyncio.wait({opening}, timeout=OPEN_SECONDS)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        if not opening.done():
            opening.add_done_callback(_close_late)
            raise Refusal("failed", f"it could not be opened within {OPEN_SECONDS:g} s")
        return opening.result()

    async def _connected(self, talk: Talk, name: str, token: str) -> None:
        from websockets.exceptions import ConnectionClosed

        headers = {STREAM_HEADER: name, STREAM_TOKEN_HEADER: token}
        try:
            # No pings: a slow reader at the far end is no reason to give up, and the link tells of a dead daemon.
            socket = await connect(link_url(self.server, STREAM_PATH), self._trust, headers=headers, pings=False)
        except (OSError, TimeoutError, EOFError, Refused) as error:
            reason = str(error) if isinstance(error, Refused) else explain(error, self.server)
            self._refuse(name, "failed", f"no connection for it: {reason}")
            return
        talking = asyncio.ensure_future(talk.run(socket, self._threads))
        watching = asyncio.ensure_future(self._daemon_lost())
        try:
            await asyncio.wait({talking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                talking.result()
        except ConnectionClosed:
            pass  # the daemon has enough
        except Exception:
            log.exception("a stream failed")
        finally:
            for task in (talking, watching):
                task.cancel()
            await asyncio.gather(talking, watching, return_exceptions=True)
            await close(socket)

    async def _daemon_lost(self) -> None:
        """Return when there has been no link for too long."""
        loop = asyncio.get_running_loop()
        seen = loop.time()
        while loop.time() - seen < LOST_SECONDS:
            await asyncio.sleep(LOOK_SECONDS)
            if self._linked():
                seen = loop.time()


def _close_late(opening: asyncio.Future[Talk]) -> None:
    """Something was opened after all, when nobody waited for it any more."""
    with contextlib.suppress(Exception, asyncio.CancelledError):
        opening.result().close()
