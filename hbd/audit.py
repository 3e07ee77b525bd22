"""Audit entries that belong to no transaction, such as refusals: gathered, and written some at once."""

from __future__ import annotations

import asyncio

import msgspec

from hbd.errors import StorageError
from hbd.gathered import write_soon
from hbd.stats import Stats
from hbd.store import Store
from hbd.store.audit import Entry

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
        self._keep(msgspec.structs.replace(entry, time=0.0), entry, 1)

    def _keep(self, alike: Entry, entry: Entry, times: int) -> None:
        if alike not in self._waiting and len(self._waiting) >= MAX_WAITING:
            self._stats.count("audit_dropped_total", times)
            return
        first, before = self._waiting.get(alike, (entry, 0))
        self._waiting[alike] = first, before + times
        self._came.set()

    async def run(self) -> None:
        await write_soon(self._came, self.write)

    async def write(self) -> bool:
        """Write what waits. False when the disk does not take it; it goes on waiting, before what came meanwhile."""
        self._came.clear()
        waiting, self._waiting = self._waiting, {}
        try:
            await self._store.add(_worded(entry, times) for entry, times in waiting.values())
        except StorageError:
            came, self._waiting = self._waiting, waiting
            for alike, (entry, times) in came.items():
                self._keep(alike, entry, times)
            if self._waiting:
                self._came.set()
            return False
        return True


def _worded(entry: Entry, times: int) -> Entry:
    if times == 1:
        return entry
    return msgspec.structs.replace(entry, detail=f"{entry.detail} ({times} times)".strip())
