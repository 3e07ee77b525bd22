"""Several writes of a ``Store`` in one transaction: all of them, or nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hbd.stats import Stats
from hbd.store import Store
from hbd.store.database import Database, Work

T = TypeVar("T")


class _Within(Database):
    """What tables see of a database whose transaction is under way."""

    def __init__(self, database: Database, connection: sqlite3.Connection) -> None:
        self.path = database.path  # and nothing else of what a database of its own has
        self._within = connection

    async def write(self, work: Work[T]) -> T:
        return work(self._within)

    async def read(self, work: Work[T]) -> T:
        return work(self._within)

    async def read_long(self, work: Work[T], seconds: float) -> T:
        return work(self._within)


async def write_together(store: Store, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """Run work, in the thread that writes, on a store whose writes are kept once all of it is done.

    work awaits nothing but that store. Raises StorageError, and what work raises, with nothing kept.
    """

    def transact(connection: sqlite3.Connection) -> T:
        within = _Within(store.database, connection)
        return asyncio.run(work(Store(within.path, Stats(), within)))

    return await store.database.write(transact)
