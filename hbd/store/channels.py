"""Notification channels that were made here, as JSON."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from hbd.store.audit import Entry, insert
from hbd.store.database import Database


class ChannelTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, bytes]:
        """name → JSON."""
        sql = "SELECT name, spec FROM channels ORDER BY name"
        return await self._database.read(lambda db: {name: spec.encode() for name, spec in db.execute(sql)})

    async def write(
        self, changed: Mapping[str, bytes], gone: Iterable[str], time: float, entries: Iterable[Entry]
    ) -> None:
        """Keep the changed ones, forget those that are gone, with what the audit log has to say of it.

        Raises StorageError."""
        rows = [(name, spec.decode(), time) for name, spec in changed.items()]
        names, told = [(name,) for name in gone], list(entries)

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO channels (name, spec, changed) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, changed = excluded.changed",
                rows,
            )
            db.executemany("DELETE FROM channels WHERE name = ?", names)
            insert(db, *told)

        await self._database.write(work)
