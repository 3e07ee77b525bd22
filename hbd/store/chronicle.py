"""What was shown in the past, on disk: see ``hbd.chronicle``.

Each host has windows of an hour. The rows of a window are written some seconds at a time, each one that follows needs
those before it, and the first begins with a base; when the hour is over they are packed into one. A window of which
nothing is left to say has no rows: then the one before still holds. Times here are Unix milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from hbd import chronicle
from hbd.chronicle import Change, Leaves
from hbd.store.database import Database

log = logging.getLogger(__name__)

WINDOW_SECONDS = 3600
MINUTE_MS = 60_000
QUERY_SECONDS = 20.0
PRUNE_ROWS = 500
WRITTEN, EXACT, MINUTES = 0, 1, 2
"""how a row is kept: as it was written, packed, packed and one state a minute"""


class Strand(NamedTuple):
    """Changes of one host within one window, oldest first."""

    host_id: int
    window: int
    changes: list[Change]


class Run(NamedTuple):
    """A time in which the daemon ran and wrote what it showed."""

    started: int
    last: int


class _Window(NamedTuple):
    """rows: (id, packed, data), in their order."""

    host_id: int
    window: int
    rows: list[tuple[int, int, bytes]]


class ChronicleTables:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._left: set[tuple[int, int]] = set()
        """(host id, window) of what could not be packed; tried again after a restart"""

    async def write(self, strands: Sequence[Strand], run: Run) -> None:
        """Write what was shown lately, and that the daemon ran until then. Raises StorageError.

        On a full disk it leaves what little room there is to alerts and messages.
        """
        self._database.require_room()
        rows = await asyncio.to_thread(_rows, strands)

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO chronicle (host_id, window, first, last, packed, data)"
                " SELECT ?1, ?2, ?3, ?4, 0, ?5 WHERE EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
                rows,
            )
            db.execute(
                "INSERT INTO runs (started, last) VALUES (?, ?)"
                " ON CONFLICT (started) DO UPDATE SET last = excluded.last",
                run,
            )

        await self._database.write(work)

    async def rewind(self, at: int) -> None:
        """The clock was set back to that time: what was to be later has not been. Raises StorageError."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM chronicle WHERE first >= ?", (at,))
            db.execute("DELETE FROM runs WHERE started >= ?", (at,))
            db.execute("UPDATE runs SET last = ?1 WHERE last > ?1", (at,))

        await self._database.write(work)

    async def run_at(self, at: int) -> tuple[Run | None, Run | None]:
        """The last run that had begun by that time, and the first that began after it."""

        def query(db: sqlite3.Connection) -> tuple[Run | None, Run | None]:
            before = db.execute(
                "SELECT started, last FROM runs WHERE started <= ? ORDER BY started DESC LIMIT 1", (at,)
            ).fetchone()
            after = db.execute(
                "SELECT started, last FROM runs WHERE started > ? ORDER BY started LIMIT 1", (at,)
            ).fetchone()
            return (Run(*before) if before else None, Run(*after) if after else None)

        return await self._database.read(query)

    async def at(self, host_ids: Iterable[int], at: int) -> dict[int, Leaves]:
        """What was shown of hosts at a time, by host id. Those that were not there, or are unknown, are missing."""
        wanted = list(host_ids)
        return await self._database.read_long(lambda db: _at(db, wanted, at), QUERY_SECONDS)

    async def pack(self, now: float) -> int:
        """Pack one window of one host that is over by that time (Unix seconds); returns how many rows it had."""
        return await self._work(WRITTEN, now - WINDOW_SECONDS)

    async def thin(self, before: float) -> int:
        """Keep of one window of one host that ended before that time only one state a minute; returns how many."""
        return await self._work(EXACT, before - WINDOW_SECONDS)

    async def _work(self, kind: int, before: float) -> int:
        window = await self._database.read_long(lambda db: _next(db, kind, int(before * 1000), self._left), 60)
        if window is None:
            return 0
        try:
            packed = await asyncio.to_thread(_packed, window, kind + 1)
        except Exception:
            self._left.add((window.host_id, window.window))
            log.exception("what was shown of host %d in an hour cannot be packed, and stays as it is", window.host_id)
            return 1
        await self._database.write(lambda db: _replace(db, window, packed, kind + 1))
        return len(window.rows)

    async def prune(self, before: float) -> int:
        """Forget what was shown before that time (Unix seconds), some at once; returns how many rows went.

        What still held then stays.
        """
        limit = int(before * 1000)

        def work(db: sqlite3.Connection) -> int:
            return db.execute(
                "DELETE FROM chronicle WHERE id IN (SELECT id FROM chronicle AS old WHERE last < ?1 AND packed > 0"
                " AND EXISTS (SELECT 1 FROM chronicle AS newer WHERE newer.host_id = old.host_id"
                " AND newer.first > old.first AND newer.first <= ?1 AND newer.window > old.window) LIMIT ?2)",
                (limit, PRUNE_ROWS),
            ).rowcount

        return await self._database.write(work)

    async def prune_runs(self, before: float) -> None:
        """Forget runs of the daemon that ended before that time (Unix seconds)."""
        await self._database.write(lambda db: db.execute("DELETE FROM runs WHERE last < ?", (int(before * 1000),)))


