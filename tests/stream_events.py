"""Server-sent events as a client reads them."""

from __future__ import annotations

import asyncio
from typing import Any


class Events:
    """Server-sent events as they come."""

    def __init__(self, answer: Any) -> None:
        self._content = answer.content

    async def next(self) -> dict[str, str]:
        """The next event: its ``data``, and ``event`` and ``id`` where it has them. Comments are passed over."""
        async with asyncio.timeout(30):
            while True:
                fields: dict[str, str] = {}
                while (line := (await self._content.readline()).decode()) != "\n":
                    if not line:
                        raise EOFError
                    name, _, value = line.rstrip("\n").partition(": ")
                    fields[name] = fields[name] + "\n" + value if name in fields else value
                if fields.keys() & {"data"}:
                    return fields

    async def texts(self, count: int) -> list[str]:
        return [(await self.next())["data"] for _ in range(count)]
