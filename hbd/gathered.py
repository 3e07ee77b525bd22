"""When to write what is gathered in memory, so that many things share one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

WRITE_SECONDS = 0.2
RETRY_SECONDS = 5.0  # after the disk refused


async def write_soon(came: asyncio.Event, write: Callable[[], Awaitable[bool]]) -> None:
    """Call ``write`` a moment after ``came`` was set, for ever; later again when it returns False.

    write: clears ``came`` before it takes what is there, and sets it again for what it could not write.
    """
    while True:
        await came.wait()
        await asyncio.sleep(WRITE_SECONDS)
        if not await write():
            await asyncio.sleep(RETRY_SECONDS)
