"""Forecasts of disks, worked out of what is on disk of the last weeks and kept for some minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from hbd.derived import DISKS, LEFT
from hbd.forecasts import LOOKED_AT, Forecast, forecast
from hbd.rollups import HOUR, Rolled
from hbd.store import Store

KEPT_SECONDS = 600.0  # days do not change by the minute
MOST_KEPT = 1000  # hosts

Name = tuple[str, str]
"""A mount point and a metric."""


class _Kept(NamedTuple):
    until: float
    found: dict[Name, Forecast | None]


class Forecasts:
    """What was worked out of the last weeks, for some minutes."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self._reading: dict[int, asyncio.Task[dict[Name, Forecast | None]]] = {}

    async def of(self, store: Store, host_id: int) -> Mapping[Name, Forecast | None]:
        """By mount and metric. Raises StorageError."""
        kept = self._kept.get(host_id)
        if kept is not None and kept.until > time.monotonic():
            return kept.found
        reading = self._reading.get(host_id)
        if reading is None:  # all who ask meanwhile wait for the same
            reading = self._reading[host_id] = asyncio.create_task(_worked_out(store, host_id))
            reading.add_done_callback(partial(self._read, host_id))
        found = await asyncio.shield(reading)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[host_id] = _Kept(time.monotonic() + KEPT_SECONDS, found)
        return found

    def _read(self, host_id: int, done: asyncio.Task[dict[Name, Forecast | None]]) -> None:
        del self._reading[host_id]
        if not done.cancelled():
            done.exception()  # whoever waits for it hears of it; it is no fault when nobody does any more


async def _worked_out(store: Store, host_id: int) -> dict[Name, Forecast | None]:
    now = time.time()
    rolled = await store.history.rolled(host_id, (DISKS,), HOUR, now - LOOKED_AT, now + HOUR)
    return await asyncio.to_thread(_foretold, rolled.get(DISKS, {}), now)


def _foretold(rolled: Rolled, now: float) -> dict[Name, Forecast | None]:
    return {
        (path[0], path[1]): forecast([(bucket.start + HOUR / 2, bucket.mean) for bucket in column.buckets()], now)
        for path, column in rolled.items()
        if len(path) == 2 and path[1] in LEFT
    }