def _rows(strands: Iterable[Strand]) -> list[tuple[int, int, int, int, bytes]]:
    return [
        (host_id, window, changes[0].at, changes[-1].at, chronicle.to_rows(changes))
        for host_id, window, changes in strands
    ]


def _at(db: sqlite3.Connection, host_ids: Iterable[int], at: int) -> dict[int, Leaves]:
    found: dict[int, Leaves] = {}
    for host_id in host_ids:
        newest = db.execute(
            "SELECT window FROM chronicle WHERE host_id = ? AND first <= ? ORDER BY first DESC LIMIT 1", (host_id, at)
        ).fetchone()
        if newest is None:
            continue
        leaves: Leaves = {}
        rows = db.execute(
            "SELECT packed, data FROM chronicle WHERE host_id = ? AND window = ? AND first <= ? ORDER BY first, id",
            (host_id, newest[0], at),
        )
        for packed, data in rows:
            try:
                if packed:
                    leaves = chronicle.packed_at(data, at) or {}
                else:
                    leaves = chronicle.apply(leaves, chronicle.from_rows(data), at)
            except ValueError as error:
                log.error("what was shown of host %d cannot be read: %s", host_id, error)
        if leaves:
            found[host_id] = leaves
    return found


def _next(db: sqlite3.Connection, kind: int, before: int, left: Collection[tuple[int, int]]) -> _Window | None:
    """The window that is due, with all its rows. left: those that are passed over."""
    due = db.execute(
        "SELECT host_id, window FROM chronicle WHERE packed = ? AND last < ? AND window * 1000 < ? ORDER BY last",
        (kind, before + WINDOW_SECONDS * 1000, before),
    )
    found = next((window for window in due if window not in left), None)
    if found is None:
        return None
    rows = db.execute(
        "SELECT id, packed, data FROM chronicle WHERE host_id = ? AND window = ? ORDER BY first, id", found
    ).fetchall()
    return _Window(found[0], found[1], rows)


def _packed(window: _Window, kind: int) -> tuple[int, int, bytes] | None:
    """(first, last, data); None when nothing of it can be read."""
    changes: list[Change] = []
    for _, packed, data in window.rows:
        try:
            changes += chronicle.unpack(data) if packed else chronicle.from_rows(data)
        except ValueError as error:
            log.error("what was shown of host %d cannot be read and is dropped: %s", window.host_id, error)
    changes = chronicle.in_order(changes)
    while changes and not changes[0].base:  # what they would change could not be read
        changes.pop(0)
    if kind == MINUTES:
        changes = chronicle.thin(changes, MINUTE_MS)
    return (changes[0].at, changes[-1].at, chronicle.pack(changes)) if changes else None


def _replace(db: sqlite3.Connection, window: _Window, packed: tuple[int, int, bytes] | None, kind: int) -> None:
    db.executemany("DELETE FROM chronicle WHERE id = ?", [(row[0],) for row in window.rows])
    if packed is not None and db.execute("SELECT 1 FROM hosts WHERE id = ?", (window.host_id,)).fetchone() is not None:
        db.execute(
            "INSERT INTO chronicle (host_id, window, first, last, packed, data) VALUES (?, ?, ?, ?, ?, ?)",
            (window.host_id, window.window, *packed[:2], kind, packed[2]),
        )
