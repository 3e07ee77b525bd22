"""Commands for agents and their outcomes. What changes one is written with its audit entry."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from hbd.errors import NotFound
from hbd.store import audit
from hbd.store.audit import Entry
from hbd.store.database import Database

KEPT = 100  # of each host that have ended
LISTED_CHARACTERS = 16_384  # of each output in a list; one command alone has all of it

Status = Literal["queued", "delivered", "running", "done", "failed", "timeout", "rejected", "expired"]
Risk = Literal["low", "medium", "high"]


class Command(Struct, frozen=True, kw_only=True):
    """journal: names the agent's record that it was delivered to; None for an agent that keeps none, or before.
    certain: False while an end is only assumed. Times are Unix seconds."""

    id: str
    host_id: int
    type: str
    params: dict[str, Any] = field(default_factory=dict)
    risk: Risk
    status: Status = "queued"
    queued_by: str
    queued_at: float
    expires_at: float
    delivered_at: float | None = None
    journal: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    cancelled_by: str = ""
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    reason: str = ""
    certain: bool = True


class CommandTables:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_ones(self) -> list[Command]:
        """Those that have not ended, or of which nobody knows how; in the order in which they were queued."""
        sql = (
            "SELECT id, host_id, type, params, risk, status, queued_by, queued_at, expires_at, delivered_at, journal,"
            " started_at, finished_at, cancelled_by, exit_code, stdout, stderr, truncated, reason, certain"
            " FROM commands WHERE finished_at IS NULL OR certain = 0 ORDER BY number"
        )
        return await self._database.read(lambda db: [_command(row) for row in db.execute(sql)])

    async def of_host(self, host_id: int) -> list[Command]:
        """The history of a host, newest first; long outputs are cut."""
        sql = (
            "SELECT id, host_id, type, params, risk, status, queued_by, queued_at, expires_at, delivered_at, journal,"
            " started_at, finished_at, cancelled_by, exit_code, substr(stdout, 1, ?2), substr(stderr, 1, ?2),"
            " truncated OR length(stdout) > ?2 OR length(stderr) > ?2, reason, certain"
            " FROM commands WHERE host_id = ?1 ORDER BY number DESC LIMIT ?3"
        )
        limits = (host_id, LISTED_CHARACTERS, KEPT)
        return await self._database.read(lambda db: [_command(row) for row in db.execute(sql, limits)])

    async def find(self, host_id: int, id: str) -> Command | None:
        sql = (
            "SELECT id, host_id, type, params, risk, status, queued_by, queued_at, expires_at, delivered_at, journal,"
            " started_at, finished_at, cancelled_by, exit_code, stdout, stderr, truncated, reason, certain"
            " FROM commands WHERE host_id = ? AND id = ?"
        )

        def query(db: sqlite3.Connection) -> Command | None:
            row = db.execute(sql, (host_id, id)).fetchone()
            return None if row is None else _command(row)

        return await self._database.read(query)

    async def add(self, command: Command, entry: Entry) -> None:
        """A new one; the oldest that have ended make room. Raises NotFound when the host is gone."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO commands (id, host_id, type, params, risk, status, queued_by, queued_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    command.id,
                    command.host_id,
                    command.type,
                    msgspec.json.encode(command.params).decode(),
                    command.risk,
                    command.status,
                    command.queued_by,
                    command.queued_at,
                    command.expires_at,
                ),
            )
            db.execute(
                "DELETE FROM commands WHERE host_id = ?1 AND finished_at IS NOT NULL AND number <="
                " (SELECT number FROM commands WHERE host_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                (command.host_id, KEPT),
            )
            audit.insert(db, entry)

        try:
            await self._database.write(work)
        except sqlite3.IntegrityError:
            raise NotFound("This host is gone") from None

    async def save(self, command: Command, *entries: Entry) -> None:
        """Write where a command stands now."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE commands SET status = ?, delivered_at = ?, journal = ?, started_at = ?, finished_at = ?,"
                " cancelled_by = ?, exit_code = ?, stdout = ?, stderr = ?, truncated = ?, reason = ?, certain = ?"
                " WHERE id = ?",
                (
                    command.status,
                    command.delivered_at,
                    command.journal,
                    command.started_at,
                    command.finished_at,
                    command.cancelled_by,
                    command.exit_code,
                    command.stdout,
                    command.stderr,
                    command.truncated,
                    command.reason,
                    command.certain,
                    command.id,
                ),
            )
            audit.insert(db, *entries)

        await self._database.write(work)


def _command(row: tuple[Any, ...]) -> Command:
    return Command(
        id=row[0],
        host_id=row[1],
        type=row[2],
        params=msgspec.json.decode(row[3]),
        risk=row[4],
        status=row[5],
        queued_by=row[6],
        queued_at=row[7],
        expires_at=row[8],
        delivered_at=row[9],
        journal=row[10],
        started_at=row[11],
        finished_at=row[12],
        cancelled_by=row[13],
        exit_code=row[14],
        stdout=row[15],
        stderr=row[16],
        truncated=bool(row[17]),
        reason=row[18],
        certain=bool(row[19]),
    )
