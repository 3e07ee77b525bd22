"""Audit entries that belong to no transaction, such as refusals: gathered, and written some at once."""

from __future__ import annotations

import asyncio

import msgspec

from hbd.errors import StorageError
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

WRITE_SECONDS = 0.2
MAX_WAITING = 2_000


class Audit:
    """``note`` never waits and never raises; ``run`` does the work."""

    def __init__(self, store: Store, stats: Stats) -> None:
        self._store = store.audit
        self._stats = stats
        self._waiting: dict[Entry, tuple[Entry, int]] = {}
        self._came = asyncio.Event()
        stats.describe("audit_dropped_total", "Audit entries that could not be kept, as too many came at once.")

    def note(self, entry: Entry) -> None:
        """Write an entry soon. The same thing many times within a moment is one entry that says how often."""
        alike = msgspec.structs.replace(entry, time=0.0)
        if alike not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self._stats.count("audit_dropped_total")
            return
        first, times = self._waiting.get(alike, (entry, 0))
        self._waiting[alike] = first, times + 1
        self._came.set()

    async def run(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(WRITE_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what waits; when the disk does not take it, it goes on waiting."""
        self._came.clear()
        waiting, self._waiting = self._waiting, {}
        try:
            await self._store.add(_worded(entry, times) for entry, times in waiting.values())
        except StorageError:
            self._waiting = waiting | self._waiting


def _worded(entry: Entry, times: int) -> Entry:
    if times == 1:
        return entry
    return msgspec.structs.replace(entry, detail=f"{entry.detail} ({times} times)".strip())
