"""Work that takes a processor for seconds: a few at a time, a few of each caller, the rest is asked to come again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hbd.errors import Busy


class Turns:
    """at_once: how many work. of_one: how many one caller may have, waiting or working. most: all together.

    refusal: what is said to those beyond.
    """

    def __init__(self, at_once: int, of_one: int, most: int, refusal: str) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._of_one = of_one
        self._most = most
        self._refusal = refusal
        self._here: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many there are, those that work among them."""
        return self._here.total()

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for one's turn. Raises Busy when there is no room to wait."""
        if self._here[caller] >= self._of_one or self.waiting >= self._most:
            raise Busy(self._refusal)
        self._here[caller] += 1
        try:
            async with self._free:
                yield
        finally:
            self._here -= Counter((caller,))
