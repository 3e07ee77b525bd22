"""The log of foreign reports (the last ones of each host, with what was answered), and who may report how often."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterable
from typing import NamedTuple

from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database

KEPT = 500  # of each host


class ReportRow(NamedTuple):
    """body: JSON ``[request, answer]``. cut: whether more was sent than is kept. time: Unix seconds."""

    host_id: int
    receiver: str
    time: float
    status: int
    cut: bool
    body: bytes


class ReportingRow(NamedTuple):
    """What was changed here of how a host may report; None: the config says it. min_interval: seconds."""

    host_id: int
    enabled: bool | None = None
    min_interval: float | None = None


class ReportTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Collection[ReportRow]) -> None:
        """Keep these, and of each of their hosts the newest ``KEPT``. Hosts that are gone are passed over.

        Raises StorageError."""
        self._database.require_room()

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO foreign_reports (host_id, receiver, time, status, cut, body)"
                " SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
                [(*row[:5], zlib.compress(row.body)) for row in rows],
            )
            db.executemany(
                "DELETE FROM foreign_reports WHERE host_id = ?1 AND id <="
                " (SELECT id FROM foreign_reports WHERE host_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                [(host_id, KEPT) for host_id in {row.host_id for row in rows}],
            )

        await self._database.write(work)

    async def recent(self, host_id: int, limit: int, most_bytes: int) -> list[ReportRow]:
        """The newest of a host, newest first; those that are more bytes than that together are left out.

        Raises StorageError.
        """

        def query(db: sqlite3.Connection) -> list[ReportRow]:
            rows = db.execute(
                "SELECT host_id, receiver, time, status, cut, body FROM foreign_reports WHERE host_id = ?"
                " ORDER BY id DESC LIMIT ?",
                (host_id, limit),
            )
            found, size = [], 0
            for host, receiver, time, status, cut, packed in rows:
                body = zlib.decompress(packed)
                size += len(body)
                if size > most_bytes:
                    break
                found.append(ReportRow(host, receiver, time, status, bool(cut), body))
            return found

        return await self._database.read(query)

    async def reporting(self) -> list[ReportingRow]:
        sql = "SELECT host_id, enabled, min_interval FROM reporting"
        return await self._database.read_long(
            lambda db: [
                ReportingRow(host_id, None if enabled is None else bool(enabled), min_interval)
                for host_id, enabled, min_interval in db.execute(sql)
            ],
            60,
        )

    async def save_reporting(self, rows: Iterable[ReportingRow], *entries: Entry) -> None:
        """Keep these, with what the audit log has to say of it. Raises StorageError."""
        given = list(rows)

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO reporting (host_id, enabled, min_interval)"
                " SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)"
                " ON CONFLICT (host_id) DO UPDATE SET enabled = excluded.enabled, min_interval = excluded.min_interval",
                given,
            )
            audit.insert(db, *entries)

        await self._database.write(work)
