"""One answer of the provider, kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from hbd.oidc.failure import broken

T = TypeVar("T")


class Kept(Generic[T]):
    """Asked for once, however many wait for it. A failure reaches all who wait and is not kept."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._since = 0.0
        self._asking: asyncio.Task[T] | None = None
        self._closed = False

    async def get(self, now: float, max_age: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer if it is younger than max_age seconds, else a new one. Raises SignInFailed after ``close``."""
        if self._value is not None and 0 <= now - self._since < max_age:
            return self._value
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew(now, ask))
            # Should everybody have gone away meanwhile, nobody needs to hear of a failure.
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        asking = self._asking
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if asking.cancelled() and self._closed:  # not whoever waits, but what they wait for
                raise broken("the settings have changed") from None
            raise

    async def close(self) -> None:
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _renew(self, now: float, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._value = await ask()
        self._since = now
        return self._value
