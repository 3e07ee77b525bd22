"""What happens to a command while people watch."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Literal

from msgspec import Struct

from hbd.store.commands import Command, Status

MOST_CHARACTERS = 512 * 1024  # of output that is kept for those who come late; the result has it all again
MOST_CHANGES = 5_000


THE_END = "end"
"""the id of the last change of every command"""


class Change(Struct, frozen=True, kw_only=True):
    """One thing that happened. id: what a watcher names that comes again, to go on behind it."""

    id: str
    kind: Literal["status", "output", "result"]
    status: Status | None = None
    stream: Literal["stdout", "stderr", ""] = ""
    text: str = ""
    command: Command | None = None


class Story:
    """All that happened to one command since it was queued, or since the daemon was started."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(4)
        self._changes: list[Change] = []
        self._room = MOST_CHARACTERS
        self._over = False
        self._more = asyncio.Event()

    def became(self, status: Status) -> None:
        self._tell(Change(id=self._next_id(), kind="status", status=status))

    def wrote(self, stream: Literal["stdout", "stderr"], text: str) -> None:
        """Beyond a limit it is passed over."""
        if text and len(text) <= self._room and len(self._changes) < MOST_CHANGES:
            self._room -= len(text)
            self._tell(Change(id=self._next_id(), kind="output", stream=stream, text=text))

    def ended(self, command: Command) -> None:
        self._tell(Change(id=THE_END, kind="result", command=command))
        self.close()

    def close(self) -> None:
        """Nothing more happens."""
        self._over = True
        self._more.set()

    async def follow(self, after: str) -> AsyncIterator[Change]:
        """What happened behind that change and what will, until the end. after: "" or an id that is not known: all."""
        token, _, number = after.partition("-")
        told = int(number) if token == self._token and number.isascii() and number.isdecimal() else 0
        while True:
            while told < len(self._changes):
                told += 1
                yield self._changes[told - 1]
            if self._over:
                return
            self._more.clear()
            await self._more.wait()

    def _next_id(self) -> str:
        return f"{self._token}-{len(self._changes) + 1}"

    def _tell(self, change: Change) -> None:
        if not self._over:
            self._changes.append(change)
            self._more.set()
