"""The lines of a log on their way from an agent to one reader: the newest are kept, what was left out is told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Annotated

from msgspec import Meta, Struct

from hbd.errors import AgentFailed, HbdError
from hbd.remote.streams import Stream, checked

WAITING_EVENTS = 2_000
WAITING_CHARACTERS = 512 << 10
SILENCE_SECONDS = 45.0  # an agent speaks every 15 s

Position = Annotated[str, Meta(pattern=r"\A[!-~]{0,600}\Z")]


class Line(Struct, array_like=True, tag="line"):
    """position: where to go on behind it, "" when that is not known."""

    position: Position
    text: str


class Skipped(Struct, array_like=True, tag="skipped"):
    """What was left out. lines: None when nobody has counted them."""

    position: Position
    lines: int | None
    bytes: int


class Notice(Struct, array_like=True, tag="notice"):
    """Something happened to the log."""

    what: Annotated[str, Meta(max_length=40)]
    text: Annotated[str, Meta(max_length=1024)]


LogEvent = Line | Skipped | Notice


class LogLines:
    """Reads as fast as the agent sends. An iterator over what is left, for somebody who reads as fast as they can."""

    def __init__(self, stream: Stream) -> None:
        self.lines = 0
        """handed out so far"""
        self._stream = stream
        self._waiting: deque[LogEvent] = deque()
        self._characters = 0
        self._left_out = Skipped("", 0, 0)
        self._came = asyncio.Event()
        self._over = False
        self._failure: HbdError | None = None

    async def fill(self) -> None:
        """Until the log ends or the stream breaks; the reader is told why."""
        try:
            while True:
                said = await self._stream.hear(SILENCE_SECONDS)
                if isinstance(said, bytes):
                    raise AgentFailed("The agent sends bytes where lines are expected")
                if said.get("type") == "end":
                    return
                if said.get("type") == "log":
                    self.put(checked(said.get("events"), list[LogEvent]))
        except HbdError as error:
            self._failure = error
        finally:
            self._over = True
            self._came.set()

    def put(self, events: list[LogEvent]) -> None:
        for event in events:
            self._waiting.append(event)
            self._characters += _characters(event)
            while len(self._waiting) > WAITING_EVENTS or self._characters > WAITING_CHARACTERS:
                self._leave_out(self._waiting.popleft())
        self._came.set()

    def _leave_out(self, event: LogEvent) -> None:
        self._characters -= _characters(event)
        before = self._left_out
        match event:
            case Line():
                lines = before.lines + 1 if before.lines is not None else None
                self._left_out = Skipped(event.position or before.position, lines, before.bytes + len(event.text))
            case Skipped():
                counted = before.lines is not None and event.lines is not None
                lines = (before.lines or 0) + (event.lines or 0) if counted else None
                self._left_out = Skipped(event.position or before.position, lines, before.bytes + event.bytes)
            case Notice():
                pass

    def __aiter__(self) -> LogLines:
        return self

    async def __anext__(self) -> list[LogEvent]:
        """What waits, oldest first. Raises what the stream broke with."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self._over:
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        events = list(self._waiting)
        if self._left_out.bytes or self._left_out.lines != 0:
            events.insert(0, self._left_out)
            self._left_out = Skipped("", 0, 0)
        self._waiting.clear()
        self._characters = 0
        self.lines += sum(isinstance(event, Line) for event in events)
        return events


def _characters(event: LogEvent) -> int:
    return len(event.text) if isinstance(event, Line) else 0
