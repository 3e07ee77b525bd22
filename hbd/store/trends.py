"""How disks filled up, written with the samples that it comes from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from hbd.derived import TrendRow
from hbd.store.database import Database


class TrendTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[TrendRow]:
        sql = "SELECT host_id, trend FROM trends"
        return await self._database.read_long(lambda db: [TrendRow(*row) for row in db.execute(sql)], 60)


def save(db: sqlite3.Connection, rows: Iterable[TrendRow]) -> None:
    db.executemany(
        "INSERT INTO trends (host_id, trend) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
        " ON CONFLICT (host_id) DO UPDATE SET trend = excluded.trend",
        rows,
    )
