"""The message journal: what happened to which host, for people."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable

from hbd.model import Message
from hbd.store.database import Database

PRUNE_ROWS = 5_000  # deleted in one transaction, so that pruning never holds up a report for long


class Messages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def recent(
        self, limit: int, host_ids: Collection[int] | None = None, until: float | None = None
    ) -> list[Message]:
        """The newest messages, newest first; only of these hosts, and up to that time (Unix seconds), when given."""

        def query(db: sqlite3.Connection) -> list[Message]:
            last = None
            if until is not None:
                found = db.execute(
                    "SELECT id FROM messages WHERE time <= ? ORDER BY time DESC, id DESC LIMIT 1", (until,)
                )
                (last,) = found.fetchone() or (0,)
            if host_ids is None:
                rows = db.execute(
                    "SELECT time, host, msg FROM messages WHERE (?1 IS NULL OR id <= ?1) ORDER BY id DESC LIMIT ?2",
                    (last, limit),
                )
            else:
                rows = db.execute(
                    "SELECT time, host, msg FROM messages WHERE host_id IN (SELECT value FROM json_each(?1))"
                    " AND (?2 IS NULL OR id <= ?2) ORDER BY id DESC LIMIT ?3",
                    (json.dumps(list(host_ids)), last, limit),
                )
            return [Message(*row) for row in rows]

        return await self._database.read(query)

    async def prune(self, before: float, keep: int) -> int:
        """Forget messages older than that time, and all but the newest ``keep``; some at once. Returns how many."""

        def work(db: sqlite3.Connection) -> int:
            old = db.execute(
                "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE time < ? ORDER BY time LIMIT ?)",
                (before, PRUNE_ROWS),
            )
            many = db.execute(
                "DELETE FROM messages WHERE id IN"
                " (SELECT id FROM messages WHERE id <= (SELECT max(id) FROM messages) - ? ORDER BY id LIMIT ?)",
                (keep, PRUNE_ROWS),
            )
            return old.rowcount + many.rowcount

        return await self._database.write(work)


def insert(db: sqlite3.Connection, messages: Iterable[tuple[int | None, Message]]) -> None:
    """messages: (host id or None for the daemon itself, message)."""
    db.executemany(
        "INSERT INTO messages (host_id, time, host, msg) SELECT ?1, ?2, ?3, ?4"
        " WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM hosts WHERE id = ?1)",
        [(host_id, message.time, message.host, message.msg) for host_id, message in messages],
    )
