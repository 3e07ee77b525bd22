"""The audit log: who did what to which object, from where, and what was refused. It only ever grows and ages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from hbd.store.database import Database

PRUNE_ROWS = 5_000

Via = Literal["session", "token", "proxy", "cli", "none", "daemon"]
Outcome = Literal["done", "refused", "failed"]


class Entry(Struct, frozen=True, kw_only=True):
    """One line. time: Unix seconds. user: "" for nobody we know. object: ``user bob``, ``host web1``. detail: in words.

    outcome: refused by the rules, or failed for another reason, such as a wrong password.
    """

    time: float
    user: str
    via: Via
    address: str = ""
    action: str
    object: str = ""
    outcome: Outcome = "done"
    detail: str = ""
    id: int = 0


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entries: Iterable[Entry]) -> None:
        rows = list(entries)
        await self._database.write(lambda db: insert(db, *rows))

    async def recent(
        self, limit: int, *, before: int | None = None, user: str = "", action: str = "", outcome: str = ""
    ) -> list[Entry]:
        """The newest entries with an id below ``before``, newest first. action: the word, or how it begins."""

        def query(db: sqlite3.Connection) -> list[Entry]:
            rows = db.execute(
                "SELECT id, time, user, via, address, action, object, outcome, detail FROM audit"
                " WHERE (?1 IS NULL OR id < ?1) AND (?2 = '' OR user = ?2 COLLATE NOCASE)"
                " AND (?3 = '' OR substr(action, 1, length(?3)) = ?3) AND (?4 = '' OR outcome = ?4)"
                " ORDER BY id DESC LIMIT ?5",
                (before, user, action, outcome, limit),
            )
            return [
                Entry(
                    id=row[0],
                    time=row[1],
                    user=row[2],
                    via=row[3],
                    address=row[4],
                    action=row[5],
                    object=row[6],
                    outcome=row[7],
                    detail=row[8],
                )
                for row in rows
            ]

        return await self._database.read(query)

    async def prune(self, before: float, keep: int) -> int:
        """Forget entries older than that time, and all but the newest ``keep``; some at once. Returns how many."""

        def work(db: sqlite3.Connection) -> int:
            old = db.execute(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE time < ? ORDER BY time LIMIT ?)",
                (before, PRUNE_ROWS),
            )
            many = db.execute(
                "DELETE FROM audit WHERE id IN"
                " (SELECT id FROM audit WHERE id <= (SELECT max(id) FROM audit) - ? ORDER BY id LIMIT ?)",
                (keep, PRUNE_ROWS),
            )
            return old.rowcount + many.rowcount

        return await self._database.write(work)


def insert(db: sqlite3.Connection, *entries: Entry) -> None:
    """Within the transaction of what it tells."""
    db.executemany(
        "INSERT INTO audit (time, user, via, address, action, object, outcome, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                entry.time,
                entry.user,
                entry.via,
                entry.address,
                entry.action,
                entry.object,
                entry.outcome,
                entry.detail,
            )
            for entry in entries
        ],
    )
