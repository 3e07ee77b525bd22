"""Watched processes and their samples. What people change is written with its audit entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from msgspec.structs import replace

from hbd.errors import NotFound
from hbd.processes import Known, ProcessSample, Watched
from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database

PRUNE_ROWS = 5_000
_ALL = (
    "SELECT id, host_id, user_id, name, created, enabled, on_down, on_restart, on_cpu, on_memory, cpu_limit,"
    " memory_limit FROM processes ORDER BY id"
)
_NEWEST = (
    "SELECT id, process_id, time, count, cpu_percent, memory_percent, oldest_start, after_boot, restarts"
    " FROM process_samples WHERE process_id = ? ORDER BY time DESC, id DESC LIMIT ?"
)
_LAST_START = (
    "SELECT id, process_id, time, count, cpu_percent, memory_percent, oldest_start, after_boot, restarts"
    " FROM process_samples WHERE process_id = ? AND oldest_start IS NOT NULL ORDER BY time DESC, id DESC LIMIT 1"
)


class ProcessHistory(NamedTuple):
    """samples: the newest, newest first. total: how many are kept. restarts: since the time that was asked for."""

    samples: list[ProcessSample]
    total: int
    restarts: int


class ProcessTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Known]:
        """All watched processes with their newest samples."""

        def query(db: sqlite3.Connection) -> list[Known]:
            found = []
            for row in db.execute(_ALL).fetchall():
                watched = _watched(row)
                newest = db.execute(_NEWEST, (watched.id, 1)).fetchone()
                started = db.execute(_LAST_START, (watched.id,)).fetchone()
                samples = (_sample(one, watched.name) if one is not None else None for one in (newest, started))
                found.append(Known(watched, *samples))
            return found

        return await self._database.read_long(query, 60)

    async def add(self, watched: Watched, entry: Entry) -> Watched:
        """Returns it with its id. Raises NotFound when its host is gone."""

        def work(db: sqlite3.Connection) -> int:
            made = db.execute(
                "INSERT INTO processes (host_id, user_id, name, created, enabled, on_down, on_restart, on_cpu,"
                " on_memory, cpu_limit, memory_limit) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11"
                " WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
                (watched.host_id, watched.user_id, watched.name, watched.created, *_settings(watched)),
            )
            if not made.rowcount or made.lastrowid is None:
                raise NotFound("this host was deleted")
            audit.insert(db, entry)
            return made.lastrowid

        return replace(watched, id=await self._database.write(work))

    async def change(self, watched: Watched, entry: Entry) -> None:
        """Put it in place of what had its id. With another name its samples go: they are of another process."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "DELETE FROM process_samples WHERE process_id IN (SELECT id FROM processes WHERE id = ? AND name <> ?)",
                (watched.id, watched.name),
            )
            db.execute(
                "UPDATE processes SET name = ?, enabled = ?, on_down = ?, on_restart = ?, on_cpu = ?, on_memory = ?,"
                " cpu_limit = ?, memory_limit = ? WHERE id = ?",
                (watched.name, *_settings(watched), watched.id),
            )
            audit.insert(db, entry)

        await self._database.write(work)

    async def delete(self, process_id: int, entry: Entry) -> None:
        """With all that was seen of it."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM processes WHERE id = ?", (process_id,))
            audit.insert(db, entry)

        await self._database.write(work)

    async def history(self, watched: Watched, limit: int, since: float) -> ProcessHistory:
        """since: from when on restarts count, Unix seconds."""

        def query(db: sqlite3.Connection) -> ProcessHistory:
            samples = [_sample(row, watched.name) for row in db.execute(_NEWEST, (watched.id, limit))]
            (total,) = db.execute("SELECT count(*) FROM process_samples WHERE process_id = ?", (watched.id,)).fetchone()
            (restarts,) = db.execute(
                "SELECT coalesce(sum(restarts), 0) FROM process_samples"
                " WHERE process_id = ? AND time >= ? AND restarts > 0",
                (watched.id, since),
            ).fetchone()
            return ProcessHistory(samples, total, restarts)

        return await self._database.read(query)

    async def prune(self, before: float, restarts_before: float) -> int:
        """Forget samples from before that time, some at once; returns how many. With restarts they may stay longer."""
        sql = (
            "DELETE FROM process_samples WHERE id IN (SELECT process_samples.id FROM processes JOIN process_samples"
            " ON process_id = processes.id AND time < ?1 WHERE restarts = 0 OR time < ?2 LIMIT ?3)"
        )
        return await self._database.write(lambda db: db.execute(sql, (before, restarts_before, PRUNE_ROWS)).rowcount)


def insert(db: sqlite3.Connection, samples: Iterable[ProcessSample]) -> None:
    """Those of processes that are still watched under the name that they had."""
    db.executemany(
        "INSERT INTO process_samples (process_id, time, count, cpu_percent, memory_percent, oldest_start, after_boot,"
        " restarts) SELECT ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
        " WHERE EXISTS (SELECT 1 FROM processes WHERE id = ?1 AND name = ?2)",
        [
            (
                sample.process_id,
                sample.name,
                sample.time,
                sample.count,
                sample.cpu_percent,
                sample.memory_percent,
                sample.oldest_start,
                sample.after_boot,
                sample.restarts,
            )
            for sample in samples
        ],
    )


def _settings(watched: Watched) -> tuple[Any, ...]:
    return (
        watched.enabled,
        watched.alert_on_down,
        watched.alert_on_restart,
        watched.alert_on_cpu,
        watched.alert_on_memory,
        watched.cpu_limit,
        watched.memory_limit,
    )


def _watched(row: tuple[Any, ...]) -> Watched:
    return Watched(
        id=row[0],
        host_id=row[1],
        user_id=row[2],
        name=row[3],
        created=row[4],
        enabled=bool(row[5]),
        alert_on_down=bool(row[6]),
        alert_on_restart=bool(row[7]),
        alert_on_cpu=bool(row[8]),
        alert_on_memory=bool(row[9]),
        cpu_limit=row[10],
        memory_limit=row[11],
    )


_row: Callable[..., ProcessSample] = ProcessSample


def _sample(row: tuple[Any, ...], name: str) -> ProcessSample:
    return _row(row[1], name, *row[2:], row[0])
